"""Reads what Python's faulthandler leaves where a fatal signal met the code."""

from __future__ import annotations

import re

_ERROR = re.compile(r"^Fatal Python error: (?P<what>.+)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)', re.MULTILINE)


def fatal_error(text: str, directory: str) -> str | None:
    """Return the fatal error and the author's line where it happened, or None if there is nothing.

    Args:
        text: What faulthandler has written.
        directory: Where the author's files lie.
    """
    error = _ERROR.search(text)
    if error is None:
        return None
    words = error["what"].lower()
    for frame in _FRAME.finditer(text):
        if frame["file"].startswith(directory):
            file = frame["file"].rpartition("/")[2]
            return f"{words} in {frame['function']} ({file}, line {frame['line']})"
    return words
