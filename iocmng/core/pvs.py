"""The PVs that a plugin may declare, as frozen and strict models.

A model says what an operator sees and knows nothing of softioc; the room `epics` turns each into a record. Field names
are those of config.yaml; the EPICS fields they become stand in their docstrings (EPICS Record Reference Manual).
"""

from __future__ import annotations

import contextlib
import math
import operator
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from iocmng.core.pv_fields import (
    INT32_MAX,
    INT32_MIN,
    MAX_STRING_BYTES,
    Alarms,
    AlarmSeverity,
    Direction,
    Int32,
    IntAlarms,
    StateName,
    StrictModel,
    Text,
    Unit,
    check_field,
    cut,
    text_problem,
)
from iocmng.errors import PvValueError


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
    znam: StateName = "Off"
    """ZNAM: name of state 0."""
    onam: StateName = "On"
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


State = Annotated[str, Field(min_length=1, max_length=25), AfterValidator(partial(check_field, limit=25))]


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


class DeclaredPv(StrictModel):
    """One PV of a plugin: its name without prefix, who writes it, and what it is."""

    name: str
    direction: Direction
    pv: Pv
    built_in: bool = False
    told: bool = False
    """Of a built-in one: whether the plugin declares it, too, and is told of puts to it."""
