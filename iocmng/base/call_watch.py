"""CallWatch: notices a call of the author's code that does not return."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Generator
from contextlib import contextmanager

from iocmng.base.board import StatusBoard
from iocmng.core.builtin_pvs import TaskState
from iocmng.core.ports.plugin import Clock


class CallWatch:
    """Knows which call the author's thread is in, and shows it as hung when it takes too long.

    A call that holds Python's lock for good (a loop in C) stops look() as well; the Controller notices that.

    Args:
        board: Where a call that hangs is shown.
        clock: Time for the limit.
        limit: Seconds that a call may take; None means no limit.
        state: What STATUS shows while a call hangs.
        logger: The plugin's; told where the call stands.
    """

    def __init__(
        self,
        board: StatusBoard,
        clock: Clock,
        limit: float | None = None,
        state: str = TaskState.ERROR,
        logger: logging.Logger | None = None,
    ) -> None:
        self._board = board
        self._clock = clock
        self._limit = limit
        self._state = str(state)
        self._logger = logger or logging.getLogger(__name__)
        self._lock = threading.Lock()
        self._call = ""
        self._thread = 0
        self._since = self._tell_after = 0.0
        self._is_told = False

    @contextmanager
    def calling(self, call: str) -> Generator[None]:
        """Watch over what is done in this block, under the name of a call of the author's code."""
        if self._limit is None:
            yield
            return
        with self._lock:
            self._call, self._thread, self._since = call, threading.get_ident(), self._clock.monotonic()
            self._tell_after, self._is_told = self._limit, False
        try:
            yield
        finally:
            self._returned()

    def look(self) -> None:
        """Show a call that has taken too long; called about once a second, in any thread but the author's."""
        with self._lock:
            elapsed = self._clock.monotonic() - self._since
            if not self._call or elapsed <= self._tell_after:
                return
            self._tell_after = 2 * elapsed  # told anew when it has become twice as long, not every second
            message = f"{self._call} has not returned for {elapsed:.0f} s"
            if not self._is_told:
                self._logger.error("%s; it stands at\n%s", message, _place(self._thread))
            self._is_told = True
            self._board.show_hung(self._state, message)

    def _returned(self) -> None:
        with self._lock:
            call, self._call = self._call, ""
            if self._is_told:
                self._board.show_returned()
                self._logger.warning("%s has returned after %.0f s", call, self._clock.monotonic() - self._since)


def _place(thread: int) -> str:
    """Return where a thread stands, as a traceback of the author's code."""
    frame = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    stack = traceback.extract_stack(frame)
    ours = [number for number, entry in enumerate(stack) if entry.filename.endswith("_runner.py")]
    return "".join(traceback.format_list(stack[ours[-1] + 1 :] if ours else stack)).rstrip()
