"""FakePvs: a PvServer that is a dictionary, with the limits, states and alarms that EPICS would show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from iocmng.core.names import record_name
from iocmng.core.pv_fields import MAX_STRING_BYTES, Alarms, Direction, PvValue, Severity
from iocmng.core.pvs import BoolPv, DeclaredPv, EnumPv, FloatPv, IntPv, StringPv
from iocmng.core.spec import RecordInfo
from iocmng.epics.records import record_type
from iocmng.errors import AuthorError, PvValueError, UnknownPv

_LEVELS = list(Severity)


class FakePv:
    """One PV as a client sees it.

    Attributes:
        declared: What it is: type, limits, alarms, who writes it.
        value: Its value, as self.get_pv() returns it; of an enum the number of the state.
        severity: Its alarm severity.
        history: All values that it has had, the initial one first.
    """

    def __init__(self, declared: DeclaredPv) -> None:
        self.declared = declared
        self.value: PvValue = False
        self.severity = Severity.NO_ALARM
        self.history: list[PvValue] = []
        self._alarm_at: float | None = None  # EPICS's LALM: the limit that was passed last
        self.take(declared.pv.coerce(declared.pv.value))

    @property
    def text(self) -> str:
        """The value as text: of an enum or a bool the name of its state."""
        return shown_text(self.declared, self.value)

    def take(self, value: PvValue, severity: Severity | None = None) -> None:
        """Set a value that fits; its severity is the one given, or a higher one of its limits and states."""
        self.value = value
        levels = (_LEVELS.index(severity or Severity.NO_ALARM), _LEVELS.index(self._own_severity(value)))
        self.severity = _LEVELS[max(levels)]
        self.history.append(value)

    def _own_severity(self, value: PvValue) -> Severity:
        match self.declared.pv:
            case FloatPv() if isinstance(value, float) and math.isnan(value):
                return Severity.INVALID  # EPICS calls it undefined, whatever the limits
            case FloatPv() | IntPv() as pv if isinstance(value, float | int):
                return self._limit_severity(pv.alarms, float(value))
            case BoolPv() as pv if value and pv.alarm_on:
                return Severity(pv.alarm_on)
            case EnumPv() as pv if isinstance(value, int):
                return pv.state_severities.get(pv.states[value], Severity.NO_ALARM)
            case _:
                return Severity.NO_ALARM

    def _limit_severity(self, alarms: Alarms | None, value: float) -> Severity:
        if alarms is not None:
            for limit, sign, severity in (
                (alarms.hihi, 1, alarms.hihi_severity),
                (alarms.lolo, -1, alarms.lolo_severity),
                (alarms.high, 1, alarms.high_severity),
                (alarms.low, -1, alarms.low_severity),
            ):
                if limit is None or severity is Severity.NO_ALARM:
                    continue
                margin = alarms.hysteresis if self._alarm_at == limit else 0.0
                if sign * value >= sign * limit - margin:
                    self._alarm_at = limit
                    return severity
        self._alarm_at = None
        return Severity.NO_ALARM


class FakePvs(Mapping[str, FakePv]):
    """A plugin's PVs in memory; implements core.ports.plugin.PvServer.

    Attributes:
        listeners: Called with name and value after each put, by the plugin or by a client.
    """

    def __init__(self) -> None:
        self._pvs: dict[str, FakePv] = {}
        self._on_write: Callable[[str, PvValue], None] = _nobody
        self.listeners: list[Callable[[str, PvValue], None]] = []

    def __getitem__(self, name: str) -> FakePv:
        return self._pvs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pvs)

    def __len__(self) -> int:
        return len(self._pvs)

    def build(
        self, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> tuple[RecordInfo, ...]:
        """Make the PVs."""
        self._pvs = {declared.name: FakePv(declared) for declared in pvs}
        self._on_write = on_write
        return tuple(
            RecordInfo(record_name(pv_prefix, pv.name), record_type(pv), pv.direction.value, pv.built_in) for pv in pvs
        )

    def run(self) -> tuple[int, int]:
        """Do nothing: there are no clients to answer, and no ports."""
        return 0, 0

    # A PvServer's get() has no default.
    def get(self, name: str) -> PvValue:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the value of a PV.

        Raises:
            UnknownPv: If there is none of this name.
        """
        return self._find(name).value

    def put(self, name: str, value: Any, severity: Severity | None = None) -> None:
        """Set a PV, as the plugin does.

        Raises:
            UnknownPv: If there is none of this name.
            PvValueError: If the value does not fit its type.
        """
        pv = self._find(name)
        try:
            pv.take(pv.declared.pv.coerce(value), severity)
        except PvValueError as error:
            raise PvValueError(f"{name}: {error}") from None
        self._tell(pv)

    def put_by_client(self, name: str, value: Any) -> None:
        """Set an input, as an operator does: drive limits clamp the value, and the plugin is told of it.

        Args:
            name: Name of the PV, without prefix.
            value: A value that fits; for an enum or a bool also the name of a state.

        Raises:
            UnknownPv: If there is none of this name.
            AuthorError: If it is an output, which clients cannot write.
            PvValueError: If the value does not fit its type.
        """
        pv = self._find(name)
        if pv.declared.direction is Direction.OUTPUT:
            raise AuthorError(f"{name} is an output: clients can read it, and only the plugin writes it")
        try:
            pv.take(as_client_puts(pv.declared, value))
        except PvValueError as error:
            raise PvValueError(f"{name}: {error}") from None
        self._tell(pv)
        self._on_write(name, pv.value)

    def _tell(self, pv: FakePv) -> None:
        for listener in self.listeners:
            listener(pv.declared.name, pv.value)

    def _find(self, name: str) -> FakePv:
        try:
            return self._pvs[name]
        except KeyError:
            raise UnknownPv(f"no PV {name!r}; there are {', '.join(self._pvs)}") from None


def shown_text(declared: DeclaredPv, value: PvValue) -> str:
    """Return a value as a client shows it: of an enum or a bool the name of its state."""
    match declared.pv:
        case EnumPv() as pv if isinstance(value, int):
            return pv.states[value]
        case BoolPv() as pv:
            return pv.onam if value else pv.znam
        case _:
            return str(value)


def as_client_puts(declared: DeclaredPv, value: Any) -> PvValue:
    """Return what a record holds after a client has put a value to it.

    Raises:
        PvValueError: If the value does not fit.
    """
    match declared.pv:
        case FloatPv() | IntPv() as pv:
            number = pv.coerce(value)
            if pv.drive_low is None or pv.drive_high is None or pv.drive_low >= pv.drive_high or math.isnan(number):
                return number
            return pv.coerce(min(max(number, pv.drive_low), pv.drive_high))
        case BoolPv() as pv if isinstance(value, str):
            if value not in (pv.znam, pv.onam):
                raise PvValueError(f"{value!r} is not one of the states {pv.znam}, {pv.onam}")
            return value == pv.onam
        case StringPv():
            return str(value).encode()[:MAX_STRING_BYTES].decode(errors="ignore")
        case pv:
            return pv.coerce(value)


def _nobody(name: str, value: PvValue) -> None:
    """Tell nobody."""
