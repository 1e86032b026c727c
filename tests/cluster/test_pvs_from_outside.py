"""A server in one network, its clients in another that no broadcast reaches: what GET /pvs/name-servers says, they set.

The client's part is what docs/how-to/reach-pvs-from-outside.md tells a reader to do. Without Ray, and quicker:
tests/ioc/test_pvs_without_broadcast.py.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from faults import kill
from namespaces import ServerOn, missing
from routed_network import RoutedNetwork
from support import MINIMAL_TASK, TOOLS, wait_for

from iocmng.core.port_range import PortRange

REASON = missing()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

PORTS = PortRange(5100, 5107)
NOWHERE = {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
IOCMNG = f"{sys.executable} -m iocmng"
LOOK = f"set -a; . ./iocmng.env; set +a; {TOOLS}/caget -t -w 10"


class Site:
    """A server with a range of ports, and a client's machine."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="iocmng-out-", dir="/tmp"))
        self.network = RoutedNetwork()
        self.machine, self.client = self.network.machine(), self.network.machine()
        self.desk = self.root / "desk"
        self.desk.mkdir()
        self.server = ServerOn(self.machine, self.root, "OUT", {"IOCMNG_EPICS_PORTS": str(PORTS)})
        self.server.wait_until_ready()

    def ask(self, command):
        """Run a command on the client's machine."""
        url = f"http://{self.machine.address}:{self.server.port}"
        return self.client.ask(command, self.desk, **NOWHERE, IOCMNG_URL=url)

    def listed(self, **query):
        """Return what the server answers."""
        return self.server.http.get("/pvs/name-servers", params=query).raise_for_status().json()

    def end(self):
        self.network.end()
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module")
def site():
    made = Site()
    yield made
    made.end()


def add(site, *names):
    for name in names:
        answer = site.server.add(name, {"m.py": MINIMAL_TASK})
        assert answer.status_code == 201, answer.text


def test_clients_set_what_the_server_says(site):
    """The command line writes a file, a shell reads it, caget and p4p find the PVs of each plugin; without it none."""
    add(site, "one", "two")
    told = site.listed()
    assert {server["host"] for server in told["servers"]} == {site.machine.address}
    assert all(PORTS.has((server["ca_port"], server["pva_port"])) for server in told["servers"])
    assert site.ask(f"{TOOLS}/caget -w 1 OUT:ONE:STATUS").returncode == 1
    assert site.ask(f"{IOCMNG} pvs --name-servers > iocmng.env").returncode == 0
    text = site.server.http.get("/pvs/name-servers", headers={"Accept": "text/plain"}).text
    assert (site.desk / "iocmng.env").read_text() == text
    done = site.ask(f"{LOOK} -n OUT:ONE:ENABLE OUT:TWO:ENABLE")
    assert done.stdout.split() == ["1", "1"], done.stderr
    get = f"""{sys.executable} -c '
from p4p.client.thread import Context
with Context("pva") as context:
    print(*map(int, context.get(["OUT:ONE:ENABLE", "OUT:TWO:ENABLE"], timeout=10)))'"""
    done = site.ask(f"set -a; . ./iocmng.env; {get}")
    assert done.stdout.split() == ["1", "1"], done.stderr


def test_the_lists_follow_the_plugins(site):
    """A replaced plugin is listed where it is now, one whose process has died not at all, one that is stopped stays."""
    add(site, "moves")
    before = site.listed(plugin="moves")["EPICS_CA_NAME_SERVERS"]
    assert site.server.http.post("/plugins/moves/restart").status_code == 200
    after = site.listed(plugin="moves")["EPICS_CA_NAME_SERVERS"]
    assert after != before
    (site.desk / "iocmng.env").write_text(site.server.http.get("/pvs/name-servers?format=env&plugin=moves").text)
    assert site.ask(f"{LOOK} OUT:MOVES:STATUS").returncode == 0
    assert site.server.http.post("/plugins/moves/stop").status_code == 200
    assert site.listed(plugin="moves")["EPICS_CA_NAME_SERVERS"] == after
    whole = site.listed(plugin="moves", whole_range=True)["EPICS_CA_NAME_SERVERS"].split()
    assert set(whole) == {f"{site.machine.address}:{port}" for port in range(PORTS.first, PORTS.last, 2)}
    pid = site.server.get("moves")["pid"]
    kill(pid)
    wait_for(lambda: site.server.get("moves")["pid"] != pid, "its end is seen")
    assert all(server["ca_port"] for server in site.listed()["servers"])
    assert site.server.http.delete("/plugins/moves").status_code == 200
    assert "moves" not in {server["plugin"] for server in site.listed()["servers"]}
