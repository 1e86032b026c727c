"""The PVs that a plugin may declare, as frozen and strict models.

A model says what an operator sees and knows nothing of softioc; the room `epics` turns each into a record. Field names
are those of config.yaml; the EPICS fields they become stand in their docstrings (EPICS Record Reference Manual).
"""

from __future__ import annotations

import contextlib
import math
import operator
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from iocmng.errors import PvValueError

MAX_DESC_LENGTH = 40
"""Bytes of DESC (dbCommon.dbd gives the field 41, the terminating zero included)."""

MAX_STRING_BYTES = 39
"""Bytes of a stringin or stringout value: MAX_STRING_SIZE is 40, the terminating zero included (epicsTypes.h)."""

CUT_MARK = "..."
"""Ends a text that had to be cut to fit a record."""

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

PvValue = float | int | bool | str


class Severity(StrEnum):
    """EPICS alarm severities."""

    NO_ALARM = "NO_ALARM"
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    INVALID = "INVALID"


class Direction(StrEnum):
    """Who writes a PV."""

    INPUT = "input"  # written by operators, read by the plugin
    OUTPUT = "output"  # written by the plugin, read-only for clients


class StrictModel(BaseModel):
    """A part of config.yaml: unknown keys are errors, keys that begin with `x-` are left alone."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        json_schema_extra={"patternProperties": {"^x-": {}}},
    )

    @model_validator(mode="before")
    @classmethod
    def _without_notes(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in cast("dict[Any, Any]", data).items() if not str(key).startswith("x-")}


def _check_field(text: str, limit: int) -> str:
    """Check that a text fits a field of a record as it stands: EPICS counts bytes and expands macros."""
    if len(text.encode(errors="replace")) > limit:
        raise ValueError(f"a text of more than {limit} bytes in UTF-8 does not fit the record's field")
    if problem := text_problem(text):
        raise ValueError(problem)
    if "$(" in text or "${" in text:
        raise ValueError("'$(' and '${' are not allowed: EPICS would expand them as macros")
    return text


def text_problem(text: str) -> str | None:
    """Return what keeps EPICS from holding a text as it is, or None if nothing does."""
    if "\0" in text:
        return "a zero byte is not allowed: EPICS would cut the text there"
    return "a character is no valid Unicode" if any("\ud800" <= character <= "\udfff" for character in text) else None


Text = Annotated[str, Field(max_length=MAX_DESC_LENGTH), AfterValidator(partial(_check_field, limit=MAX_DESC_LENGTH))]
Unit = Annotated[str, Field(max_length=15), AfterValidator(partial(_check_field, limit=15))]  # EGU has 16 bytes
StateName = Annotated[str, Field(max_length=25), AfterValidator(partial(_check_field, limit=25))]  # ZNAM, ZRST: 26
AlarmSeverity = Annotated[Severity, Field(strict=False)]


class Alarms(StrictModel):
    """Alarm limits of a number, apart from its display limits."""

    hihi: float | None = None
    """HIHI: at or above it the severity is hihi_severity."""
    high: float | None = None
    """HIGH."""
    low: float | None = None
    """LOW."""
    lolo: float | None = None
    """LOLO."""
    hihi_severity: AlarmSeverity = Severity.MAJOR
    """HHSV."""
    high_severity: AlarmSeverity = Severity.MINOR
    """HSV."""
    low_severity: AlarmSeverity = Severity.MINOR
    """LSV."""
    lolo_severity: AlarmSeverity = Severity.MAJOR
    """LLSV."""
    hysteresis: Annotated[float, Field(ge=0)] = 0.0
    """HYST, in engineering units."""

    @model_validator(mode="after")
    def _ordered(self) -> Alarms:
        limits = [limit for limit in (self.lolo, self.low, self.high, self.hihi) if limit is not None]
        if limits != sorted(limits):
            raise ValueError("alarm limits must rise: lolo <= low <= high <= hihi")
        return self


class _Pv(StrictModel):
    """What all PVs have."""

    desc: Text = ""
    """DESC: what the PV means, 40 characters at most."""
    autosave: bool | None = None
    """Whether the value survives a restart; unset means yes for inputs, no for outputs."""

    input_only: ClassVar[frozenset[str]] = frozenset()


class _Number(_Pv):
    unit: Unit = ""
    """EGU: engineering unit."""

    input_only: ClassVar[frozenset[str]] = frozenset({"drive_low", "drive_high"})

    @model_validator(mode="after")
    def _limits_rise(self) -> _Number:
        for below, above in (("low", "high"), ("drive_low", "drive_high")):
            lower, upper = getattr(self, below), getattr(self, above)
            if lower is not None and upper is not None and lower > upper:
                raise ValueError(f"{below} ({lower}) must not be above {above} ({upper})")
        if (self.drive_low is None) != (self.drive_high is None):  # type: ignore[attr-defined]
            raise ValueError("drive_low and drive_high belong together: give both or neither")
        return self


class FloatPv(_Number):
    """A double: ao as an input, ai as an output."""

    type: Literal["float"]
    value: float = 0.0
    """Initial value."""
    prec: Annotated[int, Field(ge=0, le=15)] = 3
    """PREC: digits shown after the point."""
    low: float | None = None
    """LOPR: lower display limit."""
    high: float | None = None
    """HOPR: upper display limit."""
    drive_low: float | None = None
    """DRVL: a put below is clamped to it (inputs)."""
    drive_high: float | None = None
    """DRVH: a put above is clamped to it (inputs)."""
    alarms: Alarms | None = None
    """Alarm limits and their severities."""

    def coerce(self, value: Any) -> float:
        """Return the value as this PV holds it; NaN and infinities are kept, as EPICS does."""
        if value is None or isinstance(value, str | bytes):
            raise PvValueError(f"{value!r} is not a number")
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise PvValueError(f"{value!r} is not a number: {error}") from error


Int32 = Annotated[int, Field(ge=INT32_MIN, le=INT32_MAX)]


class IntAlarms(Alarms):
    """Alarm limits of a whole number: the fields of longin and longout take nothing else."""

    hihi: Int32 | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  the model is frozen
    """HIHI: at or above it the severity is hihi_severity."""
    high: Int32 | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """HIGH."""
    low: Int32 | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """LOW."""
    lolo: Int32 | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """LOLO."""
    hysteresis: Annotated[int, Field(ge=0, le=INT32_MAX)] = 0  # pyright: ignore[reportIncompatibleVariableOverride]
    """HYST, in engineering units."""


class IntPv(_Number):
    """A 32-bit signed integer: longout as an input, longin as an output."""

    type: Literal["int"]
    value: Int32 = 0
    """Initial value."""
    low: Int32 | None = None
    """LOPR: lower display limit."""
    high: Int32 | None = None
    """HOPR: upper display limit."""
    drive_low: Int32 | None = None
    """DRVL: a put below is clamped to it (inputs)."""
    drive_high: Int32 | None = None
    """DRVH: a put above is clamped to it (inputs)."""
    alarms: IntAlarms | None = None
    """Alarm limits and their severities."""

    def coerce(self, value: Any) -> int:
        """Return the value as this PV holds it.

        Raises:
            PvValueError: If it is no whole number, or needs more than 32 bits.
        """
        if value is None or isinstance(value, str | bytes):
            raise PvValueError(f"{value!r} is not a whole number")
        try:
            number = float(value) if not isinstance(value, int) else value
            if not math.isfinite(number) or number != int(number):
                raise PvValueError(f"{value!r} is not a whole number")
            whole = int(number)
        except (TypeError, ValueError, OverflowError) as error:
            raise PvValueError(f"{value!r} is not a whole number: {error}") from error
        if not INT32_MIN <= whole <= INT32_MAX:
            raise PvValueError(f"{whole} does not fit a 32-bit integer record; declare the PV as float")
        return whole


_BOOLEAN_OR_BIT = {"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 1}]}


class BoolPv(_Pv):
    """Two states: bo as an input, bi as an output."""

    type: Literal["bool"]
    value: Annotated[bool, Field(strict=False), WithJsonSchema(_BOOLEAN_OR_BIT)] = False
    """Initial value: true, false, 1 or 0."""
    znam: StateName = "0"
    """ZNAM: name of state 0."""
    onam: StateName = "1"
    """ONAM: name of state 1."""
    alarm_on: Literal["MINOR", "MAJOR"] | None = None
    """OSV: severity of state 1."""

    @model_validator(mode="before")
    @classmethod
    def _no_words(cls, data: Any) -> Any:
        # A lax bool would also take "yes", "off" or 1.0; only true, false, 1 and 0 say what they mean.
        value = data.get("value") if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if value is not None and not (isinstance(value, int) and value in (0, 1)):
            raise ValueError(f"value must be true, false, 1 or 0, not {value!r}")
        return data  # pyright: ignore[reportUnknownVariableType]

    def coerce(self, value: Any) -> bool:
        """Return the value as this PV holds it: any number is true unless it is zero."""
        if value is None or isinstance(value, str | bytes):
            raise PvValueError(f"{value!r} is not a boolean: use True, False, 1 or 0")
        try:
            return bool(value) if isinstance(value, int) else float(value) != 0
        except (TypeError, ValueError, OverflowError) as error:
            raise PvValueError(f"{value!r} is not a boolean: {error}") from error


class StringPv(_Pv):
    """A text of at most 39 bytes: stringout as an input, stringin as an output."""

    type: Literal["string"]
    value: str = ""
    """Initial value, 39 bytes in UTF-8 at most."""

    @model_validator(mode="after")
    def _fits(self) -> StringPv:
        if len(self.value.encode(errors="replace")) > MAX_STRING_BYTES:
            raise ValueError(f"value has more than {MAX_STRING_BYTES} bytes")
        if problem := text_problem(self.value):
            raise ValueError(f"value: {problem}")
        return self

    def coerce(self, value: Any) -> str:
        """Return the text, cut with a mark where it is too long."""
        return cut(str(value))


State = Annotated[str, Field(min_length=1, max_length=25), AfterValidator(partial(_check_field, limit=25))]


def _name_or_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"give a state's name (in quotes) or its number, not {value!r:.80}")
    return value


class EnumPv(_Pv):
    """One of up to 16 named states: mbbo as an input, mbbi as an output."""

    type: Literal["enum"]
    states: Annotated[tuple[State, ...], Field(min_length=1, max_length=16, strict=False)]
    """ZRST, ONST, …: the states' names, 25 characters each at most."""
    value: Annotated[int | str, BeforeValidator(_name_or_number)] = 0
    """Initial state: its name or its number, counted from 0."""
    state_severities: dict[str, AlarmSeverity] = {}
    """ZRSV, ONSV, …: alarm severity by state name."""

    @model_validator(mode="after")
    def _known_states(self) -> EnumPv:
        if len(set(self.states)) != len(self.states):
            raise ValueError("states must differ from each other")
        if unknown := set(self.state_severities) - set(self.states):
            raise ValueError(f"state_severities names states that do not exist: {', '.join(sorted(unknown))}")
        try:
            self.coerce(self.value)
        except PvValueError as error:
            raise ValueError(str(error)) from error
        return self

    def coerce(self, value: Any) -> int:
        """Return the number of the state, given its name or number.

        Raises:
            PvValueError: If there is no such state. (EPICS itself would take the number silently.)
        """
        if isinstance(value, str):
            if value in self.states:
                return self.states.index(value)
        else:
            with contextlib.suppress(TypeError):  # index() takes numpy's integers too, but no float
                if 0 <= (number := operator.index(value)) < len(self.states):
                    return number
        raise PvValueError(f"{value!r} is not one of the states {', '.join(self.states)}")


Pv = Annotated[FloatPv | IntPv | BoolPv | StringPv | EnumPv, Field(discriminator="type")]

PV_TYPES = ("float", "int", "bool", "string", "enum")


def cut(text: str, limit: int = MAX_STRING_BYTES) -> str:
    """Return the text in at most `limit` bytes of UTF-8; a cut text ends with a mark."""
    raw = text.encode(errors="replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - len(CUT_MARK)].decode(errors="ignore") + CUT_MARK


class DeclaredPv(StrictModel):
    """One PV of a plugin: its name without prefix, who writes it, and what it is."""

    name: str
    direction: Direction
    pv: Pv
    built_in: bool = False
