"""What author's code may raise, and how operators read it."""

from __future__ import annotations

import errno
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
    if text and speaks_for_itself:
        return text
    return f"{type(error).__name__}: {'; '.join(filter(None, (text, limit_met(error))))}"


def limit_met(error: BaseException) -> str:
    """Return which limit of the process may be the reason, or nothing."""
    match error:
        case MemoryError():
            return "more memory than the process may take (see limits.memory, IOCMNG_PLUGIN_MEMORY)"
        case OSError(errno=errno.EMFILE):
            return "more than the process may have open (see limits.open_files, IOCMNG_PLUGIN_OPEN_FILES)"
        case _:
            return ""
