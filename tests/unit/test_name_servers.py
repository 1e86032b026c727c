"""The lists for EPICS_CA_NAME_SERVERS and EPICS_PVA_NAME_SERVERS."""

import shlex

import pytest

from iocmng.core.name_servers import environment_lines, name_servers
from iocmng.core.port_range import PortRange
from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings


def plugin(name, host="10.0.0.1", ca_port=5100, public_host=None):
    """Return as much of a plugin object as is looked at."""
    endpoint = {"host": host, "ca_port": ca_port, "pva_port": ca_port + 1, "public_host": public_host}
    return {"name": name, "node": f"node of {name}", "endpoint": endpoint}


DOWN = {"name": "down", "node": None, "endpoint": None}


def lists(told):
    """Return both lists."""
    return told["EPICS_CA_NAME_SERVERS"], told["EPICS_PVA_NAME_SERVERS"]


def test_each_ioc_that_answers_is_listed():
    """Each IOC stands in the list of its protocol, in the order of the plugins; one that is down in none."""
    told = name_servers([plugin("a"), DOWN, plugin("b", "10.0.0.2", 5064)])
    assert lists(told) == ("10.0.0.1:5100 10.0.0.2:5064", "10.0.0.1:5101 10.0.0.2:5065")
    assert told["count"] == 2
    assert told["servers"][1] == {
        "plugin": "b",
        "node": "node of b",
        "host": "10.0.0.2",
        "ca_port": 5064,
        "pva_port": 5065,
    }


def test_nothing_answers():
    """Without IOCs the lists are empty texts, which EPICS takes for none."""
    assert name_servers([DOWN]) == {
        "EPICS_CA_NAME_SERVERS": "",
        "EPICS_PVA_NAME_SERVERS": "",
        "servers": [],
        "count": 0,
    }


def test_the_public_host_of_a_node_wins_over_that_of_the_site():
    """What a node says of itself is so for it; what the site says, for all others; else the address counts."""
    both = [plugin("a", public_host="a.example.org"), plugin("b", ca_port=5102)]
    assert lists(name_servers(both))[0] == "a.example.org:5100 10.0.0.1:5102"
    assert lists(name_servers(both, "iocs.example.org"))[0] == "a.example.org:5100 iocs.example.org:5102"
    assert lists(name_servers(both, "iocs.example.org", inside=True))[0] == "10.0.0.1:5100 10.0.0.1:5102"


def test_a_whole_range():
    """All pairs of the range stand there once for each host, and others that are taken; the order tells nothing."""
    both = [plugin("a", ca_port=5102), plugin("b", ca_port=5104), plugin("c", "10.0.0.2", 5064)]
    ca, pva = lists(name_servers(both, None, PortRange(5100, 5105)))
    assert ca.split() == [
        *(f"10.0.0.1:{port}" for port in (5100, 5102, 5104)),
        *(f"10.0.0.2:{port}" for port in (5064, 5100, 5102, 5104)),
    ]
    assert [int(word.rpartition(":")[2]) + 1 for word in ca.split()] == [
        int(word.rpartition(":")[2]) for word in pva.split()
    ]


def test_lines_for_a_shell():
    """Each line is an assignment that a shell reads as one word."""
    lines = environment_lines(name_servers([plugin("a"), plugin("b", ca_port=5102)]))
    assert [shlex.split(line) for line in lines] == [
        ["EPICS_CA_NAME_SERVERS=10.0.0.1:5100 10.0.0.1:5102"],
        ["EPICS_PVA_NAME_SERVERS=10.0.0.1:5101 10.0.0.1:5103"],
    ]


@pytest.mark.parametrize("host", ["10.0.0.0/24", "iocs.example.org:5100", 'iocs"; reboot', "10.0.0"])
def test_a_public_host_that_is_none(host):
    """What is no host name and no IPv4 address is refused with the name of the setting."""
    with pytest.raises(InvalidRequest, match="epics_public_host: host "):
        load_settings(epics_public_host=host)
    assert load_settings(epics_public_host="iocs.example.org").epics_public_host == "iocs.example.org"
