"""What config.yaml says of a PV is what the record is, over Channel Access and PV Access."""

import pytest

RECORD_TYPES = {"FLOAT": "ao ai", "INT": "longout longin", "BOOL": "bo bi", "STRING": "stringout stringin"} | {
    "ENUM": "mbbo mbbi"
}


def test_record_types(puppet):
    """Inputs are ao, longout, bo, stringout and mbbo; outputs ai, longin, bi, stringin and mbbi."""
    names = [name for declared in RECORD_TYPES for name in (declared, f"OUT_{declared}")]
    found = puppet.get_all(*(f"{name}.RTYP" for name in names))
    assert found == " ".join(RECORD_TYPES.values()).split()


@pytest.mark.parametrize("name", ["FLOAT", "OUT_FLOAT"])
def test_fields_of_a_float(puppet, name):
    """DESC, EGU, PREC, display limits and alarm limits each stand in their own field."""
    expected = {"DESC": "Position of the slit", "EGU": "mm", "PREC": "2", "LOPR": "-5", "HOPR": "5"}
    expected |= {"LOLO": "-8", "LOW": "-6", "HIGH": "6", "HIHI": "8"}
    expected |= {"LLSV": "MAJOR", "LSV": "MINOR", "HSV": "MINOR", "HHSV": "MAJOR"}
    assert puppet.fields(name, *expected) == expected


@pytest.mark.parametrize("name", ["INT", "OUT_INT"])
def test_fields_of_an_int(puppet, name):
    """An int has the same fields as a float, without PREC."""
    expected = {"DESC": "Number of shots", "EGU": "shots", "LOPR": "-50", "HOPR": "50"}
    expected |= {"LOLO": "-80", "LOW": "-60", "HIGH": "60", "HIHI": "80"}
    expected |= {"LLSV": "MAJOR", "LSV": "MINOR", "HSV": "MINOR", "HHSV": "MAJOR"}
    assert puppet.fields(name, *expected) == expected


@pytest.mark.parametrize("name", ["BOOL", "OUT_BOOL"])
def test_fields_of_a_bool(puppet, name):
    """ZNAM, ONAM and alarm_on."""
    expected = {"DESC": "Shutter", "ZNAM": "CLOSED", "ONAM": "OPEN", "ZSV": "NO_ALARM", "OSV": "MAJOR"}
    assert puppet.fields(name, *expected) == expected


def test_a_bool_without_names(puppet):
    """States of a bool are called 0 and 1 and have no alarm, where nothing else is said; alarm_on can be MINOR."""
    assert puppet.fields("BOOL_PLAIN", "ZNAM", "ONAM", "OSV") == {"ZNAM": "Off", "ONAM": "On", "OSV": "NO_ALARM"}
    assert puppet.fields("BOOL_MINOR", "OSV") == {"OSV": "MINOR"}


@pytest.mark.parametrize("name", ["ENUM", "OUT_ENUM"])
def test_fields_of_an_enum(puppet, name):
    """State names, numbers and severities; nothing where there is no state."""
    expected = {"DESC": "Mode of the detector", "ZRST": "Off", "ONST": "Standby", "TWST": "Measure", "THST": "Broken"}
    expected |= {"FRST": "", "ZRVL": "0", "ONVL": "1", "TWVL": "2", "THVL": "3"}
    expected |= {"ZRSV": "NO_ALARM", "ONSV": "NO_ALARM", "TWSV": "MINOR", "THSV": "MAJOR"}
    assert puppet.fields(name, *expected) == expected


def test_chosen_severities_and_hysteresis(puppet):
    """The severity of each alarm limit can be chosen."""
    expected = {"LLSV": "INVALID", "LSV": "MAJOR", "HSV": "MAJOR", "HHSV": "MINOR", "HYST": "0.25"}
    assert puppet.fields("CHOSEN", *expected) == expected


def test_display_limits_are_no_alarm_limits(puppet):
    """`low` and `high` are for screens only: beyond them there is no alarm."""
    expected = {"LOPR": "-1", "HOPR": "1", "LSV": "NO_ALARM", "HSV": "NO_ALARM", "LLSV": "NO_ALARM", "HHSV": "NO_ALARM"}
    assert puppet.fields("DISPLAY_ONLY", *expected) == expected
    puppet.put("DISPLAY_ONLY", 500)
    assert puppet.get("DISPLAY_ONLY") == "500"
    assert puppet.alarm("DISPLAY_ONLY") == ("NO_ALARM", "NO_ALARM")


