"""The one place where the Controller becomes a Ray actor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence

from iocmng.base.audit_log import show_audit_log
from iocmng.base.log_output import LogContext, show_log
from iocmng.cluster.boot import PluginsFile
from iocmng.cluster.controller import Controller
from iocmng.cluster.launcher import RayLauncher
from iocmng.cluster.lent_secrets import regained_secrets
from iocmng.cluster.nodes import own_node
from iocmng.cluster.pv_lists import PvLists
from iocmng.cluster.ray_meters import RayMeters
from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.backoff import Backoff, RestartPolicy
from iocmng.core.builtin_pvs import Kind
from iocmng.core.log_lines import LogPage
from iocmng.core.names import site_prefix
from iocmng.core.ports.store import StateStore
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.runs import Run, RunLimits, RunRequest, RunState
from iocmng.core.state import Applied, Event, Generation, Snapshot
from iocmng.core.trace_context import carried, request_shown
from iocmng.epics.access import read_access
from iocmng.errors import InvalidRequest
from iocmng.loading.plugins_file import read_plugins_file
from iocmng.settings import Settings
from iocmng.store import import_legacy_once, open_store
from iocmng.telemetry import open_tracing

_log = logging.getLogger(__name__)


class ControllerActor:
    """Named, detached, restarted by Ray if it dies. Its constructor is trivial: one that raises would be for good."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._launcher: RayLauncher | None = None
        self._lists: asyncio.Task[None] | None = None
        show_log(settings.log_level, settings.log_format, LogContext({"node": own_node()}, request_shown))
        self._tracing = open_tracing("controller")
        show_audit_log()
        # Begun here, because after its death nobody calls it: plugins must be supervised without an API, too.
        self._started: asyncio.Task[Controller] | None = asyncio.get_running_loop().create_task(self._start())
        self._started.add_done_callback(_log_failure)

    async def start(self) -> None:
        """Start once; later calls find it done."""
        await self._controller()

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool, trace: str | None = None) -> int:
        """See Controller.add."""
        with self._command("add", trace, request.name):
            return await (await self._controller()).add(request, kind, wait)

    async def remove(self, name: str, kind: Kind | None, trace: str | None = None) -> int:
        """See Controller.remove."""
        with self._command("remove", trace, name):
            return await (await self._controller()).remove(name, kind)

    async def restart(self, name: str, kind: Kind | None, trace: str | None = None) -> int:
        """See Controller.restart."""
        with self._command("restart", trace, name):
            return await (await self._controller()).restart(name, kind)

    async def rollback(self, name: str, kind: Kind | None, generation: int | None, trace: str | None = None) -> int:
        """See Controller.rollback."""
        with self._command("rollback", trace, name):
            return await (await self._controller()).rollback(name, kind, generation)

    async def change(self, name: str, kind: Kind | None, change: PluginChange, trace: str | None = None) -> int:
        """See Controller.change."""
        with self._command("change", trace, name):
            return await (await self._controller()).change(name, kind, change)

    async def apply(
        self, owner: str, requests: Sequence[PluginRequest], trace: str | None = None
    ) -> tuple[list[Applied], int]:
        """See Controller.apply."""
        with self._command("apply", trace, None):
            return await (await self._controller()).apply(owner, requests)

    async def generations(self, name: str) -> list[Generation]:
        """See Controller.generations."""
        return await (await self._controller()).generations(name)

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """See Controller.events."""
        return await (await self._controller()).events(name, after, limit)

    async def set_running(self, name: str, kind: Kind | None, running: bool, trace: str | None = None) -> int:
        """See Controller.set_running."""
        with self._command("set_running", trace, name):
            return await (await self._controller()).set_running(name, kind, running)

    async def run_job(self, name: str, request: RunRequest, wait: bool, trace: str | None = None) -> tuple[Run, int]:
        """See Controller.run_job."""
        with self._command("run_job", trace, name):
            return await (await self._controller()).run_job(name, request, wait)

    async def cancel_run(self, name: str, run: int, wait: bool, trace: str | None = None) -> tuple[Run, int]:
        """See Controller.cancel_run."""
        with self._command("cancel_run", trace, name, run):
            return await (await self._controller()).cancel_run(name, run, wait)

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """See Controller.runs."""
        return await (await self._controller()).runs(name, states, before, limit)

    async def run(self, name: str, run: int) -> Run:
        """See Controller.run."""
        return await (await self._controller()).run(name, run)

    async def logs(self, name: str, tail: int, after: int | None, within: float = 0.0) -> LogPage:
        """See Controller.logs."""
        return await (await self._controller()).logs(name, tail, after, within)

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """See Controller.add_audit."""
        await (await self._controller()).add_audit(entries)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """See Controller.audit."""
        return await (await self._controller()).audit(query)

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """See Controller.watch."""
        return await (await self._controller()).watch(epoch, after)

    async def shutdown(self) -> None:
        """Stop all plugins and the warm processes; the plugins come back at the next start."""
        await (await self._controller()).shutdown()
        if self._launcher is not None:
            await self._launcher.close()
        await asyncio.to_thread(self._tracing.close)

    @contextlib.contextmanager
    def _command(self, name: str, trace: str | None, plugin: str | None, run: int | None = None) -> Iterator[None]:
        """Do a command as a part of the request that the traceparent names."""
        with carried(trace), self._tracing.span(f"controller.{name}", plugin=plugin, run=run):
            yield

    async def _controller(self) -> Controller:
        # A start that failed is tried again: the disk may have room by now, or the database be back.
        if self._started is None or (self._started.done() and self._started.exception() is not None):
            self._started = asyncio.create_task(self._start())
        return await asyncio.shield(self._started)

    async def _start(self) -> Controller:
        settings = regained_secrets(self._settings)
        beamline = await asyncio.to_thread(settings.beamline)
        devices = settings.device_table(beamline)
        for problem in devices.problems:
            _log.warning("%s: %s", settings.beamline_config, problem)
        if self._launcher is None:
            access = await asyncio.to_thread(read_access, settings)
            for warning in access.warnings:
                _log.warning("%s", warning)
            self._launcher = RayLauncher(settings.without_secrets(), devices, access.text, self._tracing)
        store = await asyncio.to_thread(open_state, settings)
        controller = Controller(
            self._launcher,
            store,
            site_prefix(settings.prefix, beamline),
            RestartPolicy(Backoff(settings.crash_backoff, 2.0, settings.crash_backoff_limit), settings.stable_after),
            settings.generations_kept,
            RunLimits(settings.runs_queued, settings.cancel_grace, settings.run_timeout),
            devices,
            RayMeters() if settings.metrics else None,
        )
        try:
            await controller.start(await asyncio.to_thread(self._plugins_file))
        except BaseException:
            store.close()
            raise
        if settings.pvlist_dir is not None:
            self._lists = asyncio.create_task(PvLists(settings.pvlist_dir, controller.watch).run(), name="PV lists")
        return controller

    def _plugins_file(self) -> PluginsFile | None:
        file = self._settings.plugins_config
        if file is None:
            return None
        try:
            requests, problems = read_plugins_file(file)
        except InvalidRequest as error:
            requests, problems = [], [str(error)]
        return PluginsFile(str(file), tuple(requests), tuple(problems))


def open_state(settings: Settings) -> StateStore:
    """Open the store; the first time, take over what an original iocmng has left in the plugins directory."""
    store = open_store(settings)
    for sentence in import_legacy_once(store, settings):
        _log.warning("%s", sentence)
    return store


def _log_failure(started: asyncio.Task[Controller]) -> None:
    if not started.cancelled() and (error := started.exception()):
        _log.error("the Controller could not start: %s", error)
