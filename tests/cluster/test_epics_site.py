"""What a site asks of all IOCs of a server: ports from a range, and who may write."""

import getpass
import os
import signal

import pytest
from ca_claims import rights
from epics_clients import listening
from support import MINIMAL_TASK, Server, caget, caput, wait_for

from iocmng.core.port_range import PortRange
from iocmng.epics.ports import is_free

pytestmark = pytest.mark.thorough

ME = getpass.getuser()
ROOM = 3
"""IOCs for which the range has room."""


@pytest.fixture(scope="module")
def ports():
    """Six free ports in a row, of those that the kernel does not hand out."""
    for first in range(21000, 30000, 2 * ROOM):
        if all(is_free(port) for port in range(first, first + 2 * ROOM)):
            return PortRange(first, first + 2 * ROOM - 1)
    raise AssertionError("no free ports")


@pytest.fixture(scope="module")
def server(tmp_path_factory, ports):
    server = Server(
        tmp_path_factory.mktemp("site"),
        f"SITE-{os.getpid()}",
        IOCMNG_EPICS_PORTS=str(ports),
        IOCMNG_ACCESS_USERS=f"{ME},anna",
        IOCMNG_CRASH_BACKOFF="0.5",
    ).wait_until_ready()
    yield server
    assert server.stop() == 0, server.log.read_text()


def places(server):
    """Return the ports of each plugin, as GET /pvs tells them."""
    records = server.http.get("/pvs").raise_for_status().json()["pvs"]
    return {record["plugin"]: (record["ca_port"], record["pva_port"]) for record in records}


def pv(server, plugin, name="ENABLE"):
    return f"{server.prefix}:{plugin.upper()}:{name}"


def pid_of(server, plugin):
    return server.get(plugin)["pid"]


def answer_of_no_ports(reply, ports):
    problem = reply.json()
    assert (reply.status_code, problem["type"]) == (503, "urn:iocmng:problem:no-ports"), problem
    assert f"IOCMNG_EPICS_PORTS={ports}" in problem["message"]
    assert "widen the range" in problem["message"]
    return problem["message"]


def test_ports_of_a_server(server, ports):
    """Every IOC listens in the range and nowhere else; a replacement takes the spare pair; then there is no more room.

    What finds no room is refused with a sentence and changes nothing: the old version runs on, and so do all others.
    """
    for name in ("one", "two"):
        assert server.add(name, {"plugin.py": MINIMAL_TASK}).status_code == 201
    found = places(server)
    assert all(ports.has(pair) for pair in found.values())
    assert found["one"] != found["two"]
    assert listening(pid_of(server, "one")) & set(range(ports.first, ports.last + 1)) == set(found["one"])

    assert server.http.post("/plugins/one/restart").status_code == 200
    replaced = places(server)
    assert ports.has(replaced["one"])
    assert replaced["one"] not in found.values()
    assert replaced["two"] == found["two"]

    assert server.add("three", {"plugin.py": MINIMAL_TASK}).status_code == 201
    full = places(server)
    assert sorted(port for pair in full.values() for port in pair) == list(range(ports.first, ports.last + 1))
    before = pid_of(server, "one")
    assert "runs on" in answer_of_no_ports(server.http.post("/plugins/one/restart"), ports)
    assert pid_of(server, "one") == before
    answer_of_no_ports(server.add("four", {"plugin.py": MINIMAL_TASK}), ports)
    assert server.names() == {"one", "two", "three"}
    assert all(caget(pv(server, name), "-n") == "1" for name in ("one", "two", "three"))


def test_ports_are_kept_by_a_plugin_whose_process_ends(server, ports):
    """Its next process listens where clients and firewalls expect it, though its first choice may be another one."""
    before, pid = places(server)["two"], pid_of(server, "two")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid_of(server, "two") not in (None, pid), "two has another process", 60)
    wait_for(lambda: caget(pv(server, "two"), "-n") == "1", "two serves again", 60)
    assert places(server)["two"] == before


def test_rules_reach_every_plugin(server):
    """Who is named writes inputs; others read; outputs are nobody's."""
    port, _ = places(server)["one"]
    assert rights(port, pv(server, "one"), user="anna", host="x") == "rw"
    assert rights(port, pv(server, "one"), user="bert", host="x") == "r"
    assert rights(port, pv(server, "one", "STATUS"), user="anna", host="x") == "r"
    assert "New :" in caput(pv(server, "one"), 1)