def test_alarm_limits_are_no_display_limits(puppet):
    """`alarms` leave the display limits alone."""
    assert puppet.fields("CHOSEN", "LOPR", "HOPR") == {"LOPR": "0", "HOPR": "0"}


@pytest.mark.parametrize(("name", "scale"), [("FLOAT", 1), ("INT", 10)])
def test_pv_access_shows_units_and_limits(puppet, pva, name, scale):
    """PV Access has unit, description and display limits, and apart from them the alarm limits."""
    for full_name in (puppet.pv(name), puppet.pv(f"OUT_{name}")):
        value = pva.get(full_name, timeout=20).raw
        unit, description = ("mm", "Position of the slit") if name == "FLOAT" else ("shots", "Number of shots")
        assert (value.display.units, value.display.description) == (unit, description)
        assert (value.display.limitLow, value.display.limitHigh) == (-5 * scale, 5 * scale)
        alarm = value.valueAlarm
        limits = (alarm.lowAlarmLimit, alarm.lowWarningLimit, alarm.highWarningLimit, alarm.highAlarmLimit)
        assert limits == (-8 * scale, -6 * scale, 6 * scale, 8 * scale)
    assert value.display.todict().get("precision", 2) in (0, 2)


def test_pv_access_shows_precision_and_states(puppet, pva):
    """PV Access has the digits of a float and the states of an enum and a bool."""
    assert pva.get(puppet.pv("OUT_FLOAT")).raw.display.precision == 2
    assert pva.get(puppet.pv("OUT_ENUM")).raw.value.choices == ["Off", "Standby", "Measure", "Broken"]
    assert pva.get(puppet.pv("BOOL")).raw.value.choices == ["CLOSED", "OPEN"]


@pytest.mark.parametrize(("name", "scale"), [("FLOAT", 1), ("INT", 10)])
@pytest.mark.parametrize(
    ("value", "status", "severity"),
    [
        (9, "HIHI", "MAJOR"),
        (7, "HIGH", "MINOR"),
        (-7, "LOW", "MINOR"),
        (-9, "LOLO", "MAJOR"),
        (-5.5, "NO_ALARM", "NO_ALARM"),
    ],
)
def test_values_beyond_a_limit_raise_the_severity(puppet, pva, name, scale, value, status, severity):
    """HIHI and LOLO are MAJOR, HIGH and LOW are MINOR, for what operators put and for what the plugin sets."""
    number = {"NO_ALARM": 0, "MINOR": 1, "MAJOR": 2}[severity]
    puppet.put(name, value * scale)
    puppet.wait_value(f"OUT_{name}", f"{value * scale:g}")
    for each in (name, f"OUT_{name}"):
        assert puppet.alarm(each) == (status, severity)
        assert pva.get(puppet.pv(each), timeout=20).severity == number


@pytest.mark.parametrize(
    ("name", "value", "severity"),
    [
        ("BOOL", "OPEN", "MAJOR"),
        ("BOOL", "CLOSED", "NO_ALARM"),
        ("ENUM", "Measure", "MINOR"),
        ("ENUM", "Broken", "MAJOR"),
        ("ENUM", "Standby", "NO_ALARM"),
    ],
)
def test_states_raise_the_severity(puppet, pva, name, value, severity):
    """A state of a bool or an enum has the severity that config.yaml gives it."""
    puppet.put(name, value)
    puppet.wait_value(f"OUT_{name}", value)
    status = "NO_ALARM" if severity == "NO_ALARM" else "STATE"
    for each in (name, f"OUT_{name}"):
        assert puppet.alarm(each) == (status, severity)
        assert pva.get(puppet.pv(each), timeout=20).severity == {"NO_ALARM": 0, "MINOR": 1, "MAJOR": 2}[severity]


def test_drive_limits(puppet):
    """drive_low and drive_high are DRVL and DRVH, apart from the display limits."""
    expected = {"DRVL": "-10.5", "DRVH": "10.5", "LOPR": "-100", "HOPR": "100"}
    assert puppet.fields("DRIVEN_FLOAT", *expected) == expected
    assert puppet.fields("DRIVEN_INT", "DRVL", "DRVH") == {"DRVL": "-10", "DRVH": "10"}
