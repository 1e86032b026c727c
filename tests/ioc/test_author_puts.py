"""set_pv() as an author meets it: values, severities, mistakes, and many at once."""

import pytest
from ioc_process import Ioc
from support import wait_for, write_files

pytestmark = pytest.mark.thorough

NUMBERS = {"NO_ALARM": 0, "MINOR": 1, "MAJOR": 2, "INVALID": 3}


def command(puppet: Ioc, name: str) -> None:
    """Let the puppet do something in its next cycle."""
    puppet.put("COMMAND", name)


def wait_alarm(puppet: Ioc, pva, name: str, severity: str) -> None:
    """Return when both protocols show a severity."""
    wait_for(lambda: puppet.alarm(name)[1] == severity, f"{name} is {severity}")
    assert pva.get(puppet.pv(name), timeout=20).severity == NUMBERS[severity]


def test_severity_of_a_value(puppet, pva):
    """set_pv(…, severity) shows with the value, for outputs and inputs; without it the next value is in order again."""
    command(puppet, "give_severities")
    wait_alarm(puppet, pva, "FLOAT", "MAJOR")
    expected = {"OUT_FLOAT": "MINOR", "OUT_INT": "MAJOR", "OUT_STRING": "INVALID", "OUT_ENUM": "MAJOR"}
    for name, severity in (expected | {"OUT_BOOL": "MINOR"}).items():
        wait_alarm(puppet, pva, name, severity)
    assert puppet.get_all("OUT_FLOAT", "OUT_INT", "OUT_STRING", "OUT_ENUM") == ["0.5", "1", "no sensor", "Off"]
    command(puppet, "take_severities")
    wait_alarm(puppet, pva, "OUT_BOOL", "NO_ALARM")
    for name in expected:
        wait_alarm(puppet, pva, name, "NO_ALARM")


def test_a_put_of_a_client_ends_the_severity_of_the_old_value(puppet, pva):
    """A severity belongs to the value with which the plugin set it, not to what an operator puts afterwards."""
    command(puppet, "give_severities")
    wait_alarm(puppet, pva, "FLOAT", "MAJOR")
    puppet.put("FLOAT", 0.75)
    wait_alarm(puppet, pva, "FLOAT", "NO_ALARM")


def test_limits_can_raise_a_severity_above_the_given_one(puppet, pva):
    """MINOR from the plugin and MAJOR from HIHI make MAJOR."""
    command(puppet, "raise_severity_of_alarm")
    puppet.wait_value("OUT_FLOAT", "9")
    wait_alarm(puppet, pva, "OUT_FLOAT", "MAJOR")
    command(puppet, "take_severities")
    wait_alarm(puppet, pva, "OUT_FLOAT", "NO_ALARM")


MISTAKES = {
    "wrong type": "PvValueError: FLOAT: 'warm' is not a number",
    "nothing": "PvValueError: FLOAT: None is not a number",
    "unknown PV": "UnknownPv: triggered has no PV 'FLAOT'; did you mean 'FLOAT'?",
    "beyond 32 bits": "PvValueError: INT: 2147483648 does not fit a 32-bit integer record; declare the PV as float",
    "no whole number": "PvValueError: INT: 2.5 is not a whole number",
    "NaN for an int": "PvValueError: INT: nan is not a whole number",
    "unknown state": "PvValueError: ENUM: 'Measuring' is not one of the states Off, Standby, Measure",
    "unknown number": "PvValueError: ENUM: 3 is not one of the states Off, Standby, Measure",
    "unknown severity": "ValueError: 'SEVERE' is not a valid Severity",
    "unknown status": "PvValueError: STATUS: 'BUSY' is not one of the states INIT, RUN, PAUSED, END, ERROR",
}


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES.items())
def test_mistakes_are_shown_and_survived(triggered: Ioc, pva, mistake, sentence):
    """A set_pv() that cannot be done changes nothing. MESSAGE and the whole log say why, and the task goes on."""
    runs = int(triggered.get("RUNS"))
    triggered.put("MISTAKE", mistake)
    triggered.put("RUN", 1)
    shown = sentence if len(sentence) <= 39 else sentence[:36] + "..."
    triggered.wait_value("MESSAGE", shown)
    wait_for(lambda: triggered.get("STATUS") == "ERROR", "STATUS is ERROR")
    wait_alarm(triggered, pva, "STATUS", "MAJOR")
    assert sentence in triggered.output()
    assert triggered.get_all("RUNS", "FLOAT", "INT", "ENUM") == [str(runs), "1.5", "15", "Standby"]
    triggered.put("MISTAKE", "none")
    triggered.put("RUN", 1)
    triggered.wait_value("RUNS", str(runs + 1))
    assert triggered.get("MESSAGE") == "shot taken"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("long_string", "x" * 36 + "..."),
        ("long_string_of_wide_characters", "µ" * 18 + "..."),
        ("fitting_string", "y" * 39),
    ],
)
def test_a_string_that_is_too_long_ends_with_a_mark(puppet, pva, name, expected):
    """39 bytes fit; of a longer text 36 bytes and `...` are shown, and no character is cut in two."""
    command(puppet, name)
    wait_for(lambda: pva.get(puppet.pv("OUT_STRING"), timeout=20) == expected, f"OUT_STRING is {expected}")


def test_a_value_that_is_no_number_is_invalid(puppet, pva):
    """NaN for a float shows INVALID, in an output and in an input, until there is a number again."""
    command(puppet, "not_a_number")
    puppet.wait_value("FLOAT", "nan")
    for name in ("OUT_FLOAT", "FLOAT"):
        wait_alarm(puppet, pva, name, "INVALID")
    command(puppet, "a_number_again")
    puppet.wait_value("FLOAT", "0")
    for name in ("OUT_FLOAT", "FLOAT"):
        wait_alarm(puppet, pva, name, "NO_ALARM")


BURST = """\
from iocmng import TaskBase

class Burst(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        rounds = self.get_pv("ROUNDS")
        for number in range(rounds):
            for pv in range(500):
                self.set_pv(f"P{pv}", 1000 * number + pv)
        self.set_message(f"{rounds} rounds")

    def cleanup(self):
        pass
"""


def test_many_values_in_one_cycle(start, tmp_path):
    """5000 set_pv() over 500 PVs, and 30,000, in one cycle: afterwards each PV has its last value.

    EPICS Base's callback queue holds 2000 requests, and ours 20,000; what does not fit would be lost for good.
    """
    outputs = "".join(f"    P{pv}: {{type: int}}\n" for pv in range(500))
    config = "parameters: {mode: reactive, interval: 3600}\npvs:\n  inputs:\n    ROUNDS: {type: int}\n  outputs:\n"
    directory = write_files(tmp_path / "burst", {"config.yaml": config + outputs, "burst.py": BURST})
    ioc = start(directory).wait_until_serving()
    for rounds in (10, 60):
        ioc.put("ROUNDS", rounds)
        ioc.wait_value("MESSAGE", f"{rounds} rounds")
        found = ioc.get_all(*(f"P{pv}" for pv in range(500)))
        assert found == [str(1000 * (rounds - 1) + pv) for pv in range(500)]
    assert "ring buffer full" not in ioc.output()
    assert ioc.stop() == 0
