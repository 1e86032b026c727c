"""A control group of this machine that is left to a test, as systemd leaves one to a service with Delegate=cpu."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from iocmng.loading.cgroups import KernelGroups, find_mount
from iocmng.loading.cpu_share import CpuShares, NoShare


@contextlib.contextmanager
def delegated_group() -> Iterator[Path]:
    """Make one below the group in which the tests run, if that can be done without moving anything."""
    mount, _ = find_mount(Path("/proc/self/mountinfo").read_text())
    own = KernelGroups().own()
    if mount is None or own is None:
        pytest.skip("this machine has no control groups of version 2")
    above = mount / own.lstrip("/")
    if "cpu" not in (above / "cgroup.controllers").read_text().split():
        pytest.skip(f"{above} has no controller `cpu`; it may be mounted as version 1")
    group = above / f"iocmng-test-{os.getpid()}"
    try:
        (above / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        os.setxattr(group, "user.delegate", b"1")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"{above} cannot be divided: {error.strerror}")
    try:
        yield group
    finally:
        _remove(group)


def why_no_share() -> str | None:
    """Return why the processes of these tests can have no shares of the CPU; None where they can."""
    try:
        CpuShares().check()
    except NoShare as error:
        return str(error)
    return None


def in_group(group: Path, *command: str) -> list[str]:
    """Return the command that runs another one in a group."""
    return ["sh", "-c", f'echo $$ > {shlex.quote(str(group))}/cgroup.procs && exec "$@"', "sh", *command]


def _remove(group: Path) -> None:
    """Remove a group and all below it; whoever is in there is killed."""
    (group / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + 10
    for each in (*(path for path in group.iterdir() if path.is_dir()), group):
        while each.exists():
            with contextlib.suppress(OSError):
                each.rmdir()
            assert time.monotonic() < deadline, f"{each} cannot be removed"
