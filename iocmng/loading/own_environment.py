"""The environment of this very process: what is dropped from it is gone from /proc/PID/environ as well."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from iocmng.core.author_environment import may_be_seen

_ENV_START, _ENV_END = 47, 48
"""Places in proc_pid_stat(5), counted from the field behind the process's name."""


def keep_what_authors_may_see(further: Iterable[str]) -> None:
    """Drop all variables that author's code may not see."""
    names = tuple(further)
    _drop(lambda name: not may_be_seen(name, names))


def drop_variables(names: Iterable[str]) -> None:
    """Drop variables, so that neither this process's children nor readers of its /proc entry see them."""
    dropped = frozenset(names)
    _drop(lambda name: name in dropped)


def _drop(is_dropped: Callable[[str], bool]) -> None:
    for name in [name for name in os.environ if is_dropped(name)]:
        del os.environ[name]
    _wipe(is_dropped)


def _wipe(is_dropped: Callable[[str], bool]) -> None:
    """Overwrite variables in the memory where the kernel has put them when the program began.

    The C library points into it for variables that have not changed since; those that are wiped were taken out
    before, so nothing refers to them.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    except (OSError, ValueError, IndexError):
        return
    if not 0 < start < end:
        return
    place = start
    for entry in ctypes.string_at(start, end - start).split(b"\0"):
        name, is_variable, _ = entry.partition(b"=")
        if is_variable and is_dropped(os.fsdecode(name)):
            ctypes.memset(place, 0, len(entry))
        place += len(entry) + 1
