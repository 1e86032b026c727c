"""What the models of PVs are made of: fields of records with their limits, alarms, severities."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

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


def misplaced(problem: str, *place: str | int) -> PydanticCustomError:
    """Return an error that says where, below the model that finds it, the mistake stands."""
    return PydanticCustomError("value_error", "{problem}", {"problem": problem, "place": place})  # pyright: ignore[reportArgumentType]


def check_field(text: str, limit: int) -> str:
    """Check that a text fits a field of a record as it stands: EPICS counts bytes and expands macros."""
    if len(text.encode(errors="replace")) > limit:
        raise ValueError(f"a text of more than {limit} bytes in UTF-8 does not fit the record's field")
    if problem := text_problem(text):
        raise ValueError(problem)
    if any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in text):
        raise ValueError("a line break or another control character does not fit the record's field")
    if "$(" in text or "${" in text:
        raise ValueError("'$(' and '${' are not allowed: EPICS would expand them as macros")
    return text


def text_problem(text: str) -> str | None:
    """Return what keeps EPICS from holding a text as it is, or None if nothing does."""
    if "\0" in text:
        return "a zero byte is not allowed: EPICS would cut the text there"
    return "a character is no valid Unicode" if any("\ud800" <= character <= "\udfff" for character in text) else None


Text = Annotated[str, Field(max_length=MAX_DESC_LENGTH), AfterValidator(partial(check_field, limit=MAX_DESC_LENGTH))]
Unit = Annotated[str, Field(max_length=15), AfterValidator(partial(check_field, limit=15))]  # EGU has 16 bytes
StateName = Annotated[str, Field(max_length=25), AfterValidator(partial(check_field, limit=25))]  # ZNAM, ZRST: 26
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


def cut(text: str, limit: int = MAX_STRING_BYTES) -> str:
    """Return the text in at most `limit` bytes of UTF-8; a cut text ends with a mark."""
    raw = text.encode(errors="replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - len(CUT_MARK)].decode(errors="ignore") + CUT_MARK
