"""Calls that change one plugin: add, remove, restart, roll back, patch, start, stop.

The Controller decides each of them, not this replica's snapshot; each returns when this replica has seen the change.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from iocmng.api.auth import check_plugins
from iocmng.api.bodies import read_body, read_patch
from iocmng.api.change_schemas import RollbackRequest
from iocmng.api.deps import Context, PluginName, context_of
from iocmng.api.json_bytes import encode
from iocmng.api.routes.registration import (
    JOBS,
    JSON,
    MERGE_PATCH,
    PLUGINS,
    TASKS,
    Call,
    Collection,
    add_change,
    json_answer,
)
from iocmng.api.routes.settling import settle
from iocmng.api.schemas import Done, DoneWithChecks, DoneWithPlugin
from iocmng.core.access import Role
from iocmng.core.builtin_pvs import Kind
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.errors import (
    BodyTooLarge,
    BodyTooSlow,
    DuplicatePlugin,
    InvalidRequest,
    IocmngError,
    PluginCrashed,
    PluginRejected,
    SourceUnavailable,
    TimedOut,
    UnknownPlugin,
    WrongKind,
    WrongState,
)

Wait = Annotated[bool, Query(description="false: answer 202 at once and load the plugin afterwards.")]

_LOAD_FAILURES = (PluginRejected, SourceUnavailable, PluginCrashed, TimedOut)
_LOADING: tuple[type[IocmngError], ...] = (WrongKind, *_LOAD_FAILURES)
_OK: dict[str, Any] = {"ok": True, "errors": [], "warnings": [], "failures": []}


class PluginChanges:
    """The changing calls of one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def register(self, app: FastAPI) -> None:
        """Add the calls to the application."""
        here, noun = self._collection, self._collection.noun
        add_change(app, "POST", here.url, self.add, _add_call(noun), Role.ADMIN)
        remove = Call(f"remove_{noun}", f"Stop and forget a {noun}", Done, (UnknownPlugin, WrongKind))
        add_change(app, "DELETE", here.one, self.remove, remove, Role.ADMIN)
        # It fetches again, so it decides which code runs.
        add_change(app, "POST", f"{here.one}/restart", self.restart, _restart_call(noun), Role.ADMIN)
        add_change(app, "POST", f"{here.one}/rollback", self.rollback, _rollback_call(noun), Role.ADMIN)
        add_change(app, "PATCH", here.one, self.change, _change_call(noun), Role.ADMIN)
        if here.kind is Kind.JOB:
            return
        errors = (UnknownPlugin, WrongKind, WrongState, PluginCrashed, TimedOut)
        start = Call(f"start_{noun}", "Start a task's cycles", DoneWithPlugin, errors)
        add_change(app, "POST", f"{here.one}/start", self.start, start, Role.OPERATOR)
        stop = Call(f"stop_{noun}", "Stop a task's cycles; its PVs stay", DoneWithPlugin, errors)
        add_change(app, "POST", f"{here.one}/stop", self.stop, stop, Role.OPERATOR)

    async def add(self, request: Request, wait: Wait = True) -> Response:
        """Add a plugin."""
        context, wanted = context_of(request), await read_body(request, PluginRequest)
        check_plugins(request, [wanted.name])
        try:
            await settle(context, context.client.add(wanted, self._collection.kind, wait))
        except UnknownPlugin as error:
            # 404 from an add would send old dashboards to another call.
            raise WrongState(f"{wanted.name!r} was removed while it was being added") from error
        message = f"{self._collection.noun} {wanted.name!r} " + ("added" if wait else "is being added")
        location = f"{request.scope.get('root_path', '')}{self._collection.url}/{wanted.name}"
        body = encode(_with_checks(context, wanted.name, message))
        return json_answer(body, 201 if wait else 202, {"Location": location})

    async def remove(self, request: Request, name: PluginName) -> Response:
        """Remove a plugin."""
        context = context_of(request)
        await settle(context, context.client.remove(name, self._collection.kind))
        return json_answer(encode({"ok": True, "message": f"{self._collection.noun} {name!r} removed"}))

    async def restart(self, request: Request, name: PluginName) -> Response:
        """Replace a plugin by what its source holds now."""
        context = context_of(request)
        await settle(context, context.client.restart(name, self._collection.kind))
        return json_answer(encode(_with_checks(context, name, f"{self._collection.noun} {name!r} restarted")))

    async def rollback(self, request: Request, name: PluginName) -> Response:
        """Replace a plugin by an earlier generation of it."""
        context = context_of(request)
        wanted = await read_body(request, RollbackRequest, may_be_empty=True)
        await settle(context, context.client.rollback(name, self._collection.kind, wanted.generation))
        return json_answer(encode(_with_checks(context, name, f"{self._collection.noun} {name!r} rolled back")))

    async def change(self, request: Request, name: PluginName) -> Response:
        """Change what is desired of a plugin."""
        context, patch = context_of(request), await read_patch(request, PluginChange)
        await settle(context, context.client.change(name, self._collection.kind, patch))
        return json_answer(encode(_with_checks(context, name, f"{self._collection.noun} {name!r} changed")))

    async def start(self, request: Request, name: PluginName) -> Response:
        """Start a task's cycles."""
        return await _set_running(context_of(request), name, True)

    async def stop(self, request: Request, name: PluginName) -> Response:
        """Stop a task's cycles."""
        return await _set_running(context_of(request), name, False)


def _add_call(noun: str) -> Call:
    return Call(
        f"add_{noun}",
        f"Add a {noun}",
        DoneWithChecks,
        (InvalidRequest, *_LOADING, DuplicatePlugin, WrongState, BodyTooLarge, BodyTooSlow),
        status=201,
        more={202: {"model": DoneWithChecks, "description": "It is being loaded; ask for it at Location."}},
        body=PluginRequest,
        names_in_body=True,
    )


def _restart_call(noun: str) -> Call:
    errors = (UnknownPlugin, WrongState, *_LOADING)
    return Call(f"restart_{noun}", f"Fetch a {noun} again and replace it", DoneWithChecks, errors)


def _rollback_call(noun: str) -> Call:
    return Call(
        f"roll_back_{noun}",
        f"Replace a {noun} by an earlier generation of it",
        DoneWithChecks,
        (InvalidRequest, UnknownPlugin, WrongState, *_LOADING, BodyTooLarge, BodyTooSlow),
        body=RollbackRequest,
        needs_body=False,
    )


def _change_call(noun: str) -> Call:
    return Call(
        f"change_{noun}",
        f"Change what is desired of a {noun}; replace it where that is needed",
        DoneWithChecks,
        (InvalidRequest, UnknownPlugin, WrongState, *_LOADING, BodyTooLarge, BodyTooSlow),
        body=PluginChange,
        media=(MERGE_PATCH, JSON),
    )


async def _set_running(context: Context, name: str, running: bool) -> Response:
    # Only tasks have cycles, so a job is of the wrong kind in every collection.
    await settle(context, context.client.set_running(name, Kind.TASK, running))
    message = f"task {name!r} {'started' if running else 'stopped'}"
    return json_answer(encode({"ok": True, "message": message, "plugin": context.follower.plugins.get(name)}))


def _with_checks(context: Context, name: str, message: str) -> dict[str, Any]:
    plugin = context.follower.plugins.get(name)
    validation = (plugin or {}).get("validation") or _OK
    return {"ok": True, "message": message, "validation": validation, "plugin": plugin}


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    for collection in (PLUGINS, TASKS, JOBS):
        PluginChanges(collection).register(app)
