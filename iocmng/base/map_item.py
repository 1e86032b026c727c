"""One item of a map(): call the author's function, and tell everything that comes of it."""

from __future__ import annotations

import logging
import reprlib
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from iocmng.base.author_errors import AUTHOR_ERRORS, OUR_FILES, describe
from iocmng.core.ports.plugin import ItemOutcome
from iocmng.errors import ItemFailed

LOG_LINES = 200
"""Log lines that are kept of one item."""

MAX_ITEM_TEXT = 80
"""Characters of an item that are shown."""


def run_item(function: Callable[[Any], Any], index: int, item: Any, directory: str | None) -> ItemOutcome:
    """Call the function with the item; whatever it raises, SystemExit too, becomes a failure.

    Args:
        function: The author's.
        index: Place of the item among all, from 0.
        item: What to call it with.
        directory: Where the plugin's files lie; the line at fault is looked for there first.
    """
    with _gathered_log() as lines:
        try:
            value = function(item)
        except AUTHOR_ERRORS as error:
            return ItemOutcome(index, failure=_failure(index, item, error, directory), log=tuple(lines))
    return ItemOutcome(index, value, log=tuple(lines))


def item_failed(index: int, item: Any, reason: str) -> ItemFailed:
    """Return the error of an item, which names it."""
    try:
        shown = reprlib.repr(item)
    except AUTHOR_ERRORS:  # the author's own __repr__
        shown = "an item that cannot be shown"
    return ItemFailed(f"item {index} ({shown[:MAX_ITEM_TEXT]}): {reason}", index=index)


def _failure(index: int, item: Any, error: BaseException, directory: str | None) -> ItemFailed:
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(OUR_FILES)] or list(frames)
    own = [frame for frame in theirs if directory is not None and frame.filename.startswith(directory)] or theirs
    place = f" ({own[-1].filename.rpartition('/')[2]}, line {own[-1].lineno})" if own else ""
    failure = item_failed(index, item, f"{describe(error)}{place}")
    # The exception itself may be of a class that no other process knows; its text is enough for the log.
    failure.add_note("".join(traceback.format_list(theirs)).rstrip())
    return failure


class _Gatherer(logging.Handler):
    """Keeps what is logged, except by iocmng itself: the plugin's own logger has a way of its own."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) < LOG_LINES and record.name.partition(".")[0] not in ("iocmng", "ray"):
            self._lines.append((record.levelno, record.getMessage()))


@contextmanager
def _gathered_log() -> Generator[list[tuple[int, str]]]:
    lines: list[tuple[int, str]] = []
    handler = _Gatherer(lines)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
