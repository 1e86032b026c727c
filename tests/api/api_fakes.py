"""A Controller in memory, and an application that runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import httpx
from api_objects import plugin_object as plugin_object  # the tests take it from here
from api_objects import run_of
from fastapi import FastAPI

from iocmng.api import create_app
from iocmng.api.audit import Caller
from iocmng.api.audit_trail import TrailLimits
from iocmng.api.event_hub import StreamLimits
from iocmng.api.snapshot import FollowTimes
from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.backoff import Backoff
from iocmng.core.builtin_pvs import Kind
from iocmng.core.devices import DeviceTable
from iocmng.core.log_lines import LogPage, NumberedLog
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.runs import Run, RunRequest, RunState
from iocmng.core.state import Applied, Event, Generation, Snapshot
from iocmng.errors import DuplicatePlugin, UnknownPlugin, UnknownRun, WrongKind
from iocmng.settings import Settings

Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

FAST = FollowTimes(first_snapshot=0.05, settle=0.2, backoff=Backoff(first=0.001, limit=0.002))


class Switchboard:
    """Gives an application the Controller of the test that runs.

    Building the routes takes most of a short test's time, and they do not change: one application per settings serves
    all tests, each in a lifespan of its own.
    """

    def __init__(
        self,
        times: FollowTimes,
        streams: StreamLimits | None,
        audit: TrailLimits | None,
        caller: Caller | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.controller: FakeController | None = None
        self.app = create_app(
            Settings(**settings), self._connect, times=times, streams=streams, audit=audit, caller=caller
        )

    async def _connect(self) -> FakeController:
        assert self.controller is not None
        return self.controller


_switchboards: dict[str, Switchboard] = {}


def application(
    controller: FakeController,
    *,
    times: FollowTimes = FAST,
    streams: StreamLimits | None = None,
    audit: TrailLimits | None = None,
    caller: Caller | None = None,
    **settings: Any,
) -> FastAPI:
    """Return an application that meets this fake Controller when it starts."""
    key = repr((times, streams, audit, caller, sorted(settings.items())))
    if key not in _switchboards:
        _switchboards[key] = Switchboard(times, streams, audit, caller, settings)
    _switchboards[key].controller = controller
    return _switchboards[key].app


@asynccontextmanager
async def serve(controller: FakeController, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application on a fake Controller; an error that leaves the application fails the test."""
    app = application(controller, **options)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://iocmng.localhost/api/v1") as client,
    ):
        yield client


