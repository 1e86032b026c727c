"""What author's code may raise, and how operators read it."""

from __future__ import annotations

from pathlib import Path

from iocmng.errors import Cancelled, ItemFailed, PermanentError, TemporaryError

AUTHOR_ERRORS = BaseException
"""What author's code may raise without ending its thread: everything, sys.exit() and asyncio's cancellation too."""

MAX_CHARACTERS = 10_000
"""Characters of an exception's text that are passed on; operators read them, and every snapshot holds them."""

OUR_FILES = f"{Path(__file__).parent.parent}/"
"""Frames of a traceback whose file begins so are not the author's."""


def describe(error: BaseException) -> str:
    """Return the text of an author's exception as operators should read it."""
    try:
        text = str(error)
    except AUTHOR_ERRORS:  # the author's own __str__
        text = "its text cannot be shown"
    if len(text) > MAX_CHARACTERS:
        text = f"{text[:MAX_CHARACTERS]}... ({len(text)} characters)"
    if isinstance(error, SystemExit):
        return f"the code called exit({text})"
    speaks_for_itself = isinstance(error, TemporaryError | PermanentError | Cancelled | ItemFailed)
    return text if text and speaks_for_itself else f"{type(error).__name__}: {text}"
