"""The permission to serve PVs, which a process on another node than the Controller's has to have renewed."""

from __future__ import annotations

import logging
import os
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
    clock, because the event loop of a cut-off process may be waiting for anything.
    """

    def __init__(self) -> None:
        self._ends_at = float("inf")
        self._host: PluginHost | None = None
        self._thread: threading.Thread | None = None

    def renew(self, seconds: float | None, host: PluginHost) -> None:
        """Let the PVs be served for so many seconds from now on; None is without limit."""
        self._host = host
        self._ends_at = float("inf") if seconds is None else time.monotonic() + seconds
        if seconds is not None and self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="iocmng-lease", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        while time.monotonic() < self._ends_at:
            time.sleep(LOOK_EVERY)
        assert self._host is not None
        _log.error("no word from the Controller for the whole lease: the PVs are no longer served")
        # The PVs end with the process, in any case and in time; what the author's cleanup() does until then is a gift.
        limit = threading.Timer(CLEANUP_LIMIT, os._exit, [EXIT_STATUS])
        limit.daemon = True
        limit.start()
        ended = self._host.end()
        ended.add_done_callback(lambda _: os._exit(EXIT_STATUS))
