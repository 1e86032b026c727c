"""Which repositories code may come from: shell patterns on an address that has one spelling only.

Pattern and URL are both cut into scheme, host, port and path, and each part is compared with its own kind, so that
nothing in one part can pass for another one. A URL that two programs could read differently matches no pattern.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, unquote, urlsplit

from iocmng.core.source import SCP_LIKE, file_url_path, is_file_url, refused

_DEFAULT_PORTS = {"https": 443, "ssh": 22, "file": 0}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\Z")
_PATTERN = re.compile(
    r"(?P<scheme>https|ssh|file)://(?P<host>[^/@:\[\]]*|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d+))?(?P<path>/.*)\Z"
)
_HOST_PATTERN = re.compile(r"[a-z0-9.*?_-]*\Z")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a repository lies, in one spelling.

    Attributes:
        scheme: https, ssh or file.
        host: In lower case; "" for file.
        port: The scheme's own where the URL names none; 0 for file.
        path: Begins with "/", percent-encoding resolved.
    """

    scheme: str
    host: str
    port: int
    path: str


def check_allowed(url: str, patterns: Iterable[str]) -> None:
    """Check that a repository's URL matches one of the patterns.

    Raises:
        PluginRejected: If it matches none; the text names the patterns.
    """
    patterns = tuple(patterns)
    address = address_of(url)
    if address is not None and any(_matches(address, _pattern(pattern)) for pattern in patterns):
        return
    known = ", ".join(patterns) or "none"
    raise refused(
        f"git_url is none that this server takes code from ({known}); have the plugin's repository moved there, or its "
        "address named in IOCMNG_GIT_ALLOW"
    )


def check_pattern(pattern: str) -> str:
    """Return a pattern that fits.

    Raises:
        ValueError: If it does not; the text says why.
    """
    _pattern(pattern)
    return pattern


def address_of(url: str) -> Address | None:
    """Return the one spelling of a repository's address, or None where there could be another reading of it.

    The user is left out. `.` and `..` in the path are resolved for https, as git's own library does before it asks;
    on other servers they may follow links, so such a path has no one reading.
    """
    if scp := SCP_LIKE.match(url):
        path = scp["path"]
        return _address("ssh", scp["host"], None, path if path.startswith("/") else f"/{path}", decode=False)
    if is_file_url(url):
        is_url = url.startswith("file://")
        return _address("file", "", None, file_url_path(url), decode=is_url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "ssh") or not _is_plain(url, parts):
        return None
    return _address(parts.scheme, parts.hostname or "", port, parts.path, decode=True)


def _is_plain(url: str, parts: SplitResult) -> bool:
    # git decodes all of an ssh URL, also before its first "/"; "?", "#" and "\" end the host for some programs only.
    plain_host = "%" not in parts.netloc and parts.netloc.count("@") <= 1
    return url.isascii() and plain_host and not set("?#\\") & set(url)


def _address(scheme: str, host: str, port: int | None, path: str, *, decode: bool) -> Address | None:
    host = host.lower()
    if scheme != "file" and not (_HOST.match(host) or _is_ipv6(host)):
        return None
    if decode:
        if "%2f" in path.lower():  # some servers take it for a "/", others do not
            return None
        path = unquote(path, errors="surrogateescape")
        if _ENCODED.search(path):
            return None
    if not path.startswith("/") or "\\" in path or not path.isprintable():
        return None
    if {".", ".."} & set(path.split("/")):
        if scheme != "https" or "//" in path:  # some servers make one "/" of two first
            return None
        path = _without_dots(path)
    return Address(scheme, host, _DEFAULT_PORTS[scheme] if port is None else port, path)


def _without_dots(path: str) -> str:
    """Resolve `.` and `..` as RFC 3986, section 5.2.4, has it: `..` takes one segment away."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
        if segment in (".", "..") and number == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return "%" not in host


def _matches(address: Address, pattern: Address) -> bool:
    return (
        (address.scheme, address.port) == (pattern.scheme, pattern.port)
        and fnmatchcase(address.host, pattern.host)
        and fnmatchcase(address.path, pattern.path)
    )


def _pattern(pattern: str) -> Address:
    """Return a pattern's parts; those of the host and the path are shell patterns."""
    found = _PATTERN.match(pattern)
    if not found:
        raise ValueError(
            f"{pattern[:200]!r} is no pattern of a repository: write SCHEME://HOST/PATH with https, ssh or file, and "
            "without a user, such as https://git.example.org/controls/*"
        )
    scheme, host, path = found["scheme"], found["host"].lower(), found["path"]
    if (scheme == "file") != (host == ""):
        raise ValueError(f"{pattern[:200]!r} needs a host name, or file:/// and an absolute path")
    if not host.startswith("[") and not _HOST_PATTERN.match(host):
        raise ValueError(f"{pattern[:200]!r}: a host holds letters, digits, '.', '-', '*' and '?' only")
    if "%" in path or {".", ".."} & set(path.split("/")):
        raise ValueError(f"{pattern[:200]!r}: write the path as it is, without percent-encoding and without '..'")
    return Address(scheme, host.strip("[]"), int(found["port"] or _DEFAULT_PORTS[scheme]), path)
