"""The PVs in memory show what EPICS shows: the same puts, to a harness and to a real IOC."""

import math
from pathlib import Path

import pytest

from iocmng.errors import AuthorError, UnknownPv

pytestmark = pytest.mark.thorough

MIRROR = Path(__file__).with_name("plugins") / "mirror"

# In this order, because hysteresis remembers.
PUTS = [
    *(("FLOAT_IN", value) for value in (0, 20, 19.9, 15.1, 14.9, 50, 46, 44, -20, -50, -46, -100, 1e9, -1e9, 0)),
    *(("FLOAT_IN", value) for value in (math.inf, 0, math.nan, 0)),
    *(("INT_IN", value) for value in (0, 5, 7, 8, -(2**31), 2**31 - 1)),
    *(("BOOL_IN", value) for value in (True, False, 1, "CLOSED", "OPEN")),
    *(("ENUM_IN", value) for value in (2, 0, "BUSY", "BROKEN")),
    *(("STRING_IN", value) for value in ("", "short", "x" * 39, "y" * 60, "Ångström", "é" * 30)),
]


def shown(reading):
    value = "NaN" if reading.value != reading.value else reading.value
    return value, reading.severity, reading.text, type(reading.value)


def test_the_same_puts_show_the_same(run_plugin, ioc):
    """Values, severities, texts and types are equal after each put, of the input and of the output."""
    fake, real = run_plugin(MIRROR), ioc(MIRROR)
    fake.start()
    real.wait_for("STATUS", "RUN")
    names = [name for name, pv in fake.pvs.items() if not pv.declared.built_in]
    seen = {"at first": ({n: shown(fake.pvs[n]) for n in names}, {n: shown(real.read(n)) for n in names})}
    for number, (name, value) in enumerate(PUTS, 1):
        fake.put(name, value)
        real.put(name, value)
        real.wait_for("WRITES", number)
        pair = [name, name.replace("_IN", "_OUT"), *(["SEVERE"] if name == "FLOAT_IN" else [])]
        seen[f"{number}: {name} {value!r}"] = (
            {n: shown(fake.pvs[n]) for n in pair},
            {n: shown(real.read(n)) for n in pair},
        )
    different = [
        f"{put}: {name} is {ours[name]}, EPICS shows {theirs[name]}"
        for put, (ours, theirs) in seen.items()
        for name in ours
        if ours[name] != theirs[name]
    ]
    assert different == []


def test_the_same_puts_are_refused(run_plugin, ioc):
    """An output, an unknown PV and a value that does not fit raise the same errors."""
    fake, real = run_plugin(MIRROR), ioc(MIRROR)
    for put in (fake.put, real.put):
        with pytest.raises(AuthorError, match="FLOAT_OUT"):
            put("FLOAT_OUT", 1)
        with pytest.raises(UnknownPv, match="FLOAT_INN"):
            put("FLOAT_INN", 1)
        for name, value in (("ENUM_IN", "BUSI"), ("ENUM_IN", 3), ("BOOL_IN", "AJAR"), ("FLOAT_IN", "much")):
            with pytest.raises(AuthorError):
                put(name, value)
