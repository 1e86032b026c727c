"""Ends what a plugin's process has started and left behind.

Ray ends the process group of a worker that ends. What has left it, a daemon for example, is known by a variable that
every process inherits from the plugin's.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from iocmng.loading.confinement import STARTED_BY

_ROUNDS = 10
"""Looks for what a process has started while the others were being ended."""


def end_leftovers(pid: int) -> None:
    """End all processes of this machine that a plugin's process, which is gone, has started, directly or not."""
    for _ in range(_ROUNDS):
        found = list(_started_by(pid))
        if not found:
            return
        for each in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, signal.SIGKILL)


def _started_by(pid: int) -> Iterator[int]:
    mark = f"{STARTED_BY}={pid}".encode()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # Zombies have no environment: they are gone already.
                if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
