"""Which run of a job its PVs show: the newest, whatever process it goes on in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from iocmng.core.ports.plugin import PvServer
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.core.pvs import DeclaredPv
from iocmng.core.spec import RecordInfo


class ShownRun:
    """Knows the newest run, and whether that of this process has to stay behind it; thread-safe by being small.

    Attributes:
        newest: Id of the run that is shown.
        current: Id of the run that goes on in this process.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.current: int | None = None
        self._version = 0

    @property
    def is_hidden(self) -> bool:
        """Whether the run of this process is not to be shown."""
        return self.current is not None and self.current < self.newest

    def begin(self, run: int) -> None:
        """Note that a run begins in this process."""
        self.newest, self.current = max(self.newest, run), run

    def end(self) -> None:
        """Note that it has ended."""
        self.current = None

    def show(self, run: int, version: int) -> bool:
        """Note what a run of another process says; return whether it is to be shown: not what is older than was shown.

        Args:
            run: Id of the run.
            version: Version of the report.
        """
        if run < self.newest or (run == self.newest and version < self._version):
            return False
        self.newest, self._version = run, version
        return True


class HiddenPvs:
    """The PVs as a job's run sees them: what it sets while it is hidden stays with it, and reaches no client."""

    def __init__(self, pvs: PvServer, shown: ShownRun, declared: Sequence[DeclaredPv]) -> None:
        self._pvs = pvs
        self._shown = shown
        self._declared = {pv.name: pv for pv in declared}
        self._kept: dict[str, PvValue] = {}

    def get(self, name: str) -> PvValue:
        """Return what the run has set while it was hidden, else what is served."""
        if not self._shown.is_hidden:
            self._kept.clear()
        return self._kept[name] if name in self._kept else self._pvs.get(name)

    def put(self, name: str, value: Any, severity: Severity | None = None) -> None:
        """Set a PV, for clients only if the run is the newest."""
        if self._shown.is_hidden:
            self._kept[name] = self._declared[name].pv.coerce(value)
        else:
            self._kept.clear()
            self._pvs.put(name, value, severity)

    def build(
        self, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> tuple[RecordInfo, ...]:
        """Make the records."""
        return self._pvs.build(pv_prefix, pvs, on_write)

    def run(self) -> tuple[int, int]:
        """Begin to answer clients."""
        return self._pvs.run()


class CopiedPvs:
    """PVs that no client sees: a copy of those of the job's own process, for a run in another one.

    What is set is kept until take() hands it out, of each PV the newest value.

    Args:
        notify: Called after each change; must return quickly.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._declared: dict[str, DeclaredPv] = {}
        self._values: dict[str, PvValue] = {}
        self._set: dict[str, tuple[PvValue, Severity | None]] = {}
        self._of_run: dict[str, tuple[PvValue, Severity | None]] = {}

    def build(
        self, pv_prefix: str, pvs: Sequence[DeclaredPv], on_write: Callable[[str, PvValue], None]
    ) -> tuple[RecordInfo, ...]:
        """Note the PVs with their initial values; no records are made."""
        self._declared = {pv.name: pv for pv in pvs}
        self._values = {pv.name: pv.pv.coerce(pv.pv.value) for pv in pvs}
        return ()

    def run(self) -> tuple[int, int]:
        """Do nothing: there are no clients, and no ports."""
        return 0, 0

    def begin(self, values: Mapping[str, PvValue]) -> None:
        """Take the values that a run begins with."""
        with self._lock:
            self._values |= values
            self._set.clear()
            self._of_run.clear()

    def get(self, name: str) -> PvValue:
        """Return the value of a PV as the run knows it."""
        value = self._values[name]
        return bool(value) if self._declared[name].pv.type == "bool" else value

    def put(self, name: str, value: Any, severity: Severity | None = None) -> None:
        """Set a PV.

        Raises:
            PvValueError: If the value does not fit its type.
        """
        fitting = self._declared[name].pv.coerce(value)
        with self._lock:
            self._values[name] = fitting
            for changes in (self._set, self._of_run):
                changes.pop(name, None)
                changes[name] = (fitting, severity)
        self._notify()

    def take(self) -> tuple[tuple[str, PvValue, Severity | None], ...]:
        """Return what has been set since the last call, in its order."""
        with self._lock:
            changes = tuple((name, *change) for name, change in self._set.items())
            self._set.clear()
            return changes

    def tell_again(self) -> None:
        """Have take() return everything that the run has set."""
        with self._lock:
            self._set = dict(self._of_run)
        self._notify()
