"""The audit, on its table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from iocmng.core.audit import AuditEntry, AuditKind, AuditQuery, Door
from iocmng.store.codec import json_object, readable, unreadable
from iocmng.store.database import upsert
from iocmng.store.models import audit

REFUSED_SHARE = 10
"""Of calls that were refused to strangers, one is kept where so many others are."""

Counts = Mapping[AuditKind, int]


def kept_of(kind: AuditKind, kept: int) -> int:
    """Return how many entries of a kind are kept."""
    return max(1, kept // REFUSED_SHARE) if kind is AuditKind.REFUSED else kept


def last_audit(connection: sa.Connection) -> int:
    """Return the highest id of an entry; the newest one is never dropped."""
    return connection.scalar(sa.select(sa.func.max(audit.c.id))) or 0


def write_audit(connection: sa.Connection, entries: Sequence[AuditEntry], counts: Counts | None, kept: int) -> Counts:
    """Write entries, and drop the oldest of each kind beyond its limit.

    Args:
        connection: Of a transaction that writes.
        entries: What to write, with their ids.
        counts: How many of each kind there are; None where that is not known.
        kept: Number of entries to keep.

    Returns:
        How many of each kind there are then.
    """
    upsert(connection, audit, [_row(entry) for entry in entries])
    new = _counted(connection) if counts is None else Counter(counts) + Counter(entry.kind for entry in entries)
    for kind in {entry.kind for entry in entries}:
        excess = new[kind] - kept_of(kind, kept)
        if excess > 0:
            mine = sa.select(audit.c.id).where(audit.c.kind == kind.value).order_by(audit.c.id).limit(excess)
            connection.execute(sa.delete(audit).where(audit.c.id.in_(mine.scalar_subquery())))
            new[kind] -= excess
    return new


def audit_of(connection: sa.Connection, query: AuditQuery) -> list[AuditEntry]:
    """Return entries, newest first."""
    conditions = {
        "before": lambda value: audit.c.id < value,
        "plugin": lambda value: audit.c.plugin == readable(value),
        "who": lambda value: audit.c.who == readable(value),
        "what": lambda value: audit.c.what.startswith(readable(value), autoescape=True),
        "since": lambda value: audit.c.at >= value,
    }
    wanted = {name: getattr(query, name) for name in conditions}
    chosen = [conditions[name](value) for name, value in wanted.items() if value is not None]
    statement = sa.select(audit).where(*chosen).order_by(audit.c.id.desc()).limit(query.limit)
    return [_entry(row) for row in connection.execute(statement).mappings()]


def _counted(connection: sa.Connection) -> Counter[AuditKind]:
    found = connection.execute(sa.select(audit.c.kind, sa.func.count()).group_by(audit.c.kind)).all()
    return Counter({AuditKind(kind): number for kind, number in found})


def _row(entry: AuditEntry) -> dict[str, Any]:
    row = {key: readable(value) if isinstance(value, str) else value for key, value in asdict(entry).items()}
    return row | {"door": entry.door.value, "kind": entry.kind.value, "request": json.dumps(dict(entry.request))}


def _entry(row: Mapping[Any, Any]) -> AuditEntry:
    what = f"entry {row['id']} of the audit"
    try:
        door, kind = Door(row["door"]), AuditKind(row["kind"])
    except ValueError as error:
        raise unreadable(what, str(error)) from error
    return AuditEntry(**{**row, "door": door, "kind": kind, "request": json_object(row["request"], what)})
