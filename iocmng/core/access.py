"""Who calls, and what a caller may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Role(StrEnum):
    """What a caller may do; each role may do all that the one before it may."""

    VIEWER = "viewer"
    """Read."""
    OPERATOR = "operator"
    """Start, stop and run what is there, and write PVs."""
    ADMIN = "admin"
    """Decide which code runs: add, remove, change."""

    def includes(self, other: Role) -> bool:
        """Tell whether this role may do all that the other one may."""
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who calls.

    Attributes:
        name: As the audit shows it; never a credential.
        role: What they may do.
        plugins: Pattern of fnmatch for the names of the plugins that they may change; None: all.
    """

    name: str
    role: Role
    plugins: str | None = None

    def may_change(self, plugin: str) -> bool:
        """Tell whether the pattern covers a plugin's name; the role is another question."""
        return self.plugins is None or fnmatchcase(plugin, self.plugins)


ANONYMOUS = Principal("anonymous", Role.ADMIN)
"""Who calls a server that asks nobody who they are: on loopback, or behind an ingress that authenticates."""
