"""What a plugin shows of itself: its built-in PVs and the reports for the Controller, always in step."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from iocmng.core.devices import CreatedDevice
from iocmng.core.ports import PvServer
from iocmng.core.pv_fields import PvValue
from iocmng.core.spec import Report

LOG_LINES = 1000
"""Log lines kept until the next report takes them."""


def _nobody(urgent: bool) -> None:
    """Tell nobody."""


class StatusBoard:
    """Holds status, state, message and counters; thread-safe.

    Args:
        pvs: Where the built-in PVs are served.
        has: Names of the built-in PVs that this plugin has.
        notify: Called after each change, with True where it should be told at once. Must return quickly.
    """

    def __init__(self, pvs: PvServer, has: frozenset[str], notify: Callable[[bool], None] | None = None) -> None:
        self._pvs = pvs
        self._has = has
        self._notify = notify or _nobody
        self._showing = threading.RLock()  # keeps record and report in step where two threads show something
        self._lock = threading.Lock()
        self._version = 0
        self._status, self._state, self._message = "loaded", "", ""
        self._running = False
        self._before_hang: tuple[str, str, str] | None = None
        self._hang_message = ""
        self._cycle_count = self._overruns = 0
        self._devices: tuple[CreatedDevice, ...] = ()
        self._log: deque[str] = deque(maxlen=LOG_LINES)

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
        """Set what is given and leave the rest."""
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
        self._notify(True)

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

    def show_devices(self, devices: tuple[CreatedDevice, ...]) -> None:
        """Set which ophyd devices there are; nothing happens if they are the same."""
        with self._lock:
            if devices == self._devices:
                return
            self._devices = devices
            self._version += 1
        self._notify(True)

    def progress(self, percent: int) -> None:
        """Set PROGRESS."""
        self._put("PROGRESS", percent)

    def log(self, line: str) -> None:
        """Keep a log line for the next report."""
        with self._lock:
            self._log.append(line)
            self._version += 1
        self._notify(False)

    def report(self) -> Report:
        """Return what there is to tell; log lines are handed out once."""
        with self._lock:
            lines = tuple(self._log)
            self._log.clear()
            return Report(
                version=self._version,
                status=self._status,
                state=self._state,
                message=self._message,
                running=self._running,
                cycle_count=self._cycle_count,
                overruns=self._overruns,
                log=lines,
                hung=self._before_hang is not None,
                devices=self._devices,
            )

    def _put(self, name: str, value: PvValue) -> None:
        if name in self._has:
            self._pvs.put(name, value)
