"""What can be known of the end of a plugin's process, on the machine where it ran.

Ray tells that a process ended, not why. Python's faulthandler can leave a file where a fatal signal met the code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from iocmng.cluster.last_lines import LastLines, read_lines
from iocmng.cluster.leftovers import end_leftovers
from iocmng.core.fatal_errors import fatal_error
from iocmng.loading.cpu_share import CpuShares
from iocmng.settings import Settings

GONE_TIMEOUT = 3.0
"""Seconds that a killed process may take to vanish."""


LEFT_TIMEOUT = 1.0
"""Seconds for what such a process has started to vanish from its control group."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a process that was told to end.

    Attributes:
        is_gone: Whether it is gone.
        words: Its last words.
        lines: Log lines that it has not reported.
    """

    is_gone: bool
    words: str | None = None
    lines: tuple[str, ...] = ()


class LastWords:
    """Names the files into which one process writes where it ended, and what it has logged; they lie on its node."""

    def __init__(self, settings: Settings) -> None:
        self.bundles = str(settings.state / "bundles")
        self.file = settings.state / "last-words" / uuid.uuid4().hex

    @property
    def lines_file(self) -> Path:
        """Where its newest log lines are."""
        return self.file.with_suffix(".lines")

    def open(self) -> TextIO:
        """Open the file for writing, below a state directory that is made where there is none."""
        self._make_directory()
        return self.file.open("w", encoding="utf-8")

    def open_lines(self) -> LastLines:
        """Begin the file of the log lines."""
        self._make_directory()
        return LastLines(self.lines_file)

    def _make_directory(self) -> None:
        self.file.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.file.parent.mkdir(exist_ok=True)

    def read(self) -> str | None:
        """Return the fatal error and the author's line where it happened, or None if there is nothing."""
        with contextlib.suppress(OSError):
            return fatal_error(self.file.read_text(encoding="utf-8", errors="replace"), self.bundles)
        return None

    def forget(self) -> None:
        """Remove the files."""
        self.file.unlink(missing_ok=True)
        self.lines_file.unlink(missing_ok=True)


def forget_words(settings: Settings, keep: Set[Path]) -> None:
    """Remove what processes of an earlier life have left, except for those files that are to be kept."""
    with contextlib.suppress(FileNotFoundError):
        for file in (settings.state / "last-words").iterdir():
            if file.with_suffix("") not in keep:
                file.unlink(missing_ok=True)


def bury(pid: int, words: LastWords | None, reported: int = 0) -> Ending:
    """Wait until a process of this machine that has been told to end is gone; kill it where that takes long.

    What it has started and left behind is ended, too, and its control group removed.

    Args:
        pid: Its process id.
        words: Where its last words are.
        reported: Number of the last log line that it has reported.
    """
    deadline = time.monotonic() + GONE_TIMEOUT
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    if is_alive(pid) and _is_a_plugin(pid):  # and not a stranger that has the number by now
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
    end_leftovers(pid)
    shares, deadline = CpuShares(), time.monotonic() + LEFT_TIMEOUT
    while pid in shares.sweep() and time.monotonic() < deadline:
        time.sleep(0.01)
    told, lines = (words.read(), read_lines(words.lines_file, reported)) if words else (None, ())
    if words:
        words.forget()
    return Ending(not (is_alive(pid) and _is_a_plugin(pid)), told, lines)


def is_alive(pid: int) -> bool:
    """Tell whether a process of this machine exists; one that nobody has waited for is gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def _is_a_plugin(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"PluginProcess" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False
