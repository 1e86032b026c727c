"""What operators may write, what they may not, and what reaches the plugin."""

import pytest
from ioc_process import Ioc
from p4p.client.thread import Context, RemoteError
from support import tool, wait_for


@pytest.fixture
def notes(puppet: Ioc):
    """Return the calls of on_write() since the test began."""
    directory = puppet.log.parent / "puppet"
    before = len(puppet.writes(directory))
    return lambda: puppet.writes(directory)[before:]


def wait_writes(notes, expected):
    """Return when on_write() was called exactly so."""
    wait_for(lambda: len(notes()) >= len(expected), f"on_write() gets {expected}")
    assert notes() == expected


OUTPUTS = {"OUT_FLOAT": 3.5, "OUT_INT": 4, "OUT_BOOL": 1, "OUT_STRING": "mine", "OUT_ENUM": 2}
BUILT_IN = {"STATUS": 3, "MESSAGE": "mine", "VERSION": "mine", "CYCLE_COUNT": 0, "HEARTBEAT": 0, "UPTIME": 0}
STILL = OUTPUTS | {"VERSION": "mine"}


@pytest.mark.parametrize(("name", "value"), (OUTPUTS | BUILT_IN).items())
def test_clients_cannot_write_outputs(puppet: Ioc, pva: Context, name, value):
    """A caput and a PVA put to an output are refused and change nothing."""
    before = puppet.get(name)
    done = tool("caput", "-c", "-w", "5", puppet.pv(name), str(value))
    assert done.returncode != 0
    assert "Write access denied" in done.stdout + done.stderr
    with pytest.raises(RemoteError, match="not permitted"):
        pva.put(puppet.pv(name), value, timeout=20)
    if name in STILL:
        assert puppet.get(name) == before
    assert puppet.get("STATUS") == "RUN"


@pytest.mark.parametrize("field", ["DISP", "VAL", "PROC", "SCAN", "HIHI", "DESC", "SIMM"])
def test_clients_cannot_write_fields_of_outputs(puppet: Ioc, field):
    """Nor can they open an output by one of its fields."""
    assert "denied" in puppet.put(f"OUT_FLOAT.{field}", 1)
    assert "denied" in puppet.put("OUT_FLOAT", 77)
    assert puppet.get("OUT_FLOAT") != "77"


def test_clients_see_what_they_may_write(puppet: Ioc):
    """For outputs cainfo says `no write`, so that screens can show it."""
    assert "read, no write" in tool("cainfo", puppet.pv("OUT_FLOAT")).stdout
    assert "read, no write" in tool("cainfo", puppet.pv("STATUS")).stdout
    assert "read, write" in tool("cainfo", puppet.pv("FLOAT")).stdout
    assert "read, write" in tool("cainfo", puppet.pv("ENABLE")).stdout


PUTS = [
    ("FLOAT", 2.75, 2.75),
    ("INT", -42, -42),
    ("BOOL", "OPEN", True),
    ("BOOL", 0, False),
    ("STRING", "to the left", "to the left"),
    ("ENUM", "Measure", 2),
    ("ENUM", 0, 0),
]


@pytest.mark.parametrize(("name", "value", "told"), PUTS)
def test_ca_puts_reach_on_write(puppet: Ioc, notes, name, value, told):
    """on_write() gets the name and the value that the record now has; a bool is a bool, an enum its number."""
    puppet.put(name, value)
    wait_writes(notes, [(name, told)])
    assert type(notes()[0][1]) is type(told)


@pytest.mark.parametrize(("name", "value", "told"), PUTS)
def test_pva_puts_reach_on_write(puppet: Ioc, pva: Context, notes, name, value, told):
    """PV Access is no second-class way in."""
    pva.put(puppet.pv(name), value, timeout=20)
    wait_writes(notes, [(name, told)])
    assert type(notes()[0][1]) is type(told)


def test_every_put_counts(puppet: Ioc, pva: Context, notes):
    """A put of the value that is there already reaches on_write() too."""
    for _ in range(2):
        puppet.put("INT", 5)
        pva.put(puppet.pv("INT"), 5, timeout=20)
    wait_writes(notes, [("INT", 5)] * 4)


def test_puts_beyond_drive_limits_are_clamped(puppet: Ioc, pva: Context, notes):
    """The record and on_write() have the clamped value, whichever protocol brought it."""
    puppet.put("DRIVEN_FLOAT", 100)
    assert puppet.get("DRIVEN_FLOAT") == "10.5"
    pva.put(puppet.pv("DRIVEN_FLOAT"), -100.0, timeout=20)
    assert puppet.get("DRIVEN_FLOAT") == "-10.5"
    puppet.put("DRIVEN_INT", -11)
    assert puppet.get("DRIVEN_INT") == "-10"
    pva.put(puppet.pv("DRIVEN_INT"), 11, timeout=20)
    assert puppet.get("DRIVEN_INT") == "10"
    wait_writes(notes, [("DRIVEN_FLOAT", 10.5), ("DRIVEN_FLOAT", -10.5), ("DRIVEN_INT", -10), ("DRIVEN_INT", 10)])


def test_what_the_plugin_sets_itself_is_no_put(puppet: Ioc, notes):
    """set_input() and set_pv() change inputs, and on_write() hears nothing of it."""
    puppet.put("BOOL_PLAIN", 0)
    wait_writes(notes, [("BOOL_PLAIN", False)])
    puppet.put("COMMAND", "set_inputs")
    puppet.wait_value("ENUM", "Off")
    names = ("FLOAT", "INT", "BOOL_PLAIN", "STRING")
    assert puppet.get_all(*names) == ["2.5", "25", "On", "by the plugin"]
    puppet.put("BOOL_PLAIN", 0)
    wait_writes(notes, [("BOOL_PLAIN", False), ("BOOL_PLAIN", False)])


def test_puts_during_a_cycle_wait_and_get_pv_sees_them_at_once(puppet: Ioc, pva: Context, notes):
    """While execute() works, clients can put. get_pv() has the new value at once; on_write() follows, in order."""
    puppet.put("RELEASE", 0)
    puppet.put("COMMAND", "spin")
    puppet.wait_value("MESSAGE", "spinning")
    for number in range(1, 6):
        puppet.put("INT", number)
    pva.put(puppet.pv("STRING"), "seen", timeout=20)
    puppet.put("FLOAT", 1.0)
    assert puppet.get_all("INT", "STRING", "FLOAT", "MESSAGE") == ["5", "seen", "1", "spinning"]
    assert notes() == [("RELEASE", False)]
    puppet.put("RELEASE", 1)
    puppet.wait_value("MESSAGE", "released at 5 seen")
    numbers = [("INT", number) for number in range(1, 6)]
    wait_writes(notes, [("RELEASE", False), *numbers, ("STRING", "seen"), ("FLOAT", 1.0), ("RELEASE", True)])
