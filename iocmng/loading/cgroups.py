"""Control groups as the kernel shows them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_MARKS = ("user.delegate", "trusted.delegate")
"""Extended attributes by which systemd marks a group that it has left to others."""

_WRITTEN = ("", "cgroup.procs", "cgroup.subtree_control")


class KernelGroups:
    """Implements core.ports.cgroups.ControlGroups."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            self._mount, self._root = find_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
            return
        self._mount, self._root = None, "/"

    def own(self) -> str | None:
        """See ControlGroups.own."""
        with contextlib.suppress(OSError):
            text = Path("/proc/self/cgroup").read_text(encoding="utf-8")
            return None if self._mount is None else own_group(text, self._root)
        return None

    def may_be_changed(self, group: str) -> bool:
        """See ControlGroups.may_be_changed."""
        return all(os.access(self._path(group, file), os.W_OK) for file in _WRITTEN)

    def is_delegated(self, group: str) -> bool:
        """See ControlGroups.is_delegated."""
        for mark in _MARKS:
            with contextlib.suppress(OSError):
                if os.getxattr(self._path(group), mark) == b"1":
                    return True
        # Before its release 251, systemd's mark is shown to root only. The user of a service may write where it is
        # delegated, and nowhere else; below user@ is what that user's own systemd looks after.
        return os.geteuid() != 0 and "/user@" not in group and self.may_be_changed(group)

    def read(self, group: str, file: str) -> str:
        """See ControlGroups.read."""
        return self._path(group, file).read_text(encoding="utf-8")

    def write(self, group: str, file: str, text: str) -> None:
        """See ControlGroups.write."""
        with self._path(group, file).open("w", encoding="utf-8") as stream:
            stream.write(text)

    def below(self, group: str) -> list[str]:
        """See ControlGroups.below."""
        with os.scandir(self._path(group)) as entries:
            return [f"{group.rstrip('/')}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]

    def make(self, group: str) -> None:
        """See ControlGroups.make."""
        self._path(group).mkdir(mode=0o755, exist_ok=True)

    def remove(self, group: str) -> None:
        """See ControlGroups.remove."""
        self._path(group).rmdir()

    def lives(self, pid: int) -> bool:
        """See ControlGroups.lives."""
        with contextlib.suppress(OSError, IndexError):
            return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
        return False

    def _path(self, group: str, file: str = "") -> Path:
        assert self._mount is not None
        return self._mount / group.lstrip("/") / file


def find_mount(mountinfo: str) -> tuple[Path | None, str]:
    """Return where the groups are mounted, and the path of the one that is seen there; see proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            root, place = before.split()[3:5]
            return Path(place.encode().decode("unicode_escape")), root
    return None, "/"


def own_group(cgroup: str, root: str) -> str | None:
    """Return the path below the mount of the group that /proc/PID/cgroup names, or None if it cannot be seen there."""
    for line in cgroup.splitlines():
        if line.startswith("0::/"):
            path, above = line.removeprefix("0::"), root.rstrip("/")
            if path == above or path.startswith(f"{above}/"):
                return path.removeprefix(above) or "/"
    return None
