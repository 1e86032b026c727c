"""The real API on a fake Controller, served on a port of its own; runs of jobs go as a test has written them down."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from api_fakes import FakeController, application
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router
from support import wait_for

from iocmng.api.event_hub import StreamLimits
from iocmng.api.problems import error_problem, problem
from iocmng.errors import WrongState

Command = Callable[..., tuple[int, str, str]]
"""Runs `iocmng` with arguments; returns exit status, stdout and stderr."""

STREAMS = StreamLimits(farewell=0.05)

QUEUED_AT = "2026-03-01T12:00:00.000+00:00"


def run_object(run_id: int = 7, job: str = "scan", **changes: Any) -> dict[str, Any]:
    """Return a run with all keys of the contract."""
    return {
        "run_id": run_id,
        "job": job,
        "state": "queued",
        "parameters": {},
        "who": "operator",
        "cause": "rest",
        "generation": 1,
        "queued_at": QUEUED_AT,
        "started_at": None,
        "ended_at": None,
        "timeout": None,
        "progress": 0.0,
        "message": "",
        "result": None,
        "log": [],
    } | changes


def result_object(data: Any = None, *, success: bool = True, message: str = "") -> dict[str, Any]:
    """Return what a job has returned."""
    return {"success": success, "data": data, "message": message, "timestamp": QUEUED_AT}


RUNNING = {"state": "running", "started_at": QUEUED_AT}
SUCCESS = RUNNING | {"state": "success", "ended_at": QUEUED_AT, "progress": 100.0}
FAILED = SUCCESS | {"state": "failed"}


class ScriptedRuns:
    """The calls for runs of jobs. Each look at a run brings it to the next step of the script.

    Attributes:
        script: What changes at each look; the last step stays.
        bodies: Bodies of the runs that were started.
        cancelled: Numbers of runs that were cancelled.
    """

    def __init__(self) -> None:
        self.script: list[dict[str, Any]] = [SUCCESS]
        self.bodies: list[dict[str, Any]] = []
        self.cancelled: list[int] = []
        self.refusal: JSONResponse | None = None
        self._kept: dict[int, dict[str, Any]] = {}
        self._steps: dict[int, Iterator[dict[str, Any]]] = {}

    def routes(self) -> list[Route]:
        """Return the calls, to stand before those of the API."""
        one = "/api/v1/jobs/{name}/runs/{run_id:int}"
        return [
            Route("/api/v1/jobs/{name}/run", self._start, methods=["POST"]),
            Route("/api/v1/jobs/{name}/runs", self._list, methods=["GET"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._cancel, methods=["DELETE"]),
        ]

    async def _start(self, request: Request) -> Any:
        name = request.path_params["name"]
        if name != "scan":
            return problem(request.scope, status=404, code="unknown-plugin", detail=f"there is no plugin {name!r}")
        self.bodies.append({"wait": request.query_params["wait"], **(await request.json())})
        if len(self.bodies) > 3:
            return problem(request.scope, status=429, code="too-many-runs", detail="3 runs of 'scan' wait already")
        run = run_object(6 + len(self.bodies), name, parameters=self.bodies[-1].get("parameters", {}))
        self._kept[run["run_id"]] = run
        self._steps[run["run_id"]] = iter(list(self.script))
        plain = {key: value for key, value in run.items() if key != "log"}
        told = {
            "ok": True,
            "message": f"run {run['run_id']} of 'scan' is queued",
            "run_id": run["run_id"],
            "run": plain,
        }
        return JSONResponse(told, 202)

    async def _list(self, request: Request) -> Any:
        state = request.query_params.get("state")
        limit, before = int(request.query_params.get("limit", 50)), int(request.query_params.get("before", 1 << 60))
        rows = [
            {key: value for key, value in run.items() if key != "log"}
            for run in reversed(self._kept.values())
            if state in (None, run["state"]) and run["run_id"] < before
        ]
        page, following = rows[:limit], None
        if len(rows) > limit:
            following = f"/api/v1/jobs/scan/runs?limit={limit}&before={page[-1]['run_id']}"
        return JSONResponse({"runs": page, "count": len(page), "next": following})

    async def _get(self, request: Request) -> Any:
        run = self._kept.get(request.path_params["run_id"])
        if run is None:
            detail = f"'scan' has no run {request.path_params['run_id']}"
            return problem(request.scope, status=404, code="unknown-run", detail=detail)
        run.update(next(self._steps[run["run_id"]], {}))
        return JSONResponse(run)

    async def _cancel(self, request: Request) -> Any:
        run = self._kept[request.path_params["run_id"]]
        if run["ended_at"] is not None:
            return error_problem(request.scope, WrongState(f"run {run['run_id']} of 'scan' has ended already"))
        self.cancelled.append(run["run_id"])
        self._steps[run["run_id"]] = iter([])
        run.update(state="cancelled", ended_at=QUEUED_AT, message="cancelled by operator")
        message = f"run {run['run_id']} of 'scan' was cancelled"
        return JSONResponse({"ok": True, "message": message, "run": run})


class ServedApi:
    """A served API.

    Attributes:
        url: Where it answers.
        controller: The fake Controller; it lives in the server's thread.
        runs: What becomes of runs.
    """

    def __init__(self, place: str, controller: FakeController, runs: ScriptedRuns) -> None:
        self.url = f"http://{place}"
        self.controller = controller
        self.runs = runs
        self.loop: asyncio.AbstractEventLoop | None = None

    def do(self, change: Callable[[FakeController], Any]) -> Any:
        """Change the Controller in the thread that it lives in; return when the reads show it."""

        async def changed() -> Any:
            result = change(self.controller)
            await self.controller.seen()
            return result

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(changed(), self.loop).result(10)


@contextmanager
def served(
    controller: FakeController,
    port: int = 0,
    *,
    address: str = "127.0.0.1",
    scripted_runs: bool = True,
    **settings: Any,
) -> Iterator[ServedApi]:
    """Serve the API on a fake Controller until the block ends; its runs follow a script unless told otherwise."""
    runs = ScriptedRuns()
    with socket.create_server((address, port)) as listener:
        api = ServedApi(f"{address}:{listener.getsockname()[1]}", controller, runs)
        app = application(controller, streams=STREAMS, **settings)

        @asynccontextmanager
        async def lifespan(_: Any) -> AsyncIterator[None]:
            api.loop = asyncio.get_running_loop()
            async with app.router.lifespan_context(app):
                yield

        # No Mount: one takes no path with a line break in it.
        whole = Router(routes=runs.routes() if scripted_runs else (), default=app, lifespan=lifespan)
        server = uvicorn.Server(uvicorn.Config(whole, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        wait_for(lambda: server.started or not thread.is_alive(), "the API is served")
        try:
            yield api
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()
