"""What can be known of the end of a plugin's process on this machine.

Ray tells that a process ended, not why. Python's faulthandler can leave a file where a fatal signal met the code.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from pathlib import Path

from iocmng.settings import Settings

_ERROR = re.compile(r"^Fatal Python error: (?P<what>.+)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)', re.MULTILINE)


class LastWords:
    """The file into which one process may write where it ended."""

    def __init__(self, settings: Settings) -> None:
        self._bundles = str(settings.state / "bundles")
        self.file = settings.state / "last-words" / uuid.uuid4().hex
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> str | None:
        """Return the fatal error and the author's line where it happened, or None if there is nothing."""
        with contextlib.suppress(OSError):
            return parse(self.file.read_text(encoding="utf-8", errors="replace"), self._bundles)
        return None

    def forget(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)


def parse(text: str, bundles: str) -> str | None:
    """Return what faulthandler has written, in a few words."""
    error = _ERROR.search(text)
    if error is None:
        return None
    words = error["what"].lower()
    for frame in _FRAME.finditer(text):
        if frame["file"].startswith(bundles):
            return f"{words} in {frame['function']} ({Path(frame['file']).name}, line {frame['line']})"
    return words
