"""Runs of jobs."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from iocmng.api.bodies import read_body
from iocmng.api.deps import PluginName, check_kind, context_of
from iocmng.api.json_bytes import encode
from iocmng.api.routes.registration import JOBS, PLUGINS, Call, add_change, json_answer
from iocmng.api.schemas import RunAnswer, RunRequest
from iocmng.core.builtin_pvs import Kind
from iocmng.errors import (
    BodyTooLarge,
    InvalidRequest,
    PluginCrashed,
    TimedOut,
    UnknownPlugin,
    WrongKind,
    WrongState,
)


async def run_job(request: Request, name: PluginName) -> Response:
    """Run a job and answer with its result; a job that ends without success is a result, not an error."""
    context = context_of(request)
    run = await read_body(request, RunRequest, may_be_empty=True)
    if plugin := context.follower.plugins.get(name):
        check_kind(plugin, Kind.JOB)
    result, version = await context.client.run_job(name, run.parameters)
    await context.follower.wait_for(version)
    return json_answer(encode({"ok": bool(result.get("success")), "result": result}))


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    errors = (InvalidRequest, UnknownPlugin, WrongKind, WrongState, BodyTooLarge, PluginCrashed, TimedOut)
    for collection in (JOBS, PLUGINS):
        call = Call(
            f"run_{collection.noun}",
            "Run a job and wait for its result",
            RunAnswer,
            errors,
            body=RunRequest,
            needs_body=False,
        )
        add_change(app, "POST", f"{collection.one}/run", run_job, call)
