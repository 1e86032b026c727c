"""What EPICS clients write, and how much of it is told: a client that goes on and on must not fill log and audit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from iocmng.core.words import printable

FIRST_PAUSE = 1.0
"""Seconds after a put in which further ones of the same client to the same PV are only counted."""

LONGEST_PAUSE = 60.0
"""Seconds between two summaries at most; the pause doubles while the client goes on."""

MOST_WRITERS = 200
"""Pairs of PV and client that are told apart at a time; of further ones only the number is told."""


@dataclass(frozen=True, slots=True)
class ClientPut:
    """One put of a client, or several of the same.

    Attributes:
        pv: The PV's whole name, with the field where one was named.
        who: user@host, as the client says it.
        protocol: ca or pva.
        before: The value before.
        value: The value after; of several puts, after the last one.
        count: Number of puts that this tells of.
    """

    pv: str
    who: str
    protocol: str
    before: str
    value: str
    count: int = 1

    @property
    def sentence(self) -> str:
        """The same in words, for a log. Whatever name a client gives itself, it is one line."""
        who = printable(self.who)
        if not self.pv:
            return f"{self.count} more puts by {who}"
        often = f" ({self.count} more puts)" if self.count > 1 else ""
        return f"{printable(self.pv)} written by {who} over {self.protocol}: {self.before!r} -> {self.value!r}{often}"


@dataclass(slots=True)
class _Line:
    due: float
    pause: float = FIRST_PAUSE
    count: int = 0
    first: ClientPut | None = None
    last: ClientPut | None = None
    was_quiet: bool = False


class PutBook:
    """Tells the first of many puts at once, and the others by their number. Thread-safe.

    Args:
        tell: Called with what there is to tell.
        clock: Returns seconds that never go back.
    """

    def __init__(self, tell: Callable[[ClientPut], None], clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str], _Line] = {}
        self._others = 0

    def note(self, put: ClientPut) -> None:
        """Take note of a put; the first is told at once."""
        key = put.pv, put.who
        with self._lock:
            line = self._lines.get(key)
            if line is not None:
                line.count += 1
                line.first, line.last = line.first or put, put
                return
            if len(self._lines) >= MOST_WRITERS:
                self._others += 1
                return
            self._lines[key] = _Line(self._clock() + FIRST_PAUSE)
        self._tell(put)

    def look(self, *, everything: bool = False) -> None:
        """Tell what was counted, where it is time for that; called each second, and at the end for everything."""
        now, told = self._clock(), list[ClientPut]()
        with self._lock:
            for key, line in list(self._lines.items()):
                if now < line.due and not everything:
                    continue
                if line.first is None or line.last is None:
                    if line.was_quiet or everything:
                        del self._lines[key]
                    # Once more: a put each second falls between two looks now and then.
                    line.was_quiet, line.due = True, now + line.pause
                    continue
                last = line.last
                told.append(ClientPut(*key, last.protocol, line.first.before, last.value, line.count))
                line.pause = min(2 * line.pause, LONGEST_PAUSE)
                line.due, line.was_quiet = now + line.pause, False
                line.count, line.first, line.last = 0, None, None
            if self._others:
                told.append(ClientPut("", "other clients", "", "", "", self._others))
                self._others = 0
        for put in told:
            self._tell(put)
