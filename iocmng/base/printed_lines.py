"""What author's code prints becomes lines of the plugin's log."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from iocmng.core.log_lines import LINE_CHARACTERS


class PrintedLines(io.TextIOBase):
    """Stands for stdout or stderr: each whole line that is written is logged.

    Args:
        stream: What it stands for. Bytes written to its `buffer` or file descriptor go there as before.
        log: Logs a line.
    """

    def __init__(self, stream: TextIO, log: Callable[[str], object]) -> None:
        self._stream = stream
        self._log = log
        self._local = threading.local()

    def write(self, text: str, /) -> int:
        """Log the lines that this makes whole; the rest waits for what comes."""
        local = self._local
        if getattr(local, "is_logging", False):  # a handler that prints because of an error must not go in circles
            return self._stream.write(text)
        *lines, rest = f"{getattr(local, 'rest', '')}{text}".split("\n")
        if len(rest) > LINE_CHARACTERS:
            lines, rest = [*lines, rest], ""
        local.rest, local.is_logging = rest, True
        try:
            for line in lines:
                shown = line.rstrip("\r").rpartition("\r")[2]  # the last state of a progress bar
                if shown.strip():
                    self._log(shown)
        finally:
            local.is_logging = False
        return len(text)

    def flush(self) -> None:
        """Flush the stream itself; a line that is not whole waits on."""
        self._stream.flush()

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return False."""
        return False

    def fileno(self) -> int:
        """Return the stream's own."""
        return self._stream.fileno()

    @property
    def buffer(self) -> Any:
        """The stream's own."""
        return self._stream.buffer

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The stream's own."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The stream's own."""
        return self._stream.errors


def log_what_is_printed(logger: logging.Logger) -> None:
    """Have everything that this process prints logged, what goes to stderr as warnings."""
    for name, level in (("stdout", logging.INFO), ("stderr", logging.WARNING)):
        stream = getattr(sys, name)
        if not isinstance(stream, PrintedLines):
            setattr(sys, name, PrintedLines(stream, lambda line, level=level: logger.log(level, "%s", line)))
