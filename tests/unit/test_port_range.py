"""The range of TCP ports for IOCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iocmng.core.port_range import PortRange
from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings


@pytest.mark.parametrize(("text", "pairs"), [("5100-5199", 50), (" 5100 - 5101 ", 1), ("5100-5102", 1)])
def test_range(text, pairs):
    assert PortRange.of(text).pairs == pairs


@pytest.mark.parametrize("text", ["", "5100", "5100-", "a-b", "5199-5100", "5100-5100", "80-90", "5100-70000", "-1-5"])
def test_what_is_no_range(text):
    with pytest.raises(ValueError, match=r"FIRST-LAST|two for each IOC"):
        PortRange.of(text)


def test_setting_names_itself():
    """A wrong range is refused with the name of the setting."""
    with pytest.raises(InvalidRequest, match="epics_ports: ports 80-90"):
        load_settings(epics_ports="80-90")
    assert load_settings(epics_ports=" 5100 - 5199").epics_ports == "5100-5199"


@given(st.integers(1024, 60000), st.integers(1, 200), st.text(max_size=10), st.integers(0, 250))
def test_candidates_are_all_pairs_each_once(first, size, name, before):
    """Whatever the name: each pair once, none outside, the one before in front where it is one of the range."""
    ports = PortRange(first, first + size)
    pair = (first + 2 * before, first + 2 * before + 1)
    found = list(ports.candidates(name, pair))
    assert len(found) == len(set(found)) == ports.pairs
    assert all(first <= ca < pva <= ports.last and pva == ca + 1 for ca, pva in found)
    assert found[0] == pair if ports.has(pair) else pair not in found


def test_candidates_of_a_name_stay_the_same():
    """So that a site finds its IOCs again where it had them."""
    ports = PortRange(5100, 5199)
    assert next(ports.candidates("A:B", None)) == next(ports.candidates("A:B", None))
    assert len({next(ports.candidates(f"A:{number}", None)) for number in range(100)}) > 20
    assert next(ports.candidates("A:B", (6000, 6001)))[0] < 5200
