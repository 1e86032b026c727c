"""What GET /audit answers."""

from __future__ import annotations

from typing import Any

from iocmng.api.schemas import Answer
from iocmng.core.audit import AuditKind, Door


class AuditObject(Answer):
    """One thing that somebody has done, or tried to do."""

    id: int
    """Rises with every entry."""
    time: str
    """When it began, ISO 8601."""
    door: Door
    """The way by which somebody came: the REST API, the Ray cluster, or EPICS."""
    kind: AuditKind
    """A change, the write of a PV, or a call by somebody who was not let in."""
    who: str
    """Name of the token, or user@host as an EPICS client says it; "-": nobody was let in."""
    role: str | None
    address: str | None
    """Host and port of the other end of the connection; behind a proxy, the proxy's."""
    claimed: str | None
    """Where the client says that it comes from, in a header; anybody can write that."""
    method: str | None
    what: str
    """Name of the call (its operation id); `put` for the write of a PV."""
    plugin: str | None
    request: dict[str, Any]
    """What was asked for, without secrets and shortened."""
    status: int | None
    """HTTP status of the answer; null: there was none."""
    code: str | None
    """Code of the problem; null: it was a success."""
    duration_ms: float


class AuditList(Answer):
    """Entries of the audit, newest first."""

    entries: list[AuditObject]
    count: int
    next: str | None
    """Path of the following page; null: this is the last one."""
