"""Who calls, and what a caller may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from iocmng.errors import Forbidden


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

    def check_role(self, needed: Role) -> None:
        """Check that the role may do what needs this one.

        Raises:
            Forbidden: If it may not; the text names both roles.
        """
        if not self.role.includes(needed):
            raise Forbidden(
                f"this call needs the role {needed.value}, and the token of {self.name!r} has the role "
                f"{self.role.value}; use another token"
            )

    def check_plugins(self, plugins: Iterable[str]) -> None:
        """Check that the pattern covers all these plugins.

        Raises:
            Forbidden: If it does not, or if a caller with a pattern makes a call that concerns no plugin; the text
                names the pattern.
        """
        if self.plugins is None:
            return
        names = sorted(set(plugins))
        other = [name for name in names if not self.may_change(name)]
        if other or not names:
            called = ", ".join(repr(name[:140]) for name in other[:5]) + (" and others" if len(other) > 5 else "")
            raise Forbidden(
                f"the token of {self.name!r} may change the plugins {self.plugins!r} only"
                + (f", and not {called}" if other else ", and this call concerns none of them")
            )


ANONYMOUS = Principal("anonymous", Role.ADMIN)
"""Who calls a server that asks nobody who they are: on loopback, or behind an ingress that authenticates."""
