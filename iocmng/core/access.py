"""Who calls, and what a caller may do."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fnmatch import fnmatchcase


class Role(enum.StrEnum):
    """What a caller may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"
    """Read."""
    OPERATOR = "operator"
    """Start, stop and restart plugins, run jobs, write PVs."""
    ADMIN = "admin"
    """Add, change and remove plugins."""

    def includes(self, other: Role) -> bool:
        """Tell whether this role may do what the other one may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who calls, as their credential says.

    Attributes:
        name: What the audit and the history of runs show.
        role: What they may do.
        plugins: Shell pattern of the plugins with which they may do it; reads are not limited by it.
    """

    name: str
    role: Role
    plugins: str = "*"

    def may(self, role: Role, plugin: str | None = None) -> bool:
        """Tell whether they may do what a role may, with a plugin; without one, what concerns all of them.

        A change that concerns all plugins (such as an apply) needs the pattern `*`.
        """
        if not self.role.includes(role):
            return False
        if role is Role.VIEWER or self.plugins == "*":
            return True
        return plugin is not None and fnmatchcase(plugin, self.plugins)
