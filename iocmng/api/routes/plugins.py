"""Reads of plugins: lists, one plugin, its start-up data, its log."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from iocmng.api.deps import PluginName, context_of, follower_of, known_plugin
from iocmng.api.json_bytes import encode
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
        logs = Call(f"get_{noun}_logs", f"Show a {noun}'s log lines", LogLines, (*one_of, InvalidRequest))
        add_read(app, f"{here.one}/logs", self.logs, logs)

    async def list_kind(self, request: Request) -> Response:
        """Answer with all plugins of the kind."""
        return json_answer(follower_of(request).table.list_json(self._collection.kind))

    async def read(self, request: Request, name: PluginName) -> Response:
        """Answer with one plugin object."""
        follower = follower_of(request)
        known_plugin(follower, name, self._collection.kind)
        return json_answer(follower.table.plugin_json(name))

    async def logs(self, request: Request, name: PluginName, tail: Tail = 100, after: After = None) -> Response:
        """Answer with log lines: the one read that asks the Controller."""
        known_plugin(follower_of(request), name, self._collection.kind)
        page = await context_of(request).client.logs(name, tail, after)
        return json_answer(encode({"name": name, "lines": page.lines, "next": page.next, "missed": page.missed}))


async def list_plugins(request: Request, kind: KindQuery = None) -> Response:
    """Answer with all plugins, or those of one kind."""
    return json_answer(follower_of(request).table.list_json(kind))


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    for collection in (PLUGINS, TASKS, JOBS):
        PluginReads(collection).register(app)
