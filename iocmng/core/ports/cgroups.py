"""What limits of CPU time need of Linux's control groups (cgroup v2)."""

from __future__ import annotations

from typing import Protocol


class ControlGroups(Protocol):
    """The groups of this machine, by their paths from the root that this process sees; that one is `/`.

    Every method but `own` and `lives` may raise OSError, as the kernel answers.
    """

    def own(self) -> str | None:
        """Return the group of this process; None where there are no groups of version 2."""
        ...

    def may_be_changed(self, group: str) -> bool:
        """Tell whether this user may make groups below one, and move processes there."""
        ...

    def is_delegated(self, group: str) -> bool:
        """Tell whether the service manager has left a group to those who run in it."""
        ...

    def read(self, group: str, file: str) -> str:
        """Return what a file of a group holds."""
        ...

    def write(self, group: str, file: str, text: str) -> None:
        """Write to a file of a group."""
        ...

    def below(self, group: str) -> list[str]:
        """Return the groups right below one."""
        ...

    def make(self, group: str) -> None:
        """Make a group; one that is there stays."""
        ...

    def remove(self, group: str) -> None:
        """Remove an empty group."""
        ...

    def lives(self, pid: int) -> bool:
        """Tell whether there is a process of this number that has not ended."""
        ...
