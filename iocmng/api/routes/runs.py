"""Runs of jobs: ask for one, list them, show one, cancel one. The Controller answers; no plugin's process is asked."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from iocmng.api.audit import caller_name, note
from iocmng.api.bodies import read_body
from iocmng.api.deps import PluginName, check_kind, context_of
from iocmng.api.json_bytes import encode
from iocmng.api.routes.history import LARGEST_ID
from iocmng.api.routes.registration import JOBS, PLUGINS, Call, Collection, add_change, add_read, json_answer
from iocmng.api.run_schemas import RunAnswer, RunBegun, RunEnded, RunList, RunObject, RunRequest
from iocmng.api.runs import result_object, run_error, run_object, run_summary
from iocmng.core.access import Role
from iocmng.core.builtin_pvs import Kind
from iocmng.core.runs import RunRequest as Wanted
from iocmng.core.runs import RunState
from iocmng.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InvalidRequest,
    PluginCrashed,
    RunCancelled,
    TimedOut,
    TooManyRuns,
    UnknownPlugin,
    UnknownRun,
    WrongKind,
    WrongState,
)

Wait = Annotated[bool | None, Query(description="false: answer 202 when the run is kept. It wins over the body's.")]
WaitForEnd = Annotated[bool, Query(description="false: answer 202 when the run has been told to end.")]
States = Annotated[list[RunState] | None, Query(alias="state", description="Only runs in this state, or these.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Number of runs at most.")]
Before = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Only runs with a lower id.")]


class JobRuns:
    """The calls about runs of one collection."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def register(self, app: FastAPI) -> None:
        """Add the calls to the application."""
        here, noun = self._collection, self._collection.noun
        add_change(app, "POST", f"{here.one}/run", self.run, _run_call(noun), Role.OPERATOR)
        listed = Call(f"list_{noun}_runs", "List a job's runs, newest first", RunList, (InvalidRequest, *_ONE_OF))
        add_read(app, f"{here.one}/runs", self.list_runs, listed)
        one = (InvalidRequest, *_ONE_OF, UnknownRun)
        add_read(app, f"{here.one}/runs/{{run_id}}", self.read, Call(f"get_{noun}_run", "Show a run", RunObject, one))
        cancel = Call(
            f"cancel_{noun}_run",
            "Cancel a run",
            RunEnded,
            (*one, WrongState),
            more={202: {"model": RunEnded, "description": "It has been told to end; ask for it to see that it has."}},
        )
        add_change(app, "DELETE", f"{here.one}/runs/{{run_id}}", self.cancel, cancel, Role.OPERATOR)

    async def run(self, request: Request, name: PluginName, wait: Wait = None) -> Response:
        """Run a job; answer with its result, or at once. A job that ends without success is a result, not an error."""
        context = context_of(request)
        body = await read_body(request, RunRequest, may_be_empty=True)
        if plugin := context.follower.plugins.get(name):
            check_kind(plugin, Kind.JOB)
        waits = body.wait if wait is None else wait
        wanted = Wanted(body.parameters, body.timeout, who=caller_name(request))
        run, version = await context.client.run_job(name, wanted, waits)
        note(request.scope, run_id=run.id)
        await context.follower.wait_for(version)
        if not waits:
            message = f"run {run.id} of {name} is {run.state.value}"
            answer = {"ok": True, "message": message, "run_id": run.id, "run": run_object(run)}
            location = f"{request.scope.get('root_path', '')}{JOBS.url}/{name}/runs/{run.id}"
            return json_answer(encode(answer), 202, {"Location": location})
        if error := run_error(run):
            raise error
        result = result_object(run)
        return json_answer(encode({"ok": bool(result["success"]), "result": result, "run_id": run.id}))

    async def list_runs(
        self, request: Request, name: PluginName, states: States = None, limit: Limit = 50, before: Before = None
    ) -> Response:
        """Answer with a page of a job's runs."""
        found = await context_of(request).client.runs(name, states or (), before, limit + 1)
        page, following = found[:limit], None
        if len(found) > limit:
            query = [*(("state", state.value) for state in states or ()), ("limit", limit), ("before", page[-1].id)]
            root = request.scope.get("root_path", "")
            following = f"{root}{self._collection.url}/{name}/runs?{urlencode(query)}"
        rows = [run_summary(run) for run in page]
        return json_answer(encode({"runs": rows, "count": len(rows), "next": following}))

    async def read(self, request: Request, name: PluginName, run_id: int) -> Response:
        """Answer with one run and its log lines."""
        return json_answer(encode(run_object(await context_of(request).client.run(name, run_id))))

    async def cancel(self, request: Request, name: PluginName, run_id: int, wait: WaitForEnd = True) -> Response:
        """Cancel a run that waits or goes on."""
        context = context_of(request)
        run, version = await context.client.cancel_run(name, run_id, wait)
        await context.follower.wait_for(version)
        ended = f"has ended: {run.state.value}" if run.has_ended else "has been told to end"
        answer = {"ok": True, "message": f"run {run.id} of {name} {ended}", "run": run_object(run)}
        return json_answer(encode(answer), 200 if run.has_ended else 202)


_ONE_OF = (UnknownPlugin, WrongKind)


def _run_call(noun: str) -> Call:
    return Call(
        f"run_{noun}",
        "Run a job, and wait for its result or not",
        RunAnswer,
        (
            *(
                InvalidRequest,
                UnknownPlugin,
                WrongKind,
                WrongState,
                RunCancelled,
                BodyTooLarge,
                BodyTooSlow,
                TooManyRuns,
            ),
            *(PluginCrashed, TimedOut),
        ),
        more={202: {"model": RunBegun, "description": "It is kept, and is run; ask for it at Location."}},
        body=RunRequest,
        needs_body=False,
    )


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    for collection in (JOBS, PLUGINS):
        JobRuns(collection).register(app)
