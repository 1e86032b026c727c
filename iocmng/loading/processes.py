"""Child processes (git, uv): what they inherit, how long they may take, how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iocmng.core.author_environment import belongs_to_server

POLL_SECONDS = 0.2
GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Finished:
    """What a child process left behind."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock that several steps share."""

    moment: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds until then, never below zero."""
        return max(0.0, self.moment - time.monotonic())


def inherited_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the server's own variables."""
    return {name: value for name, value in environment.items() if not belongs_to_server(name)}


def finish(process: subprocess.Popen[bytes], deadline: Deadline, watch: Callable[[], None] | None = None) -> Finished:
    """Wait for a process that was started in a session of its own and whose output is piped.

    Whatever ends the waiting early (the deadline, an exception of `watch`, an interrupt) kills the process and all its
    children.

    Args:
        process: The process.
        deadline: When it must have ended.
        watch: Called several times a second; raises to end the process.

    Raises:
        subprocess.TimeoutExpired: If the deadline passed.
    """
    try:
        while True:
            try:
                stdout, stderr = process.communicate(timeout=min(POLL_SECONDS, deadline.left))
                break
            except subprocess.TimeoutExpired:
                if deadline.left == 0:
                    raise
                if watch:
                    watch()
        if watch:
            watch()
    except BaseException:
        _kill(process)
        raise
    return Finished(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, and wait until they have closed their pipes."""
    if process.returncode is not None:
        return  # collected already: its number may be another process's by now
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
        process.communicate(timeout=GRACE_SECONDS)
