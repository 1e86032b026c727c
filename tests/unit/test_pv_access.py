"""Who may write PVs: legal names of hosts and users, and the rules that are made of them."""

import pytest

from iocmng.core.builtin_pvs import Kind, Mode, builtin_pvs
from iocmng.core.pv_access import access_rules, check_host, check_user, group_of, needs_lookup
from iocmng.core.pv_fields import Direction
from iocmng.core.pvs import DeclaredPv, FloatPv
from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings

PLAIN = "ASG(DEFAULT) {{\n    RULE(1, READ)\n}}\nASG(OUTPUT) {{\n    RULE(1, READ)\n}}\n" + "".join(
    f"ASG({group}) {{{{\n    RULE(1, READ)\n    {{write}}\n}}}}\n" for group in ("INPUT", "CONTROL")
)


@pytest.mark.parametrize(
    ("hosts", "users", "lists", "write"),
    [
        ((), (), "", "RULE(1, WRITE, TRAPWRITE)"),
        (("10.0.0.1", "desk"), (), 'HAG(CONSOLES) { "10.0.0.1", "desk" }\n', "TRAPWRITE) { HAG(CONSOLES) }"),
        ((), ("anna",), 'UAG(WRITERS) { "anna" }\n', "TRAPWRITE) { UAG(WRITERS) }"),
        (
            ("desk",),
            ("anna",),
            'UAG(WRITERS) { "anna" }\nHAG(CONSOLES) { "desk" }\n',
            "TRAPWRITE) { UAG(WRITERS) HAG(CONSOLES) }",
        ),
    ],
)
def test_rules(hosts, users, lists, write):
    """Outputs have no WRITE rule; the others have one, for those who are named, which tells of each put."""
    text = access_rules(hosts, users)
    write = write if write.startswith("RULE") else f"RULE(1, WRITE, {write}"
    assert text == lists + PLAIN.format(write=write)


def test_groups():
    """Built-in inputs are controls, whatever is declared beside them an input; outputs are outputs."""
    found = {pv.name: group_of(pv) for pv in builtin_pvs(Kind.TASK, Mode.TRIGGERED)}
    assert {name for name, group in found.items() if group == "CONTROL"} == {"ENABLE", "RUN", "CLEAR", "RESET"}
    assert set(found.values()) == {"CONTROL", "OUTPUT"}
    own = DeclaredPv(name="X", direction=Direction.INPUT, pv=FloatPv(type="float"))
    assert group_of(own) == "INPUT"


@pytest.mark.parametrize("host", ["desk", "desk-1.example.org", "10.0.0.17", "a", "node_7"])
def test_legal_hosts(host):
    assert check_host(host) == host


@pytest.mark.parametrize(
    ("host", "part"),
    [
        ("10.0.0.0/24", "no networks"),
        ("desk:5064", "no networks, ports"),
        ("::1", "IPv4"),
        ("*.example.org", "patterns"),
        ('desk"', "letters, digits"),
        ("desk}", "letters, digits"),
        ("desk\n", "letters, digits"),
        ("dësk", "letters, digits"),
        ("-desk", "letters, digits"),
        ("", "letters, digits"),
        ("10.0.0", "no IPv4 address"),
        ("10.0.0.256", "no IPv4 address"),
        ("a" * 300, "letters, digits"),
    ],
)
def test_illegal_hosts(host, part):
    """Nothing that could end the quotes of a rule, and nothing that EPICS would not compare."""
    with pytest.raises(ValueError, match=part):
        check_host(host)


@pytest.mark.parametrize("user", ["anna", "b.c-d_e", "anna@example.org", "role/ops", "_svc", "1000"])
def test_legal_users(user):
    assert check_user(user) == user


@pytest.mark.parametrize("user", ["", 'a"b', "a b", "a,b", "a}b", "a\\b", "a\x00", "é", "-a", "$(P)", "#a", "a" * 65])
def test_illegal_users(user):
    with pytest.raises(ValueError, match="is not allowed"):
        check_user(user)


def test_only_names_are_looked_up():
    assert [needs_lookup(host) for host in ("10.0.0.1", "desk", "1a")] == [False, True, True]


def test_settings_take_lists(monkeypatch):
    """Commas, blanks and both part the names."""
    monkeypatch.setenv("IOCMNG_ACCESS_HOSTS", "desk, 10.0.0.1 ,other")
    monkeypatch.setenv("IOCMNG_ACCESS_USERS", "anna  bert")
    settings = load_settings()
    assert (settings.access_hosts, settings.access_users) == (("desk", "10.0.0.1", "other"), ("anna", "bert"))


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({"access_hosts": "10.0.0.0/8"}, ["access_hosts", "no networks"]),
        ({"access_users": 'x"'}, ["access_users", "is not allowed"]),
        ({"access_file": "/a", "access_users": "anna"}, ["IOCMNG_ACCESS_FILE says all of it", "unset"]),
    ],
)
def test_settings_that_do_not_fit(flags, parts):
    """The sentence names the setting."""
    with pytest.raises(InvalidRequest) as caught:
        load_settings(**flags)
    assert all(part in caught.value.message for part in parts), caught.value.message
