"""SoftIoc: the PvServer of a plugin's process, on softioc."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iocmng.core.client_puts import ClientPut
from iocmng.core.names import alias_of, record_name
from iocmng.core.port_range import PortRange
from iocmng.core.pv_access import access_rules
from iocmng.core.pv_fields import Direction, PvValue, Severity
from iocmng.core.pvs import DeclaredPv
from iocmng.core.spec import RecordInfo
from iocmng.epics.connections import Connections
from iocmng.epics.loader import build_ioc, load_epics, server_ports
from iocmng.epics.ports import ClaimedPorts
from iocmng.epics.put_log import PutLog
from iocmng.epics.records import make_record, record_type
from iocmng.errors import CheckFailure, NoPorts, PluginRejected, PvValueError, UnknownPv, WrongState

PORTS_FILE = "ports"
"""Name of the file, beside a plugin's saved values, that keeps the ports of its IOC."""


class _OwnPut(threading.local):
    """Marks the puts of this process. A record processes in the thread that puts to it, so the mark is the thread's."""

    active = False
    severity = status = 0


_own_put = _OwnPut()


@contextmanager
def _making_own_put(severity: int = 0, status: int = 0) -> Iterator[None]:
    _own_put.active, _own_put.severity, _own_put.status = True, severity, status
    try:
        yield
    finally:
        _own_put.active = False


