"""A plugin's newest log lines, each with a number, so that whoever follows them neither misses nor repeats one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines of a log.

    Attributes:
        lines: Oldest first.
        next: Number of the last of them: who asks for what comes after it gets what follows.
        missed: Whether lines that were asked for are kept no longer.
    """

    lines: tuple[str, ...]
    next: int
    missed: bool = False


class NumberedLog:
    """Keeps the newest lines. Numbers rise by one with each line, also beyond what is kept."""

    def __init__(self, limit: int, before: int) -> None:
        """Make an empty log.

        Args:
            limit: Number of lines to keep.
            before: The first line's number is one more. A later log of the same plugin must begin above the numbers
                of an earlier one, else a line of it would be taken for one that is known.
        """
        self._lines: deque[str] = deque(maxlen=limit)
        self._before = before
        self._last = before

    def extend(self, lines: Iterable[str]) -> None:
        """Add lines, oldest first."""
        for line in lines:
            self._lines.append(line)
            self._last += 1

    def newest(self, limit: int) -> LogPage:
        """Return the newest lines."""
        start = max(0, len(self._lines) - limit)
        return LogPage(tuple(islice(self._lines, start, None)), self._last)

    def following(self, after: int, limit: int) -> LogPage:
        """Return the oldest lines whose number is above `after`; 0 begins with the first that is kept.

        A number that no line has had yet is one of an earlier log, so all lines are new to who asks.
        """
        first = self._last - len(self._lines) + 1
        is_foreign = after > self._last
        skipped = 0 if is_foreign else max(0, after + 1 - first)
        lines = tuple(islice(self._lines, skipped, skipped + limit))
        missed = is_foreign or first > (after or self._before) + 1
        return LogPage(lines, first + skipped + len(lines) - 1, missed)
