"""Reads of plugins: lists, one plugin, its start-up data, its log."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from starlette.responses import Response

from iocmng.api.deps import PluginName, context_of, follower_of, known_plugin
from iocmng.api.documentation import Answers
from iocmng.api.event_stream import EVENT_STREAM
from iocmng.api.json_bytes import encode
from iocmng.api.log_stream import TEXT, LogEvents, LogForm, LogStream, LogStreams, LogText
from iocmng.api.routes.registration import JOBS, PLUGINS, TASKS, Call, Collection, add_read, json_answer
from iocmng.api.schemas import LogLines, PluginList, PluginObject
from iocmng.core.builtin_pvs import Kind
from iocmng.errors import InvalidRequest, UnknownPlugin, WrongKind

KindQuery = Annotated[Kind | None, Query(alias="type", description="Only plugins of this kind.")]
Tail = Annotated[int, Query(ge=1, le=10_000, description="Number of lines at most.")]
After = Annotated[
    int | None,
    Query(ge=0, lt=2**63, description="The oldest lines behind this number, which `next` tells; unset: the newest."),
]


Follow = Annotated[
    bool,
    Query(
        description="Go on with what comes, until the plugin is removed: as text, or as server-sent events for a "
        "client that accepts text/event-stream."
    ),
]
LastEventId = Annotated[
    int | None,
    Header(
        alias="Last-Event-ID", ge=0, lt=2**63, description="The same as `after`; clients that connect again send it."
    ),
]

_FOLLOWED: Answers = {
    200: {
        "model": LogLines,
        "description": "With `follow`, lines as they come: as text, in which lines that begin with `---` are the "
        "server's, or as `line` events whose data is `{number, generation, line}`.",
        "content": {TEXT: {"schema": {"type": "string"}}, EVENT_STREAM: {"schema": {"type": "string"}}},
    }
}


class PluginReads:
    """The reads of one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def register(self, app: FastAPI) -> None:
        """Add the calls to the application."""
        here, noun = self._collection, self._collection.noun
        one_of = (UnknownPlugin,) if here.kind is None else (UnknownPlugin, WrongKind)
        if here.kind is None:
            add_read(app, here.url, list_plugins, Call("list_plugins", "List plugins", PluginList, (InvalidRequest,)))
        else:
            add_read(app, here.url, self.list_kind, Call(f"list_{noun}s", f"List {noun}s", PluginList))
        add_read(app, here.one, self.read, Call(f"get_{noun}", f"Show a {noun}", PluginObject, one_of))
        if here.kind is not None:
            startup = Call(f"get_{noun}_startup", f"Show how a {noun} was started", PluginObject, one_of)
            add_read(app, f"{here.one}/startup", self.read, startup)
        errors, summary = (*one_of, InvalidRequest), f"Show a {noun}'s log lines, or follow them"
        logs = Call(f"get_{noun}_logs", summary, LogLines, errors, more=_FOLLOWED)
        add_read(app, f"{here.one}/logs", self.logs, logs)

    async def list_kind(self, request: Request) -> Response:
        """Answer with all plugins of the kind."""
        return json_answer(follower_of(request).table.list_json(self._collection.kind))

    async def read(self, request: Request, name: PluginName) -> Response:
        """Answer with one plugin object."""
        follower = follower_of(request)
        known_plugin(follower, name, self._collection.kind)
        return json_answer(follower.table.plugin_json(name))

    async def logs(
        self,
        request: Request,
        name: PluginName,
        tail: Tail = 100,
        after: After = None,
        follow: Follow = False,
        last_event_id: LastEventId = None,
    ) -> Response:
        """Answer with log lines: the one read that asks the Controller."""
        known_plugin(follower_of(request), name, self._collection.kind)
        context = context_of(request)
        page = await context.client.logs(name, tail, after if last_event_id is None else last_event_id)
        if follow:
            return LogStream(context.logs, name, page, _form(request, context.logs))
        shown = {"lines": page.lines, "generations": page.generations, "next": page.next, "missed": page.missed}
        return json_answer(encode({"name": name, **shown}))


async def list_plugins(request: Request, kind: KindQuery = None) -> Response:
    """Answer with all plugins, or those of one kind."""
    return json_answer(follower_of(request).table.list_json(kind))


def _form(request: Request, streams: LogStreams) -> LogForm:
    if EVENT_STREAM in request.headers.get("accept", "").lower():
        return LogEvents(streams.limits.retry)
    return LogText()


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    for collection in (PLUGINS, TASKS, JOBS):
        PluginReads(collection).register(app)
