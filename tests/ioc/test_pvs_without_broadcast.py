"""Clients in another network, which no broadcast crosses: they find IOCs by the lists of GET /pvs/name-servers alone.

Machines are network namespaces that are joined by routes. `iocmng run` stands for the server's plugins here; the whole
server does the same in tests/cluster/test_pvs_from_outside.py.
"""

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from api_fakes import FakeController, plugin_object
from docs_blocks import ROOT, blocks
from epics_clients import listening, ports_of
from ioc_process import PLUGINS, RUN
from namespaces import missing
from routed_network import RoutedNetwork
from served_api import served
from support import TOOLS, wait_for

from iocmng.core.name_servers import environment_lines, name_servers
from iocmng.core.port_range import PortRange

REASON = missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

PAGE = ROOT / "docs/how-to/reach-pvs-from-outside.md"
PORTS = PortRange(5100, 5105)

CAGET = f"{TOOLS}/caget -t -n -w"
PVGET = f"""{sys.executable} -c '
import sys
from p4p.client.thread import Context
with Context("pva") as context:
    print(*(int(context.get(pv, timeout=float(sys.argv[1]))) for pv in sys.argv[2:]), sep="\\n")'"""

PVPUT = f"""{sys.executable} -c '
import sys
from p4p.client.thread import Context
with Context("pva") as context:
    context.put(sys.argv[1], int(sys.argv[2]), timeout=10)'"""

