"""The audit: who has changed what, from where, and what came of it. It holds no secrets, and all of it is bounded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from math import isfinite
from typing import Any, cast
from urllib.parse import urlsplit

from pydantic import SecretStr

from iocmng.core.secrets import HIDDEN, without_secrets
from iocmng.core.source import SCP_LIKE
from iocmng.core.words import iso_time

NOBODY = "-"
"""Who stands in an entry where nobody was let in."""

LONGEST_TEXT = 300
"""Characters of a text that an entry keeps; what is longer ends with CUT."""

LONGEST_SUMMARY = 4000
"""Characters of JSON that what was asked for may have in an entry."""

MOST_ITEMS = 50
"""Items of a list or a mapping that an entry keeps."""

CUT = "...[cut]"

_DEEPEST = 4


class Door(StrEnum):
    """The way by which somebody came."""

    REST = "rest"
    CLUSTER = "cluster"  # from within the Ray cluster: a Ray job, or `--cluster`
    EPICS = "epics"


class AuditKind(StrEnum):
    """What an entry tells of. Each kind has a limit of its own, so that none can drive out another."""

    CHANGE = "change"
    WRITE = "write"  # an EPICS client has written a PV
    REFUSED = "refused"  # a call by somebody who was not let in


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody has done, or tried to do.

    Attributes:
        at: When it began, in seconds since 1970-01-01 UTC.
        who: Name of the one who was let in; NOBODY where nobody was. For EPICS user@host as the client says it.
        what: Name of the REST call (its operation id); `put` for the write of a PV.
        method: Of the HTTP call; the protocol, ca or pva, for the write of a PV.
        role: Role of who called.
        address: Host and port of the other end of the connection.
        claimed: What the client says of where it comes from, in a header; anybody can write that.
        plugin: Name of the plugin that it is about; empty: of none, or of several.
        request: What was asked for.
        status: HTTP status of the answer; None where there was none.
        code: Code of the problem; empty for a success.
        duration: Milliseconds until the answer.
        id: Rises with every entry that is kept; 0 before.
    """

    at: float
    door: Door
    kind: AuditKind
    who: str
    what: str
    method: str = ""
    role: str = ""
    address: str = ""
    claimed: str = ""
    plugin: str = ""
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    status: int | None = None
    code: str = ""
    duration: float = 0.0
    id: int = 0


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries to show; None is all.

    Attributes:
        before: Only those with a lower id.
        plugin: Only those about this plugin.
        who: Only those of this one.
        what: Only calls whose name begins so.
        since: Only those from this moment on, in seconds since 1970-01-01 UTC.
        limit: The newest of these, so many at most.
    """

    before: int | None = None
    plugin: str | None = None
    who: str | None = None
    what: str | None = None
    since: float | None = None
    limit: int = 100


def entry_object(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry as the log and the API show it."""
    return {
        "id": entry.id,
        "time": iso_time(entry.at),
        "door": entry.door.value,
        "kind": entry.kind.value,
        "who": entry.who,
        "role": entry.role or None,
        "address": entry.address or None,
        "claimed": entry.claimed or None,
        "method": entry.method or None,
        "what": entry.what,
        "plugin": entry.plugin or None,
        "request": dict(entry.request),
        "status": entry.status,
        "code": entry.code or None,
        "duration_ms": entry.duration,
    }


def log_line(entry: AuditEntry) -> str:
    """Return an entry as one line of JSON in printable ASCII, whatever its texts hold: no text can forge a line."""
    shown = entry_object(entry)
    if not entry.id:
        del shown["id"]
    return json.dumps(shown).replace("\x7f", "\\u007f")


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text, or its beginning and a mark."""
    return text if len(text) <= longest else f"{text[:longest]}{CUT}"


def summary(values: Mapping[str, Any], secrets: frozenset[str] | None) -> dict[str, Any]:
    """Return what was asked for as an entry may keep it.

    Args:
        values: The keys of a body, as they were given.
        secrets: Names of the plugin's parameters that are secret; None where that is not known, so that all may be.
    """
    told: dict[str, Any] = {}
    room = LONGEST_SUMMARY
    for key, value in islice(values.items(), MOST_ITEMS):
        shown = _told(key, value, secrets)
        room -= len(key) + len(json.dumps(shown))
        told[cut(key, 100)] = shown if room > 0 else CUT
    if len(values) > MOST_ITEMS:
        told[CUT] = f"{len(values) - MOST_ITEMS} more"
    return told


def _told(key: str, value: Any, secrets: frozenset[str] | None) -> Any:
    match key, value:
        case _, SecretStr():
            return HIDDEN
        case "parameters", Mapping():
            return _clipped(without_secrets(cast("Mapping[str, Any]", value), secrets))
        case "schedule", Mapping():
            return summary(cast("Mapping[str, Any]", value), secrets)
        case "git_url", str():
            return cut(without_credential(value))
        case "plugins", list():
            entries = cast("list[Mapping[str, Any]]", value)
            return _clipped([entry.get("name") for entry in entries])
        case _:
            return _clipped(value)


def without_credential(url: str) -> str:
    """Return a repository's URL without what could be a credential; of what is no legal URL, nothing is shown."""
    if SCP_LIKE.match(url) or url.startswith(("/", "./", "../", "~")):
        return url
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return HIDDEN
    if parts.scheme not in ("https", "http", "ssh", "file"):
        return HIDDEN if ":" in url or "@" in url else url
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    return f"{parts.scheme}://{user}{host or ''}{f':{port}' if port else ''}{parts.path}"


def _clipped(value: Any, depth: int = 0) -> Any:
    """Return a value of JSON that is not too long, not too wide and not too deep."""
    match value:
        case None | bool():
            return value
        case float():
            return value if isfinite(value) else str(value)  # JSON has no NaN
        case int():
            return value if abs(value) < 1 << 63 else cut(hex(value))
        case str():
            return cut(value)
        case SecretStr():
            return HIDDEN
        case Mapping() | list() | tuple() if depth >= _DEEPEST:
            return CUT
        case Mapping():
            items = cast("Mapping[Any, Any]", value)
            told = {cut(str(key), 100): _clipped(item, depth + 1) for key, item in islice(items.items(), MOST_ITEMS)}
            return told if len(items) <= MOST_ITEMS else {**told, CUT: f"{len(items) - MOST_ITEMS} more"}
        case list() | tuple():
            rows = cast("list[Any]", value)
            told_rows = [_clipped(item, depth + 1) for item in rows[:MOST_ITEMS]]
            return told_rows if len(rows) <= MOST_ITEMS else [*told_rows, CUT]
        case _:
            return cut(str(value))