class FakeController:
    """Keeps plugins, hands out snapshots, and notes each call.

    Attributes:
        calls: What was called, with its arguments.
        raises: Errors by the name of the call, raised instead of doing it.
        gate: A changing call waits for it before it does anything.
        publishing: While cleared, changes are made but no watch tells of them.
    """

    def __init__(self, *plugins: dict[str, Any], ready: bool = True) -> None:
        self.epoch = "first life"
        self.version = 1
        self.ready = ready
        self.plugins = {plugin["name"]: plugin for plugin in plugins}
        self.calls: list[tuple[Any, ...]] = []
        self.raises: dict[str, BaseException] = {}
        self.result: dict[str, Any] = {"success": True, "data": {"peak": 3}, "message": "done", "timestamp": "2025"}
        self.run_ends = RunState.SUCCESS
        self.kept_runs: list[Run] = []
        self.log_lines = ["one", "two"]
        self.log_kept = 1000
        self._log_generations: dict[int, int] = {}
        self._logged = asyncio.Event()
        self.applied: list[Applied] = []
        self.past: dict[str, list[Generation]] = {}
        self.stored: list[Event] = []
        self.audited: list[AuditEntry] = []
        self.audit_batches: list[int] = []
        self.audit_gate = asyncio.Event()
        self.audit_gate.set()
        self._audit_came = asyncio.Event()
        self.devices = DeviceTable()
        self.gate = asyncio.Event()
        self.gate.set()
        self.publishing = asyncio.Event()
        self.publishing.set()
        self._history: list[tuple[int, str, Event | Run | None]] = []
        self._called = asyncio.Event()
        self._moved = asyncio.Event()
        self._asked: tuple[str, int] | None = None
        self._asked_again = asyncio.Event()

    # What a test does to it

    def put(self, plugin: dict[str, Any]) -> int:
        """Add or change a plugin object; return the version."""
        self.plugins[plugin["name"]] = plugin
        return self._note(plugin["name"])

    def drop(self, name: str) -> int:
        """Take a plugin object away; return the version."""
        del self.plugins[name]
        return self._note(name)

    def emit(self, plugin: str = "monitor", status: str = "running", **changes: Any) -> Event:
        """Let an event happen, and tell of it."""
        number = self.stored[-1].id + 1 if self.stored else 1
        event = Event(
            **{
                "id": number,
                "at": 1_700_000_000.5 + number,
                "plugin": plugin,
                "status": status,
                "previous": "loaded",
                "reason": f"reason {number}",
                "generation": 1,
                "node": "node-1",
            }
            | changes
        )
        self.stored.append(event)
        self._note("", event)
        return event

    def become_ready(self) -> None:
        """Tell that the plugins file has been loaded."""
        self.ready = True
        self._note("")

    def begin_new_life(self) -> None:
        """Start again: versions count from 1 under another epoch."""
        self.epoch, self.version, self._history = "second life", 1, []
        self._move()

    def fail_watch(self, error: BaseException) -> None:
        """Make the running watch and all later ones raise."""
        self.raises["watch"] = error
        self._move()

    async def seen(self) -> None:
        """Wait until the follower has taken all that there is, and asks for more."""
        async with asyncio.timeout(5):
            while self._asked != (self.epoch, self.version):
                await self._asked_again.wait()

    async def called(self) -> None:
        """Wait until any call but watch has arrived."""
        async with asyncio.timeout(5):
            await self._called.wait()

    async def audit_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of what has come for the audit."""
        async with asyncio.timeout(30):
            while not condition():
                self._audit_came.clear()
                await self._audit_came.wait()

    async def changed(self) -> None:
        """Wait until the next change has been made, told of or not."""
        async with asyncio.timeout(5):
            await self._moved.wait()

    # core.ports.controller.ControllerClient

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        await self._begin("add", request, kind, wait)
        if request.name in self.plugins:
            raise DuplicatePlugin(f"there is a plugin {request.name!r} already")
        shown = (kind or Kind.TASK).value if wait else None
        status = "running" if wait else "loading"
        return self.put(plugin_object(request.name, shown, status=status, parameters=request.parameters))

    async def remove(self, name: str, kind: Kind | None) -> int:
        await self._begin("remove", name, kind)
        self._find(name, kind)
        return self.drop(name)

    async def restart(self, name: str, kind: Kind | None) -> int:
        await self._begin("restart", name, kind)
        plugin = self._find(name, kind)
        return self.put(plugin | {"generation": plugin["generation"] + 1})

    async def rollback(self, name: str, kind: Kind | None, generation: int | None) -> int:
        await self._begin("rollback", name, kind, generation)
        plugin = self._find(name, kind)
        return self.put(plugin | {"generation": plugin["generation"] + 1, "commit": "an earlier one"})

    async def change(self, name: str, kind: Kind | None, change: PluginChange) -> int:
        await self._begin("change", name, kind, change)
        plugin = self._find(name, kind)
        return self.put(plugin | {"generation": plugin["generation"] + 1, "parameters": change.parameters})

    async def apply(self, owner: str, requests: Sequence[PluginRequest]) -> tuple[list[Applied], int]:
        await self._begin("apply", owner, list(requests))
        for request in requests:
            self.put(plugin_object(request.name, owner=owner))
        return self.applied or [Applied(request.name, "added") for request in requests], self.version

    async def generations(self, name: str) -> list[Generation]:
        await self._begin("generations", name)
        return self.past.get(name, [])

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        await self._begin("events", name, after, limit)
        return [event for event in self.stored if name in (None, event.plugin) and event.id > after][-limit:]

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        await self._begin("set_running", name, kind, running)
        plugin = self._find(name, kind)
        return self.put(plugin | {"running": running, "status": "running" if running else "stopped"})

    async def run_job(self, name: str, request: RunRequest, wait: bool) -> tuple[Run, int]:
        await self._begin("run_job", name, request, wait)
        self._find(name, Kind.JOB)
        state = self.run_ends if wait else RunState.RUNNING
        run = run_of(name, len(self.kept_runs) + 1, state, parameters=request.parameters, timeout=request.timeout)
        if state in (RunState.SUCCESS, RunState.FAILED):
            run = replace(run, result=self.result, message=self.result["message"])
        self.kept_runs.append(run)
        return run, self.version

    async def cancel_run(self, name: str, run: int, wait: bool) -> tuple[Run, int]:
        await self._begin("cancel_run", name, run, wait)
        found = await self._run(name, run)
        return (replace(found, state=RunState.CANCELLED) if wait else found), self.version

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        await self._begin("runs", name, tuple(states), before, limit)
        self._find(name, Kind.JOB)
        found = [run for run in reversed(self.kept_runs) if not states or run.state in states]
        return [replace(run, log=()) for run in found if before is None or run.id < before][:limit]

    async def run(self, name: str, run: int) -> Run:
        await self._begin("run", name, run)
        return await self._run(name, run)

    async def _run(self, name: str, run: int) -> Run:
        self._find(name, Kind.JOB)
        for one in self.kept_runs:
            if one.id == run:
                return one
        raise UnknownRun(f"{name} has no run {run}")

    def tell_of_run(self, run: Run) -> None:
        """Let something happen to a run, and tell of it."""
        self._note("", run)

    def write_log(self, *lines: str, generation: int = 1) -> None:
        """Let the plugin log something."""
        for line in lines:
            self._log_generations[len(self.log_lines)] = generation
            self.log_lines.append(line)
        self._logged.set()

    @property
    def _log(self) -> NumberedLog:
        log = NumberedLog(self.log_kept, 100)
        for number, line in enumerate(self.log_lines):
            log.extend([line], self._log_generations.get(number, 1))
        return log

    async def logs(self, name: str, tail: int, after: int | None, within: float = 0.0) -> LogPage:
        await self._begin("logs", name, tail, after)
        if after is None:
            return self._log.newest(tail)
        page = self._log.following(after, tail)
        if page.lines or page.missed or not within:
            return page
        self._logged.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._logged.wait()
        await self._begin("logs", name, tail, after)
        return self._log.following(after, tail)

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        self.audit_batches.append(len(entries))
        await self.audit_gate.wait()
        self._audit_came.set()
        if error := self.raises.get("add_audit"):
            raise error
        for entry in entries:
            self.audited.append(replace(entry, id=len(self.audited) + 1))

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        await self._begin("audit", query)
        keys = ("plugin", "who")
        found = [
            entry
            for entry in reversed(self.audited)
            if all(getattr(query, key) in (None, getattr(entry, key)) for key in keys)
            and (query.before is None or entry.id < query.before)
            and entry.what.startswith(query.what or "")
            and entry.at >= (query.since or 0)
        ]
        return found[: query.limit]

    async def watch(self, epoch: str, after: int) -> Snapshot:
        self._asked = (epoch, after)
        self._asked_again.set()
        self._asked_again = asyncio.Event()
        while True:
            moved = self._moved
            if error := self.raises.get("watch"):
                raise error
            if self.publishing.is_set() and (epoch != self.epoch or after < self.version):
                return self._snapshot(epoch, after)
            await moved.wait()

    def publish(self) -> None:
        """Let watches tell of changes again."""
        self.publishing.set()
        self._move()

    async def _begin(self, call: str, *arguments: Any) -> None:
        self.calls.append((call, *arguments))
        self._called.set()
        await self.gate.wait()
        if error := self.raises.get(call):
            raise error

    def _find(self, name: str, kind: Kind | None) -> dict[str, Any]:
        if name not in self.plugins:
            raise UnknownPlugin(f"there is no plugin {name!r}")
        plugin = self.plugins[name]
        if kind is not None and plugin["plugin_type"] not in (None, kind):
            raise WrongKind(f"{name!r} is not a {kind.value}")
        return plugin

    def _snapshot(self, epoch: str, after: int) -> Snapshot:
        if epoch != self.epoch:
            return Snapshot(self.epoch, self.version, True, dict(self.plugins), self.ready, devices=self.devices)
        news = [(name, event) for version, name, event in self._history if version > after]
        changes = {name: self.plugins.get(name) for name, _ in news if name}
        events = tuple(event for _, event in news if isinstance(event, Event))
        runs = tuple(run for _, run in news if isinstance(run, Run))
        return Snapshot(self.epoch, self.version, False, changes, self.ready, events, runs)

    def _note(self, name: str, event: Event | Run | None = None) -> int:
        self.version += 1
        self._history.append((self.version, name, event))
        self._move()
        return self.version

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
