"""A PV has its value before the first client can read it."""

import threading

from ioc_process import RUN, Ioc, camonitor, new_prefix
from support import wait_for, write_files

CONFIG = """\
parameters: {mode: triggered}
pvs:
  inputs:
    FLOAT: {type: float, value: 1.5}
    INT: {type: int, value: -3}
    BOOL: {type: bool, value: true}
    STRING: {type: string, value: first words}
    ENUM: {type: enum, states: [A, B, C], value: C}
    BARE_FLOAT: {type: float}
    BARE_STRING: {type: string}
    HOT: {type: float, value: 9, alarms: {hihi: 8}}
    LIT: {type: bool, value: 1, alarm_on: MINOR}
    BROKEN: {type: enum, states: [A, B], value: 1, state_severities: {B: MAJOR}}
    BY_INIT: {type: float, value: 1}
  outputs:
    OUT_FLOAT: {type: float, value: 1.5}
    OUT_INT: {type: int, value: -3}
    OUT_BOOL: {type: bool, value: true}
    OUT_STRING: {type: string, value: first words}
    OUT_ENUM: {type: enum, states: [A, B, C], value: C}
    OUT_BARE_FLOAT: {type: float}
    OUT_BARE_STRING: {type: string}
    OUT_HOT: {type: float, value: 9, alarms: {hihi: 8}}
    OUT_LIT: {type: bool, value: 1, alarm_on: MINOR}
    OUT_BROKEN: {type: enum, states: [A, B], value: 1, state_severities: {B: MAJOR}}
    OUT_BY_INIT: {type: float, value: 1}
"""

PLUGIN = """\
from iocmng import TaskBase

class Early(TaskBase):
    def __init__(self):
        self.set_pv("BY_INIT", 2.5)
        self.set_pv("OUT_BY_INIT", 2.5, severity="MINOR")

    def initialize(self):
        pass

    def execute(self):
        pass

    def cleanup(self):
        pass
"""

EXPECTED = {
    "FLOAT": ("1.5", 0),
    "INT": ("-3", 0),
    "BOOL": ("On", 0),
    "STRING": ("first words", 0),
    "ENUM": ("C", 0),
    "BARE_FLOAT": ("0", 0),
    "BARE_STRING": ("", 0),
    "HOT": ("9", 2),
    "LIT": ("On", 1),
    "BROKEN": ("B", 2),
}
SEVERITIES = ("", "MINOR", "MAJOR")


def test_the_first_value_that_any_client_sees_is_the_right_one(tmp_path, pva):
    """Clients that wait for the IOC get values of config.yaml and of __init__ first, with the severity that fits.

    No record is UDF or INVALID, no output shows the value of config.yaml where __init__ set another one, and an initial
    value beyond an alarm limit, or in a state with a severity, is in alarm from the start.
    """
    expected = EXPECTED | {f"OUT_{name}": value for name, value in EXPECTED.items()}
    expected |= {"BY_INIT": ("2.5", 0), "OUT_BY_INIT": ("2.5", 1)}
    prefix = new_prefix()
    first: dict[str, tuple[str, int]] = {}
    lock = threading.Lock()

    def note(name):
        def told(value):
            with lock:
                first.setdefault(name, (text_of(value), value.severity))

        return told

    directory = write_files(tmp_path / "early", {"config.yaml": CONFIG, "early.py": PLUGIN})
    subscriptions = [pva.monitor(f"{prefix}:{name}", note(name)) for name in expected]
    pvs = [f"{prefix}:{name}" for name in expected]
    ioc = Ioc([*RUN, directory, "--prefix", prefix], prefix, tmp_path / "log.txt")
    try:
        with camonitor(tmp_path / "monitor.txt", *pvs) as monitor:
            monitor.wait_connected(*pvs)
            wait_for(lambda: len(first) == len(expected), "PV Access has all values")
            assert first == expected
            firsts = {name: monitor.values(f"{prefix}:{name}")[0] for name in expected}
        shown = {name: " ".join(line.split()) for name, line in firsts.items()}
        assert shown == {name: ca_text(name, *value) for name, value in expected.items()}
        assert ioc.stop() == 0
    finally:
        ioc.kill()
        for subscription in subscriptions:
            subscription.close()


def ca_text(name: str, value: str, severity: int) -> str:
    """Return what camonitor prints of a value: the value, the alarm status, the severity."""
    status = "STATE" if name.endswith(("LIT", "BROKEN")) else "SOFT" if name == "OUT_BY_INIT" else "HIHI"
    return f"{value} {status} {SEVERITIES[severity]}" if severity else value


def text_of(value) -> str:
    """Return a PV Access value as caget would print it."""
    plain = value.raw.value
    if hasattr(plain, "choices"):
        return plain.choices[plain.index]
    return f"{plain:g}" if isinstance(plain, float) else str(plain)


def test_values_of_init_and_initialize_are_kept(puppet):
    """What an author sets in __init__ and initialize() is there, in inputs and outputs, without an alarm."""
    names = ("FROM_INIT", "FROM_INITIALIZE", "SETPOINT_INIT", "SETPOINT_INITIALIZE")
    assert puppet.get_all(*names) == ["7.5", "ready", "8.5", "9.5"]
    assert {puppet.alarm(name) for name in names} == {("NO_ALARM", "NO_ALARM")}
