"""Who may write PVs: the groups of our records, and the rules made from lists of hosts and users."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from iocmng.core.pv_fields import Direction
from iocmng.core.pvs import DeclaredPv

OUTPUT_GROUP = "OUTPUT"
"""Access security group of the records that only the plugin writes."""

INPUT_GROUP = "INPUT"
"""Group of the inputs that a plugin declares."""

CONTROL_GROUP = "CONTROL"
"""Group of the built-in inputs: ENABLE, RUN, CLEAR, RESET."""

GROUPS = (OUTPUT_GROUP, INPUT_GROUP, CONTROL_GROUP)

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@/+-]{0,63}\Z")
_ADDRESS = re.compile(r"[0-9.]+\Z")


def group_of(declared: DeclaredPv) -> str:
    """Return the access security group of a PV's record."""
    if declared.direction is Direction.OUTPUT:
        return OUTPUT_GROUP
    return CONTROL_GROUP if declared.built_in else INPUT_GROUP


def check_host(host: str) -> str:
    """Return the name or IPv4 address of a host, if access security can compare it.

    Raises:
        ValueError: If it cannot.
    """
    if "/" in host or ":" in host or "*" in host:
        raise ValueError(
            f"host {host[:80]!r} is not allowed: EPICS compares single IPv4 addresses and host names, no networks, "
            "ports or patterns"
        )
    if not _HOST.match(host):
        raise ValueError(f"host {host[:80]!r} is not allowed: a host name has letters, digits, '.', '-' and '_' only")
    if _ADDRESS.match(host):
        try:
            ipaddress.IPv4Address(host)
        except ipaddress.AddressValueError:
            raise ValueError(f"host {host[:80]!r} is no IPv4 address, such as 10.0.0.17") from None
    return host


def check_user(user: str) -> str:
    """Return the name of a user, if it can stand in a rule.

    Raises:
        ValueError: If it cannot.
    """
    if not _USER.match(user):
        raise ValueError(
            f"user {user[:80]!r} is not allowed: up to 64 letters, digits and '_', '.', '@', '/', '+', '-', beginning "
            "with a letter, a digit or '_'"
        )
    return user


def needs_lookup(host: str) -> bool:
    """Tell whether a host is a name, which somebody has to resolve."""
    return not _ADDRESS.match(host)


def access_rules(hosts: Sequence[str], users: Sequence[str]) -> str:
    """Return an access security file: outputs are read by everyone and written by nobody.

    Inputs and control PVs are written by the users from the hosts: where both are given, both must fit; where neither
    is, by everyone.
    """
    lists = [_names("UAG", "WRITERS", users), _names("HAG", "CONSOLES", hosts)]
    conditions = " ".join(
        condition for condition, names in (("UAG(WRITERS)", users), ("HAG(CONSOLES)", hosts)) if names
    )
    write = "RULE(1, WRITE, TRAPWRITE)" + (f" {{ {conditions} }}" if conditions else "")
    groups = [_group("DEFAULT"), _group(OUTPUT_GROUP), _group(INPUT_GROUP, write), _group(CONTROL_GROUP, write)]
    return "\n".join(part for part in (*lists, *groups) if part) + "\n"


def _names(kind: str, name: str, members: Iterable[str]) -> str:
    listed = ", ".join(f'"{member}"' for member in members)
    return f"{kind}({name}) {{ {listed} }}" if listed else ""


def _group(name: str, *rules: str) -> str:
    lines = "".join(f"    {rule}\n" for rule in ("RULE(1, READ)", *rules))
    return f"ASG({name}) {{\n{lines}}}"
