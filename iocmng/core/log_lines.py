"""A plugin's newest log lines, each with a number, so that whoever follows them neither misses nor repeats one."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

LINE_CHARACTERS = 10_000
"""Characters of a log line that are kept."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines of a log.

    Attributes:
        lines: Oldest first.
        next: Number of the last of them: who asks for what comes after it gets what follows.
        missed: Whether lines that were asked for are kept no longer.
        generations: Which generation of the plugin has written each line.
    """

    lines: tuple[str, ...]
    next: int
    missed: bool = False
    generations: tuple[int, ...] = ()


class NumberedLog:
    """Keeps the newest lines. Numbers rise by one with each line, also beyond what is kept."""

    def __init__(self, limit: int, before: int, most_characters: int = 4_000_000) -> None:
        """Make an empty log.

        Args:
            limit: Number of lines to keep.
            before: The first line's number is one more. A later log of the same plugin must begin above the numbers
                of an earlier one, else a line of it would be taken for one that is known.
            most_characters: What all lines together may hold; beyond, fewer lines are kept.
        """
        self._lines: deque[tuple[str, int]] = deque()
        self._limit = limit
        self._before = before
        self._last = before
        self._characters = 0
        self._most_characters = most_characters

    def extend(self, lines: Iterable[str], generation: int = 0) -> None:
        """Add lines of a generation, oldest first."""
        for line in lines:
            self._lines.append((line, generation))
            self._last += 1
            self._characters += len(line)
            while len(self._lines) > self._limit or (self._characters > self._most_characters and len(self._lines) > 1):
                self._characters -= len(self._lines.popleft()[0])

    def newest(self, limit: int) -> LogPage:
        """Return the newest lines."""
        return self._page(max(0, len(self._lines) - limit), len(self._lines))

    def following(self, after: int, limit: int) -> LogPage:
        """Return the oldest lines whose number is above `after`; 0 begins with the first that is kept.

        A number that no line has had yet is one of an earlier log, so all lines are new to who asks.
        """
        first = self._last - len(self._lines) + 1
        is_foreign = after > self._last
        skipped = 0 if is_foreign else max(0, after + 1 - first)
        missed = is_foreign or first > (after or self._before) + 1
        return self._page(skipped, skipped + limit, missed=missed)

    def _page(self, start: int, stop: int, *, missed: bool = False) -> LogPage:
        found = tuple(islice(self._lines, start, stop))
        last = self._last - len(self._lines) + start + len(found)
        return LogPage(tuple(line for line, _ in found), last, missed, tuple(generation for _, generation in found))


def shortened(line: str) -> str:
    """Return as much of a line as is kept; what is cut says so."""
    return line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}..."


def plain(text: str) -> str:
    """Return a log line as text that begins no line but its own, and cannot steer a terminal.

    What follows a line's end is indented; all else that cannot be printed is shown as its number.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter == "\n":
        return "\n    "
    if letter.isprintable() or letter == "\t" or unicodedata.category(letter) == "Zs":
        return letter
    return letter.encode("unicode_escape").decode("ascii")
