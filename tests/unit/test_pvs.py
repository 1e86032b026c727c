"""The PVs that a plugin may declare: what they take as values, and how texts are cut."""

import contextlib
import decimal
import fractions
import itertools
import math

import numpy
import pytest
from properties import given, st
from pydantic import TypeAdapter, ValidationError

from iocmng.core.pv_fields import INT32_MAX, INT32_MIN, Alarms, IntAlarms, Severity, cut
from iocmng.core.pvs import PV_TYPES, BoolPv, EnumPv, FloatPv, IntPv, Pv, StringPv
from iocmng.errors import PvValueError

FLOAT, INT, BOOL, STRING = FloatPv(type="float"), IntPv(type="int"), BoolPv(type="bool"), StringPv(type="string")
ENUM = EnumPv(type="enum", states=("CLOSED", "OPEN", "1"))
ALL = [FLOAT, INT, BOOL, STRING, ENUM]

ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.binary(max_size=3)
    | st.complex_numbers()
    | st.decimals()
    | st.fractions()
    | st.lists(st.integers(), max_size=2)
    | st.builds(object)
    | st.just(fractions.Fraction(10**400))
    | st.just(numpy.array([1.0, 2.0]))
    | st.just(numpy.array(3))
)


@pytest.mark.parametrize("pv", ALL, ids=lambda pv: pv.type)
@given(value=ANYTHING)
def test_a_value_fits_or_raises_pv_value_error(pv, value):
    """Whatever an author sets, the answer is a value of the record's type or PvValueError, nothing else."""
    try:
        coerced = pv.coerce(value)
    except PvValueError as error:
        shown = str(error)
        assert shown
        return
    assert type(coerced) is {"float": float, "int": int, "bool": bool, "string": str, "enum": int}[pv.type]
    if pv is INT:
        assert INT32_MIN <= coerced <= INT32_MAX
    if pv is STRING:
        assert len(coerced.encode()) <= 39
    if pv is ENUM:
        assert 0 <= coerced < len(ENUM.states)


@pytest.mark.parametrize(
    ("pv", "value", "coerced"),
    [
        (FLOAT, 1, 1.0),
        (FLOAT, True, 1.0),
        (FLOAT, numpy.float32(0.5), 0.5),
        (FLOAT, numpy.array(3), 3.0),
        (FLOAT, decimal.Decimal("0.5"), 0.5),
        (FLOAT, math.inf, math.inf),
        (INT, 7, 7),
        (INT, 7.0, 7),
        (INT, True, 1),
        (INT, numpy.int64(-7), -7),
        (INT, INT32_MAX, INT32_MAX),
        (INT, INT32_MIN, INT32_MIN),
        (BOOL, True, True),
        (BOOL, 0, False),
        (BOOL, 2, True),
        (BOOL, 0.0, False),
        (BOOL, numpy.bool_(True), True),
        (BOOL, numpy.float64(0.5), True),
        (BOOL, 10**400, True),
        (STRING, "ok", "ok"),
        (STRING, 1.5, "1.5"),
        (STRING, "x" * 39, "x" * 39),
        (STRING, "x" * 40, "x" * 36 + "..."),
        (ENUM, "OPEN", 1),
        (ENUM, 1, 1),
        (ENUM, "1", 2),
        (ENUM, numpy.int64(2), 2),
    ],
    ids=lambda value: getattr(value, "type", repr(value)[:20]),
)
def test_values_that_fit_become_the_records_type(pv, value, coerced):
    """Numbers of numpy and Python are taken wherever nothing is lost; a state by its name or its number."""
    result = pv.coerce(value)
    assert (result, type(result)) == (coerced, type(coerced))


def test_not_a_number_is_a_float_all_the_same():
    """NaN is kept, as EPICS does."""
    assert math.isnan(FLOAT.coerce(math.nan))


