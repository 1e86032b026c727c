"""What a plugin shows of itself: its built-in PVs and the reports for the Controller, always in step."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from iocmng.base.shown_run import ShownRun
from iocmng.core.devices import CreatedDevice
from iocmng.core.log_lines import plain, shortened
from iocmng.core.metrics import CYCLE_SECONDS
from iocmng.core.ports.plugin import PvServer
from iocmng.core.pv_fields import PvValue
from iocmng.core.runs import RUN_LOG_LINES, RunReport
from iocmng.core.secrets import HIDDEN
from iocmng.core.spec import Report
from iocmng.core.tally import Buckets

LOG_LINES = 1000
"""Log lines kept until the next report takes them."""


def _nobody(urgent: bool) -> None:
    """Tell nobody."""


class _RunPage:
    """What is known of the run that goes on."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.progress = 0.0
        self.message = ""
        self.log: deque[str] = deque(maxlen=RUN_LOG_LINES)
        self.untold: deque[str] = deque(maxlen=RUN_LOG_LINES)

    def report(self) -> RunReport:
        """Return what there is to tell; log lines are handed out once."""
        lines = tuple(self.untold)
        self.untold.clear()
        return RunReport(self.run, self.progress, self.message, lines)


class StatusBoard:
    """Holds status, state, message and counters; thread-safe.

    Args:
        pvs: Where the built-in PVs are served.
        has: Names of the built-in PVs that this plugin has.
        notify: Called after each change, with True where it should be told at once. Must return quickly.
        shown: Knows whether a job's run is to be shown, or stays behind a newer one in another process.
        keep: Keeps each log line, with its number, where it outlives this process; must not raise.
    """

    def __init__(
        self,
        pvs: PvServer,
        has: frozenset[str],
        notify: Callable[[bool], None] | None = None,
        shown: ShownRun | None = None,
        keep: Callable[[int, str], None] | None = None,
    ) -> None:
        self._pvs = pvs
        self._has = has
        self._notify = notify or _nobody
        self._shown = shown or ShownRun()
        self._keep = keep
        self._showing = threading.RLock()  # keeps record and report in step where two threads show something
        self._lock = threading.Lock()
        self._version = 0
        self._status, self._state, self._message = "loaded", "", ""
        self._running = False
        self._before_hang: tuple[str, str, str] | None = None
        self._hang_message = ""
        self._cycle_count = self._overruns = self._cycle_failures = 0
        self._cycle_times = Buckets(CYCLE_SECONDS.bounds)
        self._devices: tuple[CreatedDevice, ...] = ()
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._logged = self._left_out = 0
        self._run: _RunPage | None = None
        self._secrets: tuple[str, ...] = ()

    def hide(self, secrets: Sequence[str]) -> None:
        """Take these texts, the longest first, out of every message and log line from now on."""
        self._secrets = tuple(secrets)

    def clean(self, text: str) -> str:
        """Return a text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    @property
    def run(self) -> int | None:
        """Number of the run that goes on."""
        page = self._run
        return None if page is None else page.run

    @property
    def state(self) -> str:
        """Text of the STATUS record."""
        return self._state

    @property
    def message(self) -> str:
        """The whole message; the MESSAGE record has as much of it as fits."""
        return self._message

    def show(
        self,
        *,
        status: str | None = None,
        running: bool | None = None,
        state: str | None = None,
        message: str | None = None,
    ) -> None:
        """Set what is given and leave the rest; of a run that is hidden, only the message of that run."""
        message = message if message is None else self.clean(message)
        with self._lock:
            if self._run is not None and message is not None:
                self._run.message = message
        if not self._shown.is_hidden:
            self._show(status, running, state, message)
        self._notify(True)

    def follow(self, report: Report) -> None:
        """Show what a run in another process says of itself."""
        for name, value, severity in report.puts:
            if name not in self._has or name == "PROGRESS":  # STATUS and MESSAGE follow below
                self._pvs.put(name, value, severity)
        self._show(report.status, report.running, report.state, report.message)
        self._notify(True)

    def _show(self, status: str | None, running: bool | None, state: str | None, message: str | None) -> None:
        with self._showing:
            if message is not None:
                self._put("MESSAGE", message)
            if state is not None:
                self._put("STATUS", state)
            with self._lock:
                self._status = status if status is not None else self._status
                self._running = running if running is not None else self._running
                self._state = state if state is not None else self._state
                self._message = message if message is not None else self._message
                self._version += 1

    def show_hung(self, state: str, message: str) -> None:
        """Show an error until show_returned() is called; called again, it renews the message."""
        with self._showing:
            if self._before_hang is None:
                self._before_hang = (self._status, self._state, self._message)
            self._hang_message = message
            self.show(status="error", state=state, message=message)

    def show_returned(self) -> None:
        """Show again what was shown before show_hung(), but for a message that the author has set meanwhile."""
        with self._showing:
            if self._before_hang is None:
                return
            status, state, message = self._before_hang
            self._before_hang = None
            self.show(status=status, state=state, message=message if self._message == self._hang_message else None)

    def count(self, cycles: int, overruns: int) -> None:
        """Set the counters."""
        with self._lock:
            self._cycle_count, self._overruns = cycles, overruns
            self._version += 1
        self._put("CYCLE_COUNT", cycles & 0x7FFFFFFF)  # the record is a 32-bit longin
        self._notify(False)

    def note_cycle(self, seconds: float) -> None:
        """Note how long a cycle has taken; told with the next report."""
        self._cycle_times.note(seconds)

    def note_failed_cycle(self) -> None:
        """Note that a cycle has failed; told with the next report."""
        self._cycle_failures += 1

    def begin_run(self, run: int) -> None:
        """Note that a run begins: progress, messages and log lines belong to it from now on."""
        self._shown.begin(run)
        with self._lock:
            self._run = _RunPage(run)

    def end_run(self) -> tuple[str, ...]:
        """Note that the run has ended; return its log lines, the newest."""
        with self._lock:
            page, self._run = self._run, None
        self._shown.end()
        return tuple(page.log) if page is not None else ()

    def tell(self, message: str, state: str) -> None:
        """Show a message that is none of the run's own and, unless it is empty and while none goes on, a state."""
        if state and self._run is None:
            self._show("error", False, state, message)
        else:
            self._show(None, None, None, message)
        self._notify(True)

    def show_devices(self, devices: tuple[CreatedDevice, ...]) -> None:
        """Set which ophyd devices there are; nothing happens if they are the same."""
        with self._lock:
            if devices == self._devices:
                return
            self._devices = devices
            self._version += 1
        self._notify(True)

    def progress(self, percent: float) -> None:
        """Set PROGRESS."""
        if not self._shown.is_hidden:
            self._put("PROGRESS", round(percent))
        with self._lock:
            if self._run is not None:
                self._run.progress = percent
            self._version += 1
        self._notify(False)

    def log(self, line: str) -> None:
        """Keep a log line for the next report, and for the run that goes on."""
        line = shortened(plain(self.clean(line)))
        with self._lock:
            self._logged += 1
            self._left_out += len(self._log) == LOG_LINES
            self._log.append(line)
            if self._keep is not None:
                self._keep(self._logged, line)
            if self._run is not None:
                self._run.log.append(line)
                self._run.untold.append(line)
            self._version += 1
        self._notify(False)

    def report(self) -> Report:
        """Return what there is to tell; log lines are handed out once."""
        with self._lock:
            lines = tuple(self._log)
            if self._left_out:
                lines = (f"... {self._left_out} lines are left out here: they came faster than they are taken", *lines)
            self._log.clear()
            self._left_out = 0
            return Report(
                version=self._version,
                status=self._status,
                state=self._state,
                message=self._message,
                running=self._running,
                cycle_count=self._cycle_count,
                overruns=self._overruns,
                log=lines,
                logged=self._logged,
                hung=self._before_hang is not None,
                run=self._run.report() if self._run is not None else None,
                devices=self._devices,
                cycle_times=self._cycle_times.spread(),
                cycle_failures=self._cycle_failures,
            )

    def _put(self, name: str, value: PvValue) -> None:
        if name in self._has:
            self._pvs.put(name, value)
