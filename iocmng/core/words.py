"""Words and values as messages show them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return what stands behind the message about a word that is not valid: the valid one that looks most like it."""
    close = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return f"{value!r:.80}"


def printable(text: str) -> str:
    """Return a text whose control characters and halves of characters are written out, as in a Python string."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def short(value: Any) -> str:
    """Return a number as somebody would write it, and anything else as text."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def iso_time(seconds: float) -> str:
    """Return a time, given in seconds since 1970-01-01 UTC, in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
