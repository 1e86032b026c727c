"""The permission to serve PVs, which a process on another node than the Controller's has to have renewed."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

from iocmng.base.host import PluginHost

LOOK_EVERY = 0.5
"""Seconds between two looks at the clock."""

CLEANUP_LIMIT = 5.0
"""Seconds that cleanup() may take once the lease has ended; the Controller waits for them, too."""

EXIT_STATUS = 75
"""Of a process whose lease has ended (EX_TEMPFAIL of sysexits.h)."""

_log = logging.getLogger(__name__)


class Lease:
    """Ends this process when nobody has renewed the lease for its whole length.

    A node that is cut off from the network keeps its processes, and they their PVs, while the Controller starts
    replacements elsewhere. The lease sees to it that the old PVs are gone by then. A thread of its own looks at the
    clock, because the event loop of a cut-off process may be waiting for anything. Where author's code holds Python's
    lock, no thread of Python runs: then a timer of the kernel ends the process.

    Attributes:
        has_ended: Whether it is too late for a renewal.
    """

    def __init__(self) -> None:
        self._ends_at = float("inf")
        self._host: PluginHost | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.has_ended = False

    def renew(self, seconds: float, since: float, host: PluginHost) -> bool:
        """Let the PVs be served for so many seconds; return whether that is still to come.

        Args:
            seconds: How long.
            since: The moment, by `now()`, from which they count: when the answer was sent that the Controller had at
                hand as it called. The call itself may have been under way for any time.
            host: What to end.
        """
        with self._lock:
            left = since + seconds - now()
            if self.has_ended or left <= 0:
                return False
            self._host = host
            self._ends_at = since + seconds
            # Unlike a thread it needs nothing of Python; SIGALRM's default ends the process.
            signal.setitimer(signal.ITIMER_REAL, left + CLEANUP_LIMIT)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="iocmng-lease", daemon=True)
                self._thread.start()
        return True

    def _watch(self) -> None:
        while not self._is_over():
            time.sleep(LOOK_EVERY)
        assert self._host is not None
        _log.error("no word from the Controller for the whole lease: the PVs are no longer served")
        # The PVs end with the process, in any case and in time; what the author's cleanup() does until then is a gift.
        ended = self._host.end()
        ended.add_done_callback(lambda _: os._exit(EXIT_STATUS))

    def _is_over(self) -> bool:
        with self._lock:
            self.has_ended = now() >= self._ends_at
            return self.has_ended


def now() -> float:
    """Return the seconds since the machine started, those included in which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
