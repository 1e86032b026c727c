"""Plugin names, PV names and the rule for the prefix."""

import re
import string

import pytest
from properties import given, st

from iocmng.core.names import (
    PV_SEGMENTS_PATTERN,
    alias_of,
    check_plugin_name,
    check_prefix,
    is_pv_segment,
    plugin_pv_prefix,
    record_name,
    site_prefix,
    underscored_pv_prefix,
)
from iocmng.errors import InvalidRequest

ALPHABET = set(string.ascii_letters + string.digits + "_-")
NEARLY_LEGAL = st.text(st.sampled_from(sorted(ALPHABET)), max_size=130) | st.text(
    st.sampled_from([*"aZ09_-", *" :.$\n\t\0", "é", "٣", "\uff41", "Ⅷ"]), max_size=6
)


def accepts(check, text):
    try:
        assert check(text) == text
    except InvalidRequest:
        return False
    return True


@given(NEARLY_LEGAL | st.text(max_size=5))
def test_a_plugin_name_is_letters_digits_underscore_and_hyphen(name):
    """Exactly the names of the contract are taken, unchanged; digits and letters are those of ASCII."""
    legal = 1 <= len(name) <= 128 and set(name) <= ALPHABET and name[0] not in "_-"
    assert accepts(check_plugin_name, name) is legal


@given(NEARLY_LEGAL | st.text(max_size=5))
def test_a_pv_segment_is_letters_digits_underscore_and_hyphen(segment):
    """Exactly what the contract allows between two colons."""
    assert is_pv_segment(segment) is (segment != "" and set(segment) <= ALPHABET)


@given(st.lists(NEARLY_LEGAL, min_size=1, max_size=4).map(":".join))
def test_a_prefix_is_segments_joined_by_colons(prefix):
    """A prefix is legal exactly when each of its segments is; an empty segment is not."""
    legal = all(segment and set(segment) <= ALPHABET for segment in prefix.split(":"))
    assert accepts(check_prefix, prefix) is legal


@pytest.mark.parametrize("check", [check_plugin_name, check_prefix])
@pytest.mark.parametrize("text", ["", "name\n", "na me", "n\0", "náme", "na.me", "na$me", "../up", "n" * 3 + "\r\n"])
def test_hostile_names_are_refused_with_the_rule(check, text):
    """A trailing newline, blanks, dots and accents are refused, and the message says what is allowed."""
    with pytest.raises(InvalidRequest, match=r"letters, ?.*digits, '_' and '-'"):
        check(text)


def test_a_long_name_is_not_repeated_at_length():
    """The message for a name of a megabyte is short."""
    with pytest.raises(InvalidRequest) as caught:
        check_plugin_name("n" * 1_000_000)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("configured", "beamline_file", "prefix"),
    [
        ("LAB:TEST", {"beamline": "sparc", "namespace": "vac"}, "LAB:TEST"),
        ("lab-1", {}, "lab-1"),
        (None, {"beamline": "sparc", "namespace": "vac"}, "SPARC:VAC"),
        ("", {"beamline": "sparc", "namespace": "vac"}, "SPARC:VAC"),
        (None, {"beamline": "sparc-2", "namespace": "vac_1"}, "SPARC-2:VAC_1"),
        (None, {"beamline": "sparc", "namespace": "sparc"}, "SPARC"),
        (None, {"beamline": "Sparc", "namespace": "sPARC"}, "SPARC"),
        (None, {"beamline": "sparc"}, "SPARC:DEFAULT"),
        (None, {"beamline": "sparc", "namespace": None}, "SPARC:DEFAULT"),
        (None, {"namespace": "vac"}, "BEAMLINE:VAC"),
        (None, {"beamline": "", "namespace": ""}, "BEAMLINE:DEFAULT"),
        (None, {}, "BEAMLINE:DEFAULT"),
        (None, {"beamline": 7, "devices": []}, "7:DEFAULT"),
    ],
)
def test_the_prefix_of_the_site(configured, beamline_file, prefix):
    """IOCMNG_PREFIX wins as it is; else BEAMLINE:NAMESPACE in upper case; else BEAMLINE:DEFAULT."""
    assert site_prefix(configured, beamline_file) == prefix


@pytest.mark.parametrize(
    ("configured", "beamline_file"),
    [("LAB:", {}), ("A B", {}), (None, {"beamline": "spa rc"}), (None, {"beamline": {"name": "sparc"}})],
)
def test_a_prefix_that_epics_would_not_take_is_refused(configured, beamline_file):
    """A bad prefix is found before any record is made, wherever it comes from."""
    with pytest.raises(InvalidRequest, match="PV prefix"):
        site_prefix(configured, beamline_file)


@pytest.mark.parametrize(
    ("name", "configured", "expected"),
    [
        ("my-monitor", None, "SPARC:VAC:MY-MONITOR"),
        ("my_monitor2", None, "SPARC:VAC:MY_MONITOR2"),
        ("my-monitor", "mon", "SPARC:VAC:mon"),
    ],
)
def test_the_segment_of_a_plugin(name, configured, expected):
    """The plugin's name in upper case with its hyphens, or config.yaml's `prefix` as it is written."""
    assert plugin_pv_prefix("SPARC:VAC", name, configured) == expected


@given(
    st.text(st.sampled_from(sorted(ALPHABET)), min_size=1, max_size=20),
    st.text(st.sampled_from(sorted(ALPHABET)), min_size=1, max_size=20),
)
def test_a_record_name_is_prefix_plugin_and_pv(name, pv_name):
    """PREFIX:PLUGIN:PV, so that legal parts always give a name of legal segments."""
    full = record_name(plugin_pv_prefix("LAB:TEST", name, None), pv_name)
    assert full == f"LAB:TEST:{name.upper()}:{pv_name}"
    assert check_prefix(full) == full


@pytest.mark.parametrize(
    ("name", "configured", "alias"),
    [
        ("water-pump", None, "P:WATER_PUMP:FLOW"),
        ("water-pump", "FLOW-1", "P:WATER_PUMP:FLOW"),
        ("water-pump", "WATER_PUMP", None),
        ("water_pump", "FLOW-1", None),
        ("pump", None, None),
        (f"a-{'b' * 52}", None, None),
    ],
)
def test_a_name_with_hyphens_has_a_second_one_with_underscores(name, configured, alias):
    """As generated screens have it, which do not look at `prefix`; not where it is the same, or too long for EPICS."""
    assert alias_of(plugin_pv_prefix("P", name, configured), underscored_pv_prefix("P", name), "FLOW") == alias


@pytest.mark.parametrize(
    ("text", "is_taken"), [("CMM", True), ("SITE:CMM-1", True), ("A::B", False), (":A", False), ("A:", False)]
)
def test_the_segment_of_a_plugin_may_be_several(text, is_taken):
    """A `prefix` in config.yaml may have colons, as 2.x took it."""
    assert bool(re.match(PV_SEGMENTS_PATTERN, text)) is is_taken
