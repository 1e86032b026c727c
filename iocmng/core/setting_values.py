"""Values of settings that take more than a type to check. What does not fit raises ValueError, for pydantic."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from iocmng.core.access import Role

_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)(:[0-9]{1,5})?\Z")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UIDS = re.compile(r"(\d{1,10})\s*-\s*(\d{1,10})", re.ASCII)
_UMASK = re.compile(r"0?[0-7]{3}", re.ASCII)
_LAST_UID = 2**31 - 2


def split_list(value: Any) -> Any:
    """Return the parts of a text that are separated by commas or blanks; what is no text stays."""
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def check_origin(origin: str) -> str:
    """Return an origin as browsers write it, or '*'.

    Raises:
        ValueError: If it is none.
    """
    lower = origin.lower()
    if lower != "*" and not _ORIGIN.match(lower):
        raise ValueError(
            f"{origin[:200]!r} is no origin: write SCHEME://HOST or SCHEME://HOST:PORT with http or https, and nothing "
            "behind it, such as https://dashboard.example.org"
        )
    if (lower.startswith("http:") and lower.endswith(":80")) or (lower.startswith("https:") and lower.endswith(":443")):
        raise ValueError(f"{origin[:200]!r}: browsers leave the scheme's own port out of an origin; so must this")
    return lower


def check_key_url(url: str) -> str:
    """Return the URL of a server whose word decides who may do what.

    Raises:
        ValueError: If somebody on the way could answer in its place.
    """
    parts = urlsplit(url)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise ValueError(f"{url[:200]!r} must begin with https:// (http:// on this machine only) and name a host")


def split_roles(value: Any) -> Any:
    """Return `group=role,group=role` as a mapping; what is no text stays."""
    if not isinstance(value, str):
        return value
    pairs = [pair.rpartition("=") for pair in split_list(value)]
    if any(not name or not role for name, _, role in pairs):
        raise ValueError("write it as VALUE=ROLE, separated by commas, such as ops=operator,beamline-admins=admin")
    return {name: role for name, _, role in pairs}


def claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """Return what stands in a token under a claim's name, or under a path of names joined by dots; None: nothing."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, Mapping) else None
    return value


def highest_role(values: Any, roles: Mapping[str, Role]) -> Role | None:
    """Return the highest role that a claim's values give: one text, several in it, or a list."""
    given: list[Any] = values.split() if isinstance(values, str) else cast("list[Any]", values)
    if not isinstance(given, list):  # pyright: ignore[reportUnnecessaryIsInstance]  a token holds what it likes
        return None
    found = [roles[value] for value in given if isinstance(value, str) and value in roles]
    return max(found, key=list(Role).index, default=None)


def check_node_address(value: str) -> str:
    """Return the address that a node of a cluster has for the others.

    Raises:
        ValueError: If it is none.
    """
    if value == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{value!r} is no IP address") from None
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{value} is no address of one machine: give that on which the other nodes reach this one")
    return value


def check_umask(value: Any) -> Any:
    """Return a umask, as three octal digits or more.

    Raises:
        ValueError: If it is none. A number of a YAML file is one, too: nobody can tell in which base it was meant.
    """
    if not isinstance(value, str) or not _UMASK.fullmatch(value.strip()):
        raise ValueError("must be three octal digits such as 077 or 027, in quotes where it stands in a file")
    return value.strip()


def read_uids(value: Any) -> Any:
    """Return the first and the last of the user numbers that a text such as 60100-60199 stands for.

    Raises:
        ValueError: If it stands for none, or for root.
    """
    if not isinstance(value, str):
        return value
    match = _UIDS.fullmatch(value.strip())
    if match is None:
        raise ValueError("must be the first and the last user number, such as 60100-60199")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= _LAST_UID:
        raise ValueError(f"must go upwards within 1-{_LAST_UID}; 0 is root")
    return first, last
