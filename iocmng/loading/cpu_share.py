"""The share of the CPU that a plugin's process has, held by a control group of its own.

All other processes of the server lie in a group beside those of the plugins, because the kernel wants no processes in a
group that shares CPU time out among those below it. Whichever process comes first on a node makes that so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath

from iocmng.core.ports.cgroups import ControlGroups
from iocmng.errors import CheckFailure, InvalidRequest, PluginRejected
from iocmng.loading.cgroups import KernelGroups
from iocmng.settings import Settings

REST = "iocmng-server"
"""Group of all processes that have no share of their own."""

PREFIX = "iocmng-plugin-"
"""Begins the name of each plugin's group; the plugin's name and the number of its process follow."""

PERIOD = 20_000
"""Microseconds in which a share is used up. With the kernel's usual 100 ms, PVs would stand still for most of those."""

REST_WEIGHT = "1000"
"""What the rest weighs where CPUs are scarce; each plugin with a share of its own weighs 100."""

_ROUNDS = 20
"""Times that processes are moved into the rest: they start others meanwhile."""


class NoShare(Exception):
    """Why there can be no shares here."""


class CpuShares:
    """Makes and removes the groups of plugins' processes."""

    def __init__(self, groups: ControlGroups | None = None) -> None:
        self._groups = groups or KernelGroups()

    def check(self) -> str:
        """Return the group below which there can be shares.

        Raises:
            NoShare: If there can be none.
        """
        own = self._groups.own()
        if own is None:
            raise NoShare("this machine has no control groups of version 2")
        base = posixpath.dirname(own) if posixpath.basename(own) == REST else own
        try:
            has_cpu = "cpu" in self._groups.read(base, "cgroup.controllers").split()
            # A group that a service manager looks after is its own, even where root could write to it. What a container
            # sees as the root is all the container's.
            is_ours = (base == "/" or self._groups.is_delegated(base)) and self._groups.may_be_changed(base)
        except OSError as error:
            raise NoShare(f"the control group {base} cannot be read ({error.strerror})") from None
        if not is_ours:
            raise NoShare(f"the control group {base} is not left to this server (systemd does so with Delegate=cpu)")
        if not has_cpu:
            raise NoShare(f"the control group {base} has no controller `cpu` (systemd gives it with Delegate=cpu)")
        return base

    def limit(self, name: str, pid: int, cores: float) -> None:
        """Put a process, and all that it will start, into a group of its own with a share of so many cores.

        Raises:
            NoShare: If that is not possible.
        """
        base = self.check()
        group = posixpath.join(base, f"{PREFIX}{name}-{pid}")
        try:
            self._share_out(base)
            self._groups.make(group)
            self._groups.write(group, "cpu.max", f"{round(cores * PERIOD)} {PERIOD}")
            self._groups.write(group, "cgroup.procs", str(pid))
        except OSError as error:
            raise NoShare(f"the control group {base} cannot be divided ({error.strerror})") from None

    def sweep(self) -> set[int]:
        """Remove the groups of processes that are gone; return the numbers of those whose groups are still in use."""
        left: set[int] = set()
        with contextlib.suppress(NoShare, OSError):
            for group in self._groups.below(self.check()):
                pid = group.rpartition("-")[2]
                if (
                    posixpath.basename(group).startswith(PREFIX)
                    and pid.isdecimal()
                    and not self._groups.lives(int(pid))
                ):
                    try:
                        self._groups.remove(group)
                    except OSError:  # what the process has started is there yet
                        left.add(int(pid))
        return left

    def _share_out(self, base: str) -> None:
        """Have the kernel share the CPU out among the groups below one.

        Where that is asked for while processes lie in it, the kernel gives them a tree for threads instead.
        """
        rest = posixpath.join(base, REST)
        for _ in range(_ROUNDS):
            if self._shares_out(base):
                with contextlib.suppress(OSError):  # there may be no rest
                    self._groups.write(rest, "cpu.weight", REST_WEIGHT)
                return
            if self._divides_cpu(base):
                self._groups.write(base, "cgroup.subtree_control", "-cpu")
            if not self._is_root_of_machine(base):
                self._make_room(base, rest)
            try:
                self._groups.write(base, "cgroup.subtree_control", "+cpu")
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
        raise OSError(errno.EBUSY, "it has processes that cannot be moved")

    def _shares_out(self, base: str) -> bool:
        return self._divides_cpu(base) and (
            self._is_root_of_machine(base) or self._groups.read(base, "cgroup.type").strip() == "domain"
        )

    def _divides_cpu(self, base: str) -> bool:
        return "cpu" in self._groups.read(base, "cgroup.subtree_control").split()

    def _is_root_of_machine(self, base: str) -> bool:
        """Tell whether a group is the one that may have processes beside shared groups; a container's root is not."""
        try:
            self._groups.read(base, "cgroup.type")
        except FileNotFoundError:
            return True
        return False

    def _make_room(self, base: str, rest: str) -> None:
        self._groups.make(rest)
        for pid in self._groups.read(base, "cgroup.procs").split():
            with contextlib.suppress(OSError):  # it has ended, or is none that can be moved
                self._groups.write(rest, "cgroup.procs", pid)


def share_cpu(name: str, cores: float | None, *, insists: bool, shares: CpuShares | None = None) -> tuple[str, ...]:
    """Give this process the share of the CPU that its plugin has, if it has one, and tidy up after others.

    Returns:
        A sentence where that is not possible.

    Raises:
        PluginRejected: The same where the site insists.
    """
    shares = shares or CpuShares()
    shares.sweep()
    if cores is None:
        return ()
    try:
        shares.limit(name, os.getpid(), cores)
    except NoShare as error:
        if insists:
            problem = f"limits.cpu: {cores:g} cannot be kept on this node, and IOCMNG_PLUGIN_CPU is set: {error}"
            raise PluginRejected.because(CheckFailure("config", problem)) from None
        return (f"limits.cpu: {cores:g} is not kept, the plugin runs without this limit: {error}",)
    return ()


def check_cpu_share(settings: Settings) -> None:
    """Find out whether the site's limit of CPU time can be kept on this machine, if there is one.

    Raises:
        InvalidRequest: If not; the sentence says why.
    """
    if settings.plugin_cpu is None:
        return
    try:
        CpuShares().check()
    except NoShare as error:
        raise InvalidRequest(
            f"IOCMNG_PLUGIN_CPU cannot be kept: {error}; leave the setting out, or see "
            "docs/how-to/limit-what-a-plugin-takes.md"
        ) from None