FORWARD = """
import asyncio, sys
target, *ports = sys.argv[1:]
async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def main():
    for port in ports:
        async def connected(reader, writer, port=port):
            try:
                there = await asyncio.open_connection(target, port)
            except OSError:
                return writer.close()
            await asyncio.gather(copy(reader, there[1]), copy(there[0], writer), return_exceptions=True)
        await asyncio.start_server(connected, "0.0.0.0", port)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
"""What a Service of Kubernetes does: connections to each of its ports go on to the same port of a pod."""


@pytest.fixture(scope="module")
def network():
    """A router with nobody at it."""
    made = RoutedNetwork()
    yield made
    made.end()


@pytest.fixture
def iocs(network, start):
    """Two IOCs in a range, on a machine of their own."""
    machine = network.machine()
    command = ("ip", "netns", "exec", machine.name, *RUN)
    started = [start(PLUGINS / "triggered", command=command, IOCMNG_EPICS_PORTS=str(PORTS)) for _ in range(2)]
    yield machine, [ioc.wait_until_serving() for ioc in started]
    for ioc in started:
        ioc.kill()


def write_lists(iocs, directory, machine, public_host=None):
    """Write what GET /pvs/name-servers?format=env answers for these IOCs."""
    plugins = [{"name": ioc.prefix, "node": "", "endpoint": endpoint_of(ioc, machine)} for ioc in iocs]
    lines = environment_lines(name_servers(plugins, public_host))
    (directory / "iocmng.env").write_text("".join(f"{line}\n" for line in lines))


def found(machine, pvs, directory):
    """Return the values that both clients print who set what the file says, and search nowhere else."""
    nowhere = {"EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
    done = machine.ask(f"set -a; . ./iocmng.env; {CAGET} 10 {pvs}; {PVGET} 10 {pvs}", directory, **nowhere)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@contextmanager
def forwarding(network, target):
    """Let the router forward each port of the range to a machine, as long as the block takes."""
    ports = map(str, range(PORTS.first, PORTS.last + 1))
    command = ["ip", "netns", "exec", network.router, sys.executable, "-c", FORWARD, target, *ports]
    forwarder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert forwarder.stdout.readline() == "ready\n"
        yield
    finally:
        forwarder.kill()
        forwarder.communicate()


def test_iocs_are_found_by_the_lists_alone(network, iocs, tmp_path):
    """Clients of CA and PVA find each PV with the lists and none without; IOCs listen in the range alone.

    Also where a Service is between: the client reaches the router alone, which forwards the ports of the range.
    """
    machine, (one, two) = iocs
    pvs = f"{one.pv('ENABLE')} {two.pv('ENABLE')}"
    assert all(PORTS.has(ports_of(ioc)) and listening(ioc.pid) == set(ports_of(ioc)) for ioc in (one, two))

    client = network.machine()
    there = {"EPICS_CA_ADDR_LIST": machine.address.rpartition(".")[0] + ".255"}
    assert client.ask(f"{CAGET} 1 {one.pv('ENABLE')}", tmp_path, **there).returncode == 1
    assert client.ask(f"{PVGET} 1 {one.pv('ENABLE')}", tmp_path).returncode == 1
    write_lists((one, two), tmp_path, machine)
    assert found(client, pvs, tmp_path) == ["1"] * 4

    outsider = network.machine(sees_others=False)
    assert "unreachable" in outsider.ask(f"ip route get {machine.address}", tmp_path).stderr
    with forwarding(network, machine.address):
        write_lists((one, two), tmp_path, machine, network.address)
        assert found(outsider, pvs, tmp_path) == ["1"] * 4


@pytest.mark.slow
def test_a_gateway_of_pv_access(network, iocs, start, tmp_path):
    """Pvagw, with the page's configuration, serves the IOCs to clients that know it alone, `pvget` of EPICS Base too.

    An IOC that is started again on other ports of the list is found again by itself.
    """
    machine, (one, two) = iocs
    gateway, client = network.machine(), network.machine()
    (block,) = [one for one in blocks(PAGE) if one.title == "gateway.json"]
    text = block.text.replace("192.168.7.20", machine.address).replace("192.0.2.10", gateway.address)
    (tmp_path / "gateway.json").write_text(text)
    gateway.start(f"{Path(sys.executable).parent}/pvagw gateway.json", tmp_path / "gateway.log", cwd=tmp_path)
    known = {"EPICS_PVA_ADDR_LIST": gateway.address, "EPICS_PVA_AUTO_ADDR_LIST": "NO"}

    def seen(ioc):
        done = client.ask(f"{TOOLS}/pvget -w 2 {ioc.pv('ENABLE')}", tmp_path, **known)
        return "ENABLED" in done.stdout

    for ioc in (one, two):
        wait_for(lambda ioc=ioc: seen(ioc), f"{ioc.prefix} is served by the gateway", 30)
    assert client.ask(f"{PVGET} 10 {one.pv('ENABLE')}", tmp_path, **known).stdout.split() == ["1"]
    before = ports_of(one)
    assert one.stop() == 0
    with taken(machine, before):
        command = ("ip", "netns", "exec", machine.name, *RUN)
        again = start(PLUGINS / "triggered", command=command, after=one, IOCMNG_EPICS_PORTS=str(PORTS))
        assert ports_of(again.wait_until_serving()) != before
        wait_for(lambda: seen(again), "the IOC is found on its new ports", 60)


@pytest.mark.slow
def test_the_gateway_of_kubernetes(network, iocs, start, tmp_path):
    """The component's start asks the API for the lists and becomes a gateway; its probe fails when a node is new to it.

    Before there is an IOC it ends, to be started again; without the API the probe lets it go on. Nobody writes.
    """
    machine, (one, two) = iocs
    gateway, client = network.machine(), network.machine()
    place = tmp_path / "pod"
    shutil.copytree(ROOT / "k8s/components/pva-gateway", place / "etc/pvagw")
    (place / "tmp").mkdir()
    for script in (place / "etc/pvagw").glob("*.sh"):
        script.write_text(re.sub(r"/(etc|tmp)/", rf"{place}/\1/", script.read_text()))
    path = f"PATH={Path(sys.executable).parent}:$PATH"
    known = {"EPICS_PVA_NAME_SERVERS": f"{gateway.address}:5075", "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
    settings = {"host": "0.0.0.0", "allow_unauthenticated": True, "epics_ports": str(PORTS)}
    with served(FakeController(), address=network.own, **settings) as api:
        url = f"IOCMNG_URL={api.url}"
        probe = f"{path} {url} bash {place}/etc/pvagw/probe.sh"
        early = gateway.ask(f"{path} {url} bash {place}/etc/pvagw/start.sh", place)
        assert (early.returncode, early.stderr) == (1, "no IOC answers yet; Kubernetes starts this again\n")
        plugins = [
            plugin_object(f"p{number}", endpoint=endpoint_of(ioc, machine)) for number, ioc in enumerate((one, two))
        ]
        api.do(lambda controller: [controller.put(plugin) for plugin in plugins])
        log = tmp_path / "gateway.log"
        gateway.start(f"env {path} {url} bash {place}/etc/pvagw/start.sh", log, cwd=place)
        pvs = f"{one.pv('ENABLE')} {two.pv('ENABLE')}"
        wait_for(
            lambda: client.ask(f"{PVGET} 5 {pvs}", tmp_path, **known).stdout.split() == ["1", "1"], "it serves", 40
        )
        put = f"{PVPUT} {one.pv('ENABLE')} 0"
        assert "Put permission denied by gateway" in client.ask(put, tmp_path, **known).stderr
        assert gateway.ask(probe, place).returncode == 0
        there = {"host": "10.0.0.9", "ca_port": 5100, "pva_port": 5101, "public_host": None}
        api.do(lambda controller: controller.put(plugin_object("elsewhere", endpoint=there)))
        assert "10.0.0.9:5101 is new" in gateway.ask(probe, place).stderr
    assert gateway.ask(probe, place).returncode == 0


def endpoint_of(ioc, machine):
    """Return where an IOC answers, as a plugin object shows it."""
    ca_port, pva_port = ports_of(ioc)
    return {"host": machine.address, "ca_port": ca_port, "pva_port": pva_port, "public_host": None}


@contextmanager
def taken(machine, ports):
    """Let another program of a machine have ports, as long as the block takes."""
    script = "import socket, sys; held = [socket.create_server(('', int(port))) for port in sys.argv[1:]]; input()"
    command = ["ip", "netns", "exec", machine.name, sys.executable, "-c", script, *map(str, ports)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        wait_for(lambda: listening(holder.pid) == set(ports), "the ports are taken")
        yield
    finally:
        holder.communicate(b"\n")
