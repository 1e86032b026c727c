"""Control groups with the kernel's rules, in a dictionary."""

from __future__ import annotations

import errno
import os
import posixpath


def refuse(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class FakeGroups:
    """Implements core.ports.cgroups.ControlGroups.

    Attributes:
        processes: The group of each process that lives.
        files: What was written last, by group and file.
    """

    def __init__(
        self,
        own: str | None,
        *,
        controllers: str = "cpu memory",
        stubborn: frozenset[int] = frozenset(),
        container: bool = False,
    ) -> None:
        self.me = 100
        self.processes = {self.me: own or "/", 101: own or "/"}
        self.files: dict[tuple[str, str], str] = {}
        self.groups = {"/"}
        self.delegated: set[str] = set()
        self.writable = True
        self._controllers = controllers
        self._stubborn = stubborn
        self._machine = None if container else "/"
        self._has = own is not None
        for part in (own or "/").split("/")[1:]:
            self.groups.add(posixpath.join(max(self.groups, key=len), part).rstrip("/") or "/")

    def own(self):
        return self.processes[self.me] if self._has else None

    def may_be_changed(self, group):
        return self.writable

    def is_delegated(self, group):
        return group in self.delegated

    def read(self, group, file):
        if group not in self.groups or (file == "cgroup.type" and group == self._machine):
            raise refuse(errno.ENOENT)
        if file == "cgroup.controllers":
            return self._controllers
        if file == "cgroup.procs":
            return "".join(f"{pid}\n" for pid, where in self.processes.items() if where == group)
        if file == "cgroup.type":
            return self._type(group)
        return self.files.get((group, file), "")

    def write(self, group, file, text):
        if group not in self.groups:
            raise refuse(errno.ENOENT)
        if file == "cgroup.subtree_control":
            # A group with processes becomes the root of a threaded tree, unless one below it has processes, too.
            if (
                self._has_processes(group)
                and group != self._machine
                and any(map(self._has_processes, self.below(group)))
            ):
                raise refuse(errno.EBUSY)
            text = {"+cpu": "cpu", "-cpu": ""}[text]
        elif file == "cgroup.procs":
            if self._type(group) == "domain invalid":
                raise refuse(errno.EOPNOTSUPP)
            if int(text) in self._stubborn:
                raise refuse(errno.EINVAL)
            if self.files.get((group, "cgroup.subtree_control")) and group != self._machine:
                raise refuse(errno.EBUSY)
            if int(text) not in self.processes:
                raise refuse(errno.ESRCH)
            self.processes[int(text)] = group
            return
        self.files[group, file] = text

    def _has_processes(self, group):
        return group in self.processes.values()

    def _type(self, group):
        if group != self._machine and self._has_processes(group) and self.files.get((group, "cgroup.subtree_control")):
            return "domain threaded"
        above = posixpath.dirname(group)
        return "domain invalid" if group != "/" and self._type(above) == "domain threaded" else "domain"

    def below(self, group):
        return sorted(one for one in self.groups if posixpath.dirname(one) == group and one != "/")

    def make(self, group):
        assert posixpath.dirname(group) in self.groups
        self.groups.add(group)

    def remove(self, group):
        if group in self.processes.values():
            raise refuse(errno.EBUSY)
        self.groups.remove(group)

    def lives(self, pid):
        return pid in self.processes
