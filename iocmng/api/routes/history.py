"""Reads of a plugin's past: generations and events. They ask the Controller."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from iocmng.api.deps import PluginName, check_kind, context_of, follower_of, known_plugin, unknown
from iocmng.api.history import event_object, generation_object
from iocmng.api.history_schemas import GenerationList, PluginEventList
from iocmng.api.json_bytes import encode
from iocmng.api.routes.registration import JOBS, PLUGINS, TASKS, Call, Collection, add_read, json_answer
from iocmng.errors import InvalidRequest, UnknownPlugin, WrongKind

LARGEST_ID = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=10_000, description="Number of events at most: the newest ones.")]
After = Annotated[int, Query(ge=0, le=LARGEST_ID, description="Only events with a higher id.")]


class PluginHistory:
    """The history calls of one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def register(self, app: FastAPI) -> None:
        """Add the calls to the application."""
        here, noun = self._collection, self._collection.noun
        one_of = (UnknownPlugin,) if here.kind is None else (UnknownPlugin, WrongKind)
        generations = Call(f"get_{noun}_generations", f"Show a {noun}'s generations", GenerationList, one_of)
        add_read(app, f"{here.one}/generations", self.generations, generations)
        events = Call(
            f"get_{noun}_events",
            f"Show a {noun}'s events; they stay when it is removed",
            PluginEventList,
            (*one_of, InvalidRequest),
        )
        add_read(app, f"{here.one}/events", self.events, events)

    async def generations(self, request: Request, name: PluginName) -> Response:
        """Answer with the attempts to bring a plugin into being, newest first."""
        plugin = known_plugin(follower_of(request), name, self._collection.kind)
        kept = await context_of(request).client.generations(name)
        rows = [generation_object(generation, plugin.get("generation")) for generation in kept]
        return json_answer(encode({"name": name, "generations": rows, "count": len(rows)}))

    async def events(self, request: Request, name: PluginName, limit: Limit = 100, after: After = 0) -> Response:
        """Answer with a plugin's events, oldest first; 404 if there are neither plugin nor events."""
        client, plugin = context_of(request).client, follower_of(request).plugins.get(name)
        if plugin is not None:
            check_kind(plugin, self._collection.kind)
        events = await client.events(name, after, limit)
        if plugin is None and not events and not await client.events(name, 0, 1):
            raise unknown(name)
        rows = [event_object(event) for event in events]
        return json_answer(encode({"name": name, "events": rows, "count": len(rows)}))


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    for collection in (PLUGINS, TASKS, JOBS):
        PluginHistory(collection).register(app)