def _dispatch(
    function: Callable[..., None],
    func_args: tuple[Any, ...] = (),
    completion: Callable[..., None] | None = None,
    completion_args: tuple[Any, ...] = (),
) -> None:
    """Tell of a client's put where it happens, in EPICS's thread; called while an input's record processes.

    What is called only queues the value for the author's thread, so there is nothing to gain from another thread in
    between. A put of our own is not told of. Its severity is given to the record here, for this once: softioc (4.7)
    drops the one given to set(), and a client's next put must not inherit it.
    """
    if not _own_put.active:
        function(*func_args)
    else:
        for record in completion_args:
            if _own_put.severity > record.NSEV:
                record.NSEV, record.NSTA = _own_put.severity, _own_put.status
    if completion is not None:
        completion(*completion_args)


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What a site asks of every IOC.

    Attributes:
        access: The text of an access security file.
        ports: Where the IOC may listen; None leaves it to EPICS.
        memory: File that keeps the IOC's ports for the next time.
        alias_prefix: What stands before the further name of each PV; None: they have none.
    """

    access: str = access_rules((), ())
    ports: PortRange | None = None
    memory: Path | None = None
    alias_prefix: str | None = None


class SoftIoc:
    """Serves one set of records; a process can do that once (iocInit cannot be undone).

    Attributes:
        rules: What the site asks; set before build().
    """

    def __init__(self) -> None:
        self.rules = SiteRules()
        self._records: dict[str, tuple[DeclaredPv, Any]] = {}
        self._built = False
        self._claimed: ClaimedPorts | None = None
        self._told: Callable[[ClientPut], None] = lambda put: None
        self._put_log: PutLog | None = None
        self._connections: Connections | None = None

    def listen(self, told: Callable[[ClientPut], None]) -> None:
        """Have each put of a client told once it is done, in a thread that must not be held up; before build()."""
        self._told = told

    @property
    def writer(self) -> str:
        """Who makes the put that `on_write` is being told of, as user@host; empty where nobody knows."""
        return self._put_log.writer if self._put_log is not None else ""

    def clients(self) -> tuple[int, int] | None:
        """Return how many clients are connected by Channel Access and by PV Access; None where that is not known."""
        return None if self._connections is None else self._connections.count()

    def build(
        self, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> tuple[RecordInfo, ...]:
        """Make the records and build the IOC; no client sees it before run().

        Raises:
            PluginRejected: For the step `records`, if EPICS refuses one.
            NoPorts: If the site's range of ports is used up.
            WrongState: If this process has built an IOC already.
        """
        if self._built:
            raise WrongState("this process has an IOC already, and EPICS allows one")
        self._built = True
        if self.rules.ports is not None:
            self._claimed = ClaimedPorts(self.rules.ports, pv_prefix, self.rules.memory)
        with self._claimed.for_epics() if self._claimed else nullcontext():
            self._build(load_epics(), pv_prefix, pvs, on_write)
        # EPICS takes any port where it cannot have the one it was told, and only says so.
        if self._claimed is not None and server_ports() != self._claimed.pair:
            raise NoPorts(
                f"another program has taken one of the ports {self._claimed.pair} while the IOC was made; start the "
                "plugin again"
            )
        return tuple(
            RecordInfo(
                record_name(pv_prefix, pv.name),
                record_type(pv),
                pv.direction.value,
                pv.built_in,
                alias_of(pv_prefix, self.rules.alias_prefix, pv.name),
            )
            for pv in pvs
        )

    def _build(
        self, epics: Any, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> None:
        epics.register()  # the PV Access server listens from here on
        epics.builder.SetDeviceName(pv_prefix)
        for declared in pvs:
            record = self._make(epics, declared, on_write)
            if alias := alias_of(pv_prefix, self.rules.alias_prefix, declared.name):
                record.add_alias(alias)
            self._records[declared.name] = (declared, record)
        try:
            epics.builder.LoadDatabase()
        except AssertionError as error:
            raise _refused(f"EPICS refused the database of {pv_prefix} {error}".strip()) from error
        epics.device.dispatcher = _dispatch
        self._put_log = PutLog(self._told)
        self._put_log.register()
        with _making_own_put():  # records process once, so that initial values meet their alarm limits
            is_built = build_ioc(self.rules.access, pv_prefix)
        if not is_built:
            raise _refused(f"EPICS could not build the IOC of {pv_prefix}; see the process's log")

    def run(self) -> tuple[int, int]:
        """Begin to answer clients; return the CA and the PVA port."""
        if self._claimed is not None:
            self._claimed.remember()
        load_epics().db.iocRun()
        ports = server_ports()
        self._connections = Connections(*ports)
        return ports

    def get(self, name: str) -> PvValue:
        """Return the value of a PV; an enum's is the number of its state.

        Raises:
            UnknownPv: If there is none of this name.
        """
        declared, record = self._find(name)
        value = record.get()
        return bool(value) if declared.pv.type == "bool" else value

    def put(self, name: str, value: Any, severity: Severity | None = None) -> None:
        """Set the value of a PV and its alarm severity; limits and states of the record may raise the latter.

        Raises:
            UnknownPv: If there is none of this name.
            PvValueError: If the value does not fit its type.
        """
        declared, record = self._find(name)
        try:
            fitting = declared.pv.coerce(value)
        except PvValueError as error:
            raise PvValueError(f"{name}: {error}") from None
        alarm = load_epics().alarm
        level = list(Severity).index(severity or Severity.NO_ALARM)
        status = alarm.SOFT_ALARM if level else alarm.NO_ALARM
        with _making_own_put(level, status):
            record.set(fitting, severity=level, alarm=status)
            if declared.direction is Direction.OUTPUT:
                # Processed here and now. The way through EPICS's callback queue loses values where the queue is full,
                # and passes over a value that is followed by another at once, such as RUN of a short run.
                record.set_field("PROC", 1)

    def _find(self, name: str) -> tuple[DeclaredPv, Any]:
        try:
            return self._records[name]
        except KeyError:
            raise UnknownPv(f"no PV {name!r}") from None

    @staticmethod
    def _make(epics: Any, declared: DeclaredPv, on_write: Callable[[str, PvValue], None]) -> Any:
        is_bool = declared.pv.type == "bool"

        def on_put(value: Any) -> None:
            on_write(declared.name, bool(value) if is_bool else value)

        try:
            return make_record(epics.builder, declared, on_put)
        except (AssertionError, ValueError) as error:
            direction = "input" if declared.direction is Direction.INPUT else "output"
            raise _refused(f"EPICS refused {direction} {declared.name}: {error}") from error


def _refused(message: str) -> PluginRejected:
    return PluginRejected.because(CheckFailure("records", message))
