"""IOCMNG_EPICS_PORTS: an IOC listens in the range, is found all the same, and keeps its ports."""

import socket
import subprocess
import sys

import pytest
from epics_clients import listening, ports_of
from ioc_process import PLUGINS
from p4p.client.thread import Context
from support import LOOPBACK, TOOLS, caget, is_gone, tool

from iocmng.core.port_range import PortRange
from iocmng.epics.ports import ClaimedPorts, is_free
from iocmng.errors import NoPorts

NOWHERE = {"EPICS_CA_ADDR_LIST": "", "EPICS_PVA_ADDR_LIST": ""}


@pytest.fixture
def free_range():
    """Return what finds so many free ports in a row, in a part of the numbers from which the kernel gives none."""

    def find(size: int) -> PortRange:
        for first in range(20000, 30000, size):
            if all(is_free(port) for port in range(first, first + size)):
                return PortRange(first, first + size - 1)
        raise AssertionError("no free ports")

    return find


@pytest.mark.thorough
def test_iocs_in_a_range(start, pva, free_range):
    """Two IOCs fill a range of four ports: both are found by broadcasts and by name servers, a third has no place.

    The third says so, and one that is started again has the ports that it had, whoever comes first.
    """
    ports = free_range(4)
    setting = {"IOCMNG_EPICS_PORTS": str(ports)}
    iocs = [start(PLUGINS / "triggered", **setting).wait_until_serving() for _ in range(2)]
    taken = [ports_of(ioc) for ioc in iocs]
    assert {port for pair in taken for port in pair} == set(range(ports.first, ports.last + 1))
    for ioc, pair in zip(iocs, taken, strict=True):
        assert listening(ioc.pid) == set(pair)
        assert f":{pair[0]}\n" in tool("cainfo", ioc.pv("STATUS")).stdout
        assert int(pva.get(ioc.pv("ENABLE"), timeout=20)) == 1
    asked_by_tcp(iocs, taken)

    third = start(PLUGINS / "triggered", **setting)
    assert third.wait_end(60) == 1
    assert f"no two ports of IOCMNG_EPICS_PORTS={ports} are free" in third.output()
    assert "widen the range" in third.output()
    assert all(caget(ioc.pv("ENABLE"), "-n") == "1" for ioc in iocs)

    for ioc in iocs:
        ioc.stop()
    again = [start(PLUGINS / "triggered", after=ioc, **setting).wait_until_serving() for ioc in reversed(iocs)]
    assert [ports_of(ioc) for ioc in again] == taken[::-1]
    again[0].kill()
    assert is_gone(again[0].pv("STATUS"))
    revived = start(PLUGINS / "triggered", after=again[0], **setting).wait_until_serving()
    assert ports_of(revived) == taken[1]


def asked_by_tcp(iocs, taken):
    """Fail unless clients find both IOCs without a broadcast, by the ports alone."""
    servers = " ".join(f"127.0.0.1:{ca}" for ca, _ in taken)
    from_tcp = {"EPICS_CA_NAME_SERVERS": servers, "EPICS_CA_ADDR_LIST": "", "EPICS_CA_AUTO_ADDR_LIST": "NO"}
    done = caget_by(from_tcp, *(ioc.pv("ENABLE") for ioc in iocs))
    assert done.returncode == 0, done.stderr
    configuration = LOOPBACK | NOWHERE | {"EPICS_PVA_NAME_SERVERS": " ".join(f"127.0.0.1:{pva}" for _, pva in taken)}
    with Context("pva", conf=configuration, useenv=False) as context:
        assert [int(context.get(ioc.pv("ENABLE"), timeout=20)) for ioc in iocs] == [1, 1]


def caget_by(environment, *pvs):
    """Run caget with an environment of its own and nothing else."""
    command = [TOOLS / "caget", "-w", "20", *pvs]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.thorough
def test_port_of_another_program_is_passed_over(start, free_range):
    """A port on which somebody listens is no mistake of the site; the other pair is taken."""
    ports = free_range(4)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", ports.first + 1))
        other.listen()
        ioc = start(PLUGINS / "triggered", IOCMNG_EPICS_PORTS=str(ports)).wait_until_serving()
        assert ports_of(ioc) == (ports.first + 2, ports.first + 3)
        assert caget(ioc.pv("ENABLE"), "-n") == "1"
        assert ioc.stop() == 0


CLAIM = """
import sys
from iocmng.core.port_range import PortRange
from iocmng.epics.ports import ClaimedPorts
claimed = ClaimedPorts(PortRange.of(sys.argv[1]), "same name")
print(*claimed.pair, flush=True)
sys.stdin.read()
"""


def test_processes_that_start_at_once_share_no_port(free_range):
    """Eight processes want the same ports at the same moment: each gets two of its own, and its end frees them."""
    ports = free_range(16)
    command = [sys.executable, "-c", CLAIM, str(ports)]
    claimants = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    try:
        found = [tuple(map(int, claimant.stdout.readline().split())) for claimant in claimants]
        assert sorted(found) == [(port, port + 1) for port in range(ports.first, ports.last, 2)]
        with pytest.raises(NoPorts, match="room for 8 IOCs"):
            ClaimedPorts(ports, "ninth")
    finally:
        for claimant in claimants:
            claimant.kill()
            claimant.communicate()
    ClaimedPorts(ports, "ninth").release()


@pytest.mark.parametrize(("interfaces", "asked"), [("", "127.255.255.255"), ("127.0.0.1", "127.0.0.1")])
def test_search_port_of_the_site_is_kept(start, free_range, interfaces, asked):
    """A site whose CA searches go to another UDP port (EPICS_CAS_SERVER_PORT) is found there as before.

    An IOC that is told its interface has two search sockets, here of the same address; both are exchanged.
    """
    ports, search = free_range(4), free_range(1).first + 4
    setting = {"IOCMNG_EPICS_PORTS": str(ports), "EPICS_CAS_SERVER_PORT": str(search)}
    ioc = start(PLUGINS / "triggered", EPICS_CAS_INTF_ADDR_LIST=interfaces, **setting).wait_until_serving()
    environment = {"EPICS_CA_ADDR_LIST": asked, "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_SERVER_PORT": str(search)}
    done = caget_by(environment, ioc.pv("ENABLE"))
    assert done.returncode == 0, done.stderr
    assert is_gone(ioc.pv("ENABLE"))
    assert ioc.stop() == 0


@pytest.mark.parametrize("kept", ["{} {}", "5 6", "nonsense", "", "1 2 3", "{} x"])
def test_kept_choice(free_range, tmp_path, kept):
    """The pair that is kept is taken first; a file that is damaged, or of another range, does no harm."""
    ports = free_range(40)
    before = ports.first + 10
    file = tmp_path / "values" / "ports"
    file.parent.mkdir()
    file.write_text(kept.format(before, before + 1))
    claimed = ClaimedPorts(ports, "any name", file)
    try:
        expected = (before, before + 1) if kept == "{} {}" else next(ports.candidates("any name", None))
        assert claimed.pair == expected
        claimed.remember()
        assert tuple(map(int, file.read_text().split())) == expected
    finally:
        claimed.release()


def test_choice_that_cannot_be_kept(free_range, tmp_path):
    """A directory that cannot be made costs the memory, not the IOC."""
    (tmp_path / "file").write_text("")
    claimed = ClaimedPorts(free_range(2), "any name", tmp_path / "file" / "ports")
    claimed.remember()
    claimed.release()