@pytest.mark.parametrize(
    ("pv", "value"),
    [
        (FLOAT, "1"),
        (FLOAT, b"1"),
        (FLOAT, None),
        (FLOAT, [1]),
        (FLOAT, 10**400),
        (FLOAT, 1j),
        (INT, 1.5),
        (INT, "1"),
        (INT, b"1"),
        (INT, None),
        (INT, math.nan),
        (INT, math.inf),
        (INT, INT32_MAX + 1),
        (INT, INT32_MIN - 1),
        (INT, fractions.Fraction(10**400)),
        (BOOL, "false"),
        (BOOL, b"0"),
        (BOOL, ""),
        (BOOL, None),
        (BOOL, []),
        (BOOL, [0]),
        (BOOL, {}),
        (BOOL, numpy.array([1, 2])),
        (ENUM, "open"),
        (ENUM, ""),
        (ENUM, 3),
        (ENUM, -1),
        (ENUM, 1.0),
        (ENUM, None),
    ],
    ids=lambda value: getattr(value, "type", repr(value)[:20]),
)
def test_values_that_do_not_fit_are_refused_by_name(pv, value):
    """Nothing is silently turned into something else; the message shows the value."""
    with pytest.raises(PvValueError) as caught:
        pv.coerce(value)
    assert repr(value)[:4] in caught.value.message


def test_an_integer_beyond_32_bits_says_what_to_do():
    """The record holds 32 bits; a float holds more."""
    with pytest.raises(PvValueError, match="declare the PV as float"):
        INT.coerce(2**31)


def test_an_unknown_state_names_the_states():
    """The author sees what there is."""
    with pytest.raises(PvValueError, match="CLOSED, OPEN, 1"):
        ENUM.coerce("HALF")


@given(st.text(), st.integers(3, 60))
def test_a_cut_text_fits_and_is_marked(text, limit):
    """At most `limit` bytes of valid UTF-8; what fits is unchanged, what was cut ends with the mark."""
    shown = cut(text, limit)
    raw = text.encode(errors="replace")
    assert len(shown.encode()) <= limit
    if len(raw) <= limit:
        assert shown == raw.decode()
    else:
        assert shown.endswith("...")
        assert raw.decode().startswith(shown.removesuffix("..."))
        assert len(shown.encode()) > limit - 4  # nothing is lost but the rest of one character


def test_a_character_is_never_cut_in_two():
    """A character of four bytes at the border is left out as a whole."""
    assert cut("x" * 34 + "\N{GRINNING FACE}" * 3) == "x" * 34 + "..."


@pytest.mark.parametrize("pv", ALL, ids=lambda pv: pv.type)
def test_a_declared_pv_cannot_be_changed(pv):
    """Models are frozen: what was checked stays true."""
    with pytest.raises(ValidationError):
        pv.value = pv.value


@pytest.mark.parametrize("pv", ALL, ids=lambda pv: pv.type)
def test_a_declared_pv_survives_json(pv):
    """What GET shows can be read again."""
    assert TypeAdapter(Pv).validate_json(pv.model_dump_json()) == pv
    assert pv.type in PV_TYPES


def test_the_default_value_of_each_type_is_a_value_of_it():
    """A PV without `value` starts at zero, false, empty, or the first state."""
    assert [pv.coerce(pv.value) for pv in ALL] == [0.0, 0, False, "", 0]


@pytest.mark.parametrize("alarms", [Alarms(), IntAlarms()])
def test_alarm_severities_are_major_outside_and_minor_inside(alarms):
    """The contract's defaults: MAJOR for hihi and lolo, MINOR for high and low; no limit is set by itself."""
    assert (alarms.hihi_severity, alarms.lolo_severity) == (Severity.MAJOR, Severity.MAJOR)
    assert (alarms.high_severity, alarms.low_severity) == (Severity.MINOR, Severity.MINOR)
    assert (alarms.hihi, alarms.high, alarms.low, alarms.lolo, alarms.hysteresis) == (None, None, None, None, 0)


LIMITS = st.none() | st.integers(-3, 3)


@pytest.mark.parametrize("model", [Alarms, IntAlarms])
@given(lolo=LIMITS, low=LIMITS, high=LIMITS, hihi=LIMITS)
def test_alarm_limits_rise(model, lolo, low, high, hihi):
    """Limits are taken exactly when those that are given rise from lolo to hihi."""
    given_limits = [limit for limit in (lolo, low, high, hihi) if limit is not None]
    rising = all(below <= above for below, above in itertools.pairwise(given_limits))
    with contextlib.nullcontext() if rising else pytest.raises(ValidationError, match="alarm limits must rise"):
        model(lolo=lolo, low=low, high=high, hihi=hihi)


def test_limits_of_whole_numbers_stay_whole():
    """The fields of longin take no 5.0: a limit that is written as 5 must not become one."""
    alarms = IntPv.model_validate({"type": "int", "alarms": {"high": 5, "hysteresis": 1}}).alarms
    assert [type(limit) for limit in (alarms.high, alarms.hysteresis)] == [int, int]
