"""The audit: who has changed what. For admins."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from iocmng.api.audit_schemas import AuditList
from iocmng.api.deps import context_of
from iocmng.api.json_bytes import encode
from iocmng.api.routes.history import LARGEST_ID
from iocmng.api.routes.registration import BASE, Call, add_read, json_answer
from iocmng.core.access import Role
from iocmng.core.audit import AuditQuery, entry_object
from iocmng.errors import InvalidRequest

_CALL = Call("audit", "List who has changed what, newest first; for admins", AuditList, (InvalidRequest,))

Limit = Annotated[int, Query(ge=1, le=1000, description="Number of entries at most.")]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only entries with a lower id.")]
Since = Annotated[
    datetime | None, Query(description="Only entries from this moment on: ISO 8601, or seconds since 1970; in UTC.")
]
Plugin = Annotated[str | None, Query(max_length=128, description="Only entries about this plugin.")]
Who = Annotated[str | None, Query(max_length=300, description="Only entries of this one.")]
What = Annotated[str | None, Query(max_length=100, description="Only calls whose name begins so, such as `remove`.")]


async def audit(
    request: Request,
    before: Before = None,
    limit: Limit = 100,
    plugin: Plugin = None,
    who: Who = None,
    what: What = None,
    since: Since = None,
) -> Response:
    """Answer with a page of the audit."""
    context = context_of(request)
    await context.trail.flush(context.client)
    moment = None if since is None else (since if since.tzinfo else since.replace(tzinfo=UTC)).timestamp()
    found = await context.client.audit(AuditQuery(before, plugin, who, what, moment, limit + 1))
    page, following = found[:limit], None
    if len(found) > limit:
        kept = {"plugin": plugin, "who": who, "what": what, "since": moment}
        query = {key: value for key, value in kept.items() if value is not None}
        root = request.scope.get("root_path", "")
        following = f"{root}{BASE}/audit?{urlencode(query | {'limit': limit, 'before': page[-1].id})}"
    rows = [entry_object(entry) for entry in page]
    return json_answer(encode({"entries": rows, "count": len(rows), "next": following}))


def register(app: FastAPI) -> None:
    """Add the call to the application."""
    add_read(app, f"{BASE}/audit", audit, _CALL, Role.ADMIN)
