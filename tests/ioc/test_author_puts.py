"""set_pv() as an author meets it: values, severities, mistakes, and many at once."""

import pytest
from ioc_process import Ioc
from support import tool, wait_for, write_files

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


@pytest.mark.parametrize(
    ("mistake", "message", "full"),
    [
        ("wrong_type", "PvValueError: OUT_FLOAT: 'warm'", "PvValueError: OUT_FLOAT: 'warm' is not a number"),
        ("unknown_pv", "UnknownPv: puppet has no PV", "puppet has no PV 'OUT_FLAOT'; did you mean 'OUT_FLOAT'?"),
        (
            "beyond_32_bits",
            "PvValueError: OUT_INT: 2147483648",
            "OUT_INT: 2147483648 does not fit a 32-bit integer record; declare the PV as float",
        ),
        (
            "unknown_state",
            "PvValueError: OUT_ENUM: 'Meas",
            "OUT_ENUM: 'Measuring' is not one of the states Off, Standby, Measure, Broken",
        ),
        ("unknown_state_number", "PvValueError: OUT_ENUM: 4", "OUT_ENUM: 4 is not one of the states Off, Standby"),
        ("unknown_severity", "ValueError: 'SEVERE'", "'SEVERE' is not a valid Severity"),
        ("nan_for_int", "PvValueError: OUT_INT: nan", "OUT_INT: nan is not a whole number"),
    ],
)
def test_mistakes_are_shown_and_survived(puppet, pva, mistake, message, full):
    """A set_pv() that cannot be done changes nothing; the task shows why, the log has all of it, and it goes on."""
    before = puppet.get_all("OUT_FLOAT", "OUT_INT", "OUT_ENUM")
    command(puppet, mistake)
    wait_for(lambda: puppet.get("MESSAGE").startswith(message), f"MESSAGE begins with {message}")
    shown = puppet.get("MESSAGE")
    assert len(shown) <= 39
    assert shown.endswith("...") or shown == full
    wait_alarm(puppet, pva, "STATUS", "MAJOR")
    assert puppet.get("STATUS") == "ERROR"
    assert full in puppet.output()
    puppet.wait_value("STATUS", "RUN")
    assert puppet.get("MESSAGE") == ""
    assert puppet.get_all("OUT_FLOAT", "OUT_INT", "OUT_ENUM") == before


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
        rounds = self.parameters["rounds"]
        for number in range(rounds):
            for pv in range(500):
                self.set_pv(f"P{pv}", 1000 * number + pv)
        self.set_message(f"{rounds} rounds")

    def cleanup(self):
        pass
"""


@pytest.mark.parametrize("rounds", [10, 60])
def test_many_values_in_one_cycle(start, tmp_path, rounds):
    """5000 set_pv() over 500 PVs, and 30,000, in one cycle: afterwards each PV has its last value.

    EPICS Base's callback queue holds 2000 requests, and ours 20,000; what does not fit would be lost for good.
    """
    outputs = "".join(f"    P{pv}: {{type: int}}\n" for pv in range(500))
    config = f"parameters: {{rounds: {rounds}, interval: 3600}}\npvs:\n  outputs:\n{outputs}"
    directory = write_files(tmp_path / "burst", {"config.yaml": config, "burst.py": BURST})
    ioc = start(directory).wait_until_serving()
    ioc.wait_value("MESSAGE", f"{rounds} rounds")
    done = tool("caget", "-t", "-w", "10", *(ioc.pv(f"P{pv}") for pv in range(500)))
    assert done.stdout.split() == [str(1000 * (rounds - 1) + pv) for pv in range(500)]
    assert "ring buffer full" not in ioc.output()
    assert ioc.stop() == 0
