"""Events of all plugins: as a stream, or as a list."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Header, Query, Request
from starlette.responses import Response

from iocmng.api.deps import context_of, follower_of, legal_name
from iocmng.api.event_stream import EVENT_STREAM, EventStream
from iocmng.api.history import event_object
from iocmng.api.history_schemas import EventList
from iocmng.api.json_bytes import encode
from iocmng.api.routes.history import LARGEST_ID, Limit
from iocmng.api.routes.registration import BASE, JSON, Call, add_read, json_answer
from iocmng.errors import InvalidRequest, UnknownPlugin

_STREAM_TEXT = """Server-sent events, or a list for a client that asks for JSON. One `plugin` event per change, its \
data an EventObject; one `run` event for what happens to a run of a job, without an id, its data a RunSummary without \
parameters and result."""
_CALL = Call(
    "events",
    "Follow the plugins' events as they happen, or list them",
    EventList,
    (InvalidRequest, UnknownPlugin),
    more={
        200: {
            "model": EventList,
            "description": _STREAM_TEXT,
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        }
    },
)


async def _legal_plugin(
    plugin: Annotated[str | None, Query(description="Only events of this plugin; there may be none yet.")] = None,
) -> str | None:
    return None if plugin is None else await legal_name(plugin)


PluginQuery = Annotated[str | None, Depends(_legal_plugin)]
After = Annotated[
    int | None,
    Query(ge=0, le=LARGEST_ID, description="Begin behind this id; a stream without it begins with what comes."),
]
LastEventId = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=LARGEST_ID, description="The same; clients that connect again send it."),
]
Streamed = Annotated[
    bool | None, Query(description="false: a list at once. Unset: a stream, unless Accept asks for JSON.")
]


async def events(
    request: Request,
    plugin: PluginQuery = None,
    limit: Limit = 100,
    after: After = None,
    last_event_id: LastEventId = None,
    stream: Streamed = None,
) -> Response:
    """Answer with the events as they happen, or with those that have happened."""
    context = context_of(request)
    follower_of(request)  # a stream that nobody feeds would look like quiet plugins
    position = after if last_event_id is None else last_event_id
    if stream if stream is not None else _wants_stream(request.headers.get("accept", "")):
        return EventStream(context.hub, position, plugin)
    rows = [event_object(event) for event in await context.client.events(plugin, position or 0, limit)]
    return json_answer(encode({"events": rows, "count": len(rows)}))


def _wants_stream(accept: str) -> bool:
    """Tell whether a client wants the stream: all but those that name JSON and not the stream."""
    accept = accept.lower()
    return EVENT_STREAM in accept or JSON not in accept


def register(app: FastAPI) -> None:
    """Add the call to the application."""
    add_read(app, f"{BASE}/events", events, _CALL)
