"""Who may write: real clients as other users and from other hosts, over Channel Access and PV Access."""

import getpass
from pathlib import Path

import pytest
from ca_claims import rights
from epics_clients import OTHER_USER, cannot_be_others, ports_of, pva_put, tool_as
from ioc_process import PLUGINS, Ioc
from namespaces import Network, missing

ME = getpass.getuser()
DENIED, PVA_DENIED = "Write access denied", "not permitted"

as_root = pytest.mark.skipif(cannot_be_others() is not None, reason=str(cannot_be_others()))


def begin(start, **environment: str) -> Ioc:
    return start(PLUGINS / "triggered", **environment).wait_until_serving()


def ca_put(ioc: Ioc, name: str, value: object, user: str | None = None, **environment: str) -> str:
    return tool_as(user, "caput", ioc.pv(name), str(value), **environment)


@as_root
def test_named_users_write(start):
    """The user who is named writes inputs and controls; another one reads. Outputs are nobody's, on both protocols."""
    ioc = begin(start, IOCMNG_ACCESS_USERS=OTHER_USER)
    for name in ("FAIL", "ENABLE"):
        assert DENIED in ca_put(ioc, name, 0)
        assert PVA_DENIED in pva_put(ioc.pv(name), 0)
        assert "New :" in ca_put(ioc, name, 0, OTHER_USER)
        assert pva_put(ioc.pv(name), 1, OTHER_USER) == "taken"
        assert ioc.get(name, "-n") == "1"
    for name in ("FLOAT", "STATUS"):
        assert DENIED in ca_put(ioc, name, 1, OTHER_USER)
        assert PVA_DENIED in pva_put(ioc.pv(name), 1, OTHER_USER)
    assert ioc.stop() == 0


@pytest.mark.thorough
def test_user_who_is_not_named_reads_only(start):
    """Needs no other user: who runs the tests is not named, and not even a field of an input can be written."""
    ioc = begin(start, IOCMNG_ACCESS_USERS="somebody-else")
    assert "read, no write" in tool_as(None, "cainfo", ioc.pv("FAIL"))
    for name in ("FAIL", "ENABLE", "ENABLE.ASG", "FAIL.DESC"):
        assert DENIED in ca_put(ioc, name, 1)
    assert PVA_DENIED in pva_put(ioc.pv("FAIL"), 1)
    assert ioc.get("FAIL", "-n") == "0"
    port, _ = ports_of(ioc)
    # The name is what a client says: access security keeps mistakes out, not attackers.
    assert rights(port, ioc.pv("FAIL"), user="somebody-else", host="anywhere") == "rw"
    assert rights(port, ioc.pv("FLOAT"), user="somebody-else", host="anywhere") == "r"
    assert ioc.stop() == 0


@pytest.mark.thorough
def test_address_decides_and_not_the_name_that_a_client_claims(start):
    """Only connections from the address may write; a client that claims that name or address is not believed."""
    ioc = begin(start, IOCMNG_ACCESS_HOSTS="127.0.0.2 console.invalid", IOCMNG_ACCESS_USERS=f"anna,{ME}")
    port, _ = ports_of(ioc)

    def may(user: str, host: str, address: str) -> str:
        return rights(port, ioc.pv("ENABLE"), user=user, host=host, address=address)

    assert may("anna", "nowhere", "127.0.0.2") == "rw"
    assert may("bert", "nowhere", "127.0.0.2") == "r"  # both must fit
    for claimed in ("127.0.0.2", "console.invalid", "unresolved:console.invalid"):
        assert may("anna", claimed, "127.0.0.3") == "r"
    assert DENIED in ca_put(ioc, "ENABLE", 0)
    assert PVA_DENIED in pva_put(ioc.pv("ENABLE"), 0)
    assert "console.invalid cannot be resolved" in ioc.output()
    assert ioc.stop() == 0


@pytest.mark.thorough
def test_named_host_writes(start):
    """A name is resolved, and clients from there write over both protocols."""
    ioc = begin(start, IOCMNG_ACCESS_HOSTS="localhost")
    assert "New :" in ca_put(ioc, "FAIL", 1)
    assert pva_put(ioc.pv("ENABLE"), 0) == "taken"
    assert ioc.stop() == 0


@pytest.mark.thorough
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_other_host_is_refused(start):
    """A machine of its own (a network namespace): it reads, and writes only where it is named."""
    network = Network()
    try:
        machine = network.machine()
        there = ("ip", "netns", "exec", machine.name)
        for hosts, may in (("127.0.0.1", False), (f"127.0.0.1 {machine.address}", True)):
            ioc = begin(start, IOCMNG_ACCESS_HOSTS=hosts)
            servers = [f"{network.net}.254:{port}" for port in ports_of(ioc)]
            answer = tool_as(None, "caput", ioc.pv("FAIL"), "1", prefix=there, EPICS_CA_NAME_SERVERS=servers[0])
            assert ("New :" if may else DENIED) in answer
            answer = pva_put(ioc.pv("ENABLE"), 0, prefix=there, EPICS_PVA_NAME_SERVERS=servers[1])
            assert ("taken" if may else PVA_DENIED) in answer
            assert "New :" in ca_put(ioc, "FAIL", 0)
            assert ioc.stop() == 0
    finally:
        network.end()


SITE = f"""\
UAG(me) {{ {ME} }}
UAG(other) {{ somebody-else }}
HAG(here) {{ 127.0.0.1 }}
ASG(DEFAULT) {{ RULE(1, READ) }}
ASG(OUTPUT) {{ RULE(1, READ) }}
ASG(INPUT) {{ RULE(1, READ) RULE(1, WRITE) {{ UAG(me) HAG(here) }} }}
ASG(CONTROL) {{
    INPA("$(P):FAIL")
    RULE(1, READ)
    RULE(1, WRITE) {{ UAG(me) CALC("A=1") }}
}}
"""


@pytest.mark.thorough
def test_site_file(start, tmp_path: Path):
    """The site's own file decides, its macro P is the plugin's prefix, and outputs stay read-only."""
    file = tmp_path / "site.acf"
    file.write_text(SITE)
    ioc = begin(start, IOCMNG_ACCESS_FILE=str(file))
    assert DENIED in ca_put(ioc, "ENABLE", 0)
    assert "New :" in ca_put(ioc, "FAIL", 1)
    assert pva_put(ioc.pv("ENABLE"), 0) == "taken"  # CALC: FAIL is 1 now
    assert DENIED in ca_put(ioc, "FLOAT", 1)
    assert PVA_DENIED in pva_put(ioc.pv("FLOAT"), 1)
    port, _ = ports_of(ioc)
    assert rights(port, ioc.pv("FAIL"), user="somebody-else", host="here") == "r"
    assert ioc.stop() == 0


@pytest.mark.thorough
def test_run_refuses_a_site_file(start, tmp_path: Path):
    """`iocmng run` ends with the sentence, before there is an IOC."""
    file = tmp_path / "site.acf"
    file.write_text("ASG(OUTPUT) { RULE(1, READ) }\n")
    ioc = start(PLUGINS / "triggered", IOCMNG_ACCESS_FILE=str(file))
    assert ioc.wait_end(60) == 2
    assert "has no ASG(INPUT)" in ioc.output()
    assert "Traceback" not in ioc.output()
