"""The lock on a state directory: one server at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from iocmng.errors import StateUnavailable

LOCK_TIMEOUT = 5.0
"""Seconds to wait for another server to let go of the state: as long as one takes to end that is being replaced."""

_POLL_SECONDS = 0.05


class FileLock:
    """An exclusive lock on a file. The system lifts it when the process ends, however it ends."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Take the lock.

        Raises:
            StateUnavailable: If another process holds it for longer than `timeout` seconds.
            OSError: If the file cannot be opened.
        """
        self.path = path
        self._descriptor = -1
        if not wait_until(self._try, timeout):
            raise StateUnavailable(
                f"another iocmng server{_holder(path)} uses the state in {path.parent}. Stop it, or give this one a "
                "state of its own (IOCMNG_STATE_DIR)"
            )
        self._write_holder()
        release_in_children(self)

    def release(self) -> None:
        """Let go of the lock."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _try(self) -> bool:
        # Python opens with O_CLOEXEC, so no program that this process starts holds the lock.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if _is_same_file(descriptor, self.path):
            return True
        self.release()  # somebody removed the file between open and lock
        return False

    def _write_holder(self) -> None:
        with contextlib.suppress(OSError):  # it is only told to people; a full disk must not keep the server down
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Return True as soon as the condition holds, or False after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _holder(path: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        pid, host = path.read_text(encoding="utf-8").split()
        return f" (process {pid} on {host})"
    return ""


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class _Forgetful(Protocol):
    def release(self) -> None: ...


def release_in_children(holder: _Forgetful) -> None:
    """Have children that are forked, and run no other program, let go of a lock: else they would hold it too."""
    reference = weakref.ref(holder)

    def release() -> None:
        if inherited := reference():
            inherited.release()

    os.register_at_fork(after_in_child=release)
