"""What a child process and its own children may write to the disk, all together."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from iocmng.loading.processes import GRACE_SECONDS

_WRITTEN = b"wchar: "


class WroteTooMuch(Exception):
    """The processes have written more than they may, and have not ended by themselves."""


class WriteLimit:
    """Counts what the processes of one session write, and takes the right to write away from them at a limit.

    The system counts for each process; what it does not tell (of a process of another user) is not counted.

    Attributes:
        exceeded: Whether they have written more than they may.
    """

    def __init__(self, session: int, max_bytes: int) -> None:
        self.exceeded = False
        self._session = session
        self._max_bytes = max_bytes
        self._written: dict[int, int] = {}
        self._kill_after = 0.0
        # Beyond it, a write fails; whoever ignores SIGXFSZ lives on and can tidy up.
        _limit_files(session, max_bytes)

    def watch(self) -> None:
        """Look what has been written; see `processes.finish`.

        Raises:
            WroteTooMuch: If they go on for some seconds after they have lost the right to write.
        """
        for pid in _processes_of(self._session):
            self._written[pid] = max(_written_by(pid), self._written.get(pid, 0))
        if not self.exceeded and sum(self._written.values()) > self._max_bytes:
            self.exceeded = True
            self._kill_after = time.monotonic() + GRACE_SECONDS
        if self.exceeded:
            for pid in _processes_of(self._session):
                _limit_files(pid, 0)
            if time.monotonic() > self._kill_after:
                raise WroteTooMuch


def bytes_below(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(
        os.lstat(os.path.join(here, name)).st_size  # noqa: PTH118  # many files
        for here, _, names in os.walk(directory)
        for name in names
    )


def _limit_files(pid: int, max_bytes: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (max_bytes, max_bytes))


def _processes_of(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                if int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[3]) == session:
                    yield int(entry.name)


def _written_by(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/io").read_bytes().splitlines():
            if line.startswith(_WRITTEN):
                return int(line.removeprefix(_WRITTEN))
    return 0
