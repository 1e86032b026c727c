"""A plugin's newest log lines in a file, so that those are known which its process had no time to report."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from pathlib import Path

FILE_BYTES = 512 * 1024
"""Size beyond which the file is written anew, with half of it."""


class LastLines:
    """Writes the file. Every line is a call of the operating system, and nothing of it waits in this process."""

    def __init__(self, file: Path, most_bytes: int = FILE_BYTES) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._most_bytes = most_bytes
        self._newest: deque[bytes] = deque()
        self._newest_bytes = self._file_bytes = 0

    def keep(self, number: int, line: str) -> None:
        """Keep a line; where that cannot be done, it is not."""
        entry = json.dumps([number, line]).encode("ascii") + b"\n"
        self._newest.append(entry)
        self._newest_bytes += len(entry)
        while self._newest_bytes > self._most_bytes // 2 and len(self._newest) > 1:
            self._newest_bytes -= len(self._newest.popleft())
        with contextlib.suppress(OSError):
            self._write(entry)

    def _write(self, entry: bytes) -> None:
        if self._file_bytes + len(entry) > self._most_bytes:
            os.ftruncate(self._file, 0)
            self._file_bytes, entry = 0, b"".join(self._newest)
        self._file_bytes += os.write(self._file, entry)


def read_lines(file: Path, after: int) -> tuple[str, ...]:
    """Return the lines that a file holds behind a number; nothing where it cannot be read."""
    found: list[str] = []
    with contextlib.suppress(OSError):
        for entry in file.read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError):  # a last one that is cut
                number, line = json.loads(entry)
                if number > after:
                    found.append(line)
    return tuple(found)
