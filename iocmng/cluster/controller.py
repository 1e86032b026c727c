"""The Controller: what can be asked of it. A plain class; controller_actor.py makes it a Ray actor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from iocmng.cluster.boot import Boot, PluginsFile
from iocmng.cluster.figures import Figures
from iocmng.cluster.plan import apply_plan
from iocmng.cluster.replacements import Replacements
from iocmng.cluster.run_calls import RunCalls
from iocmng.cluster.scheduled_runs import ScheduledRuns
from iocmng.cluster.scheduler import Scheduler
from iocmng.cluster.view import generation_shown
from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.backoff import RestartPolicy
from iocmng.core.builtin_pvs import Kind
from iocmng.core.devices import DeviceTable
from iocmng.core.lifecycle import Phase
from iocmng.core.log_lines import LogPage
from iocmng.core.names import check_plugin_name
from iocmng.core.ports.metrics import Meters
from iocmng.core.ports.processes import PluginLauncher
from iocmng.core.ports.store import StateStore
from iocmng.core.request import PluginRequest
from iocmng.core.runs import RunLimits
from iocmng.core.spec import PluginSpec
from iocmng.core.state import Applied, Cause, Event, Generation, Snapshot
from iocmng.errors import (
    DuplicatePlugin,
    IocmngError,
    PluginCrashed,
    StateUnavailable,
    WrongKind,
)

_log = logging.getLogger(__name__)

GENERATIONS_KEPT = 10


class Controller(Replacements, RunCalls):
    """Keeps what is desired, and has the control loop bring it about. Never runs author's code, never blocks.

    Calls that change something return the version of the snapshot that shows the change. For the arguments see Calls.
    """

    def __init__(
        self,
        launcher: PluginLauncher,
        store: StateStore,
        site_prefix: str,
        policy: RestartPolicy | None = None,
        generations_kept: int = GENERATIONS_KEPT,
        run_limits: RunLimits | None = None,
        devices: DeviceTable | None = None,
        meters: Meters | None = None,
    ) -> None:
        super().__init__(
            launcher, store, site_prefix, policy or RestartPolicy(), generations_kept, run_limits or RunLimits()
        )
        if devices is not None:
            self._registry.devices = devices.outline()
        self._launcher = launcher
        self._meters = meters
        self._boot = Boot(
            self._registry, self._keeper, self._operations, self._watcher, self._loop, self._runs, launcher
        )
        self._scheduler = Scheduler(self._registry, ScheduledRuns(self._runs))
        self._registry.on_touch = self._scheduler.note
        self._registry.next_run_of = self._scheduler.next_run
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, plugins_file: PluginsFile | None = None) -> None:
        """Read the store, take over the processes that live, and begin to start all others.

        Args:
            plugins_file: What a plugins file asks for; it is applied before anything is started.

        Raises:
            StateUnavailable: If the store cannot be read.
        """
        await self._boot.read(plugins_file)
        works = {
            "control loop": self._loop.run(),
            "events": self._keeper.write_events(),
            "audit": self._audit.write(),
            "boot": self._boot.run(),
            "scheduler": self._scheduler.run(),
        }
        if self._meters is not None:
            works["figures"] = Figures(self._registry).run(self._meters)
        self._tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
        self._loop.kick()

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """Add a plugin.

        Args:
            request: What to add.
            kind: What the caller expects it to be.
            wait: Return when it is up, or raise why it is not and leave nothing; else return at once, and a plugin
                that fails stays listed with the reason.

        Raises:
            DuplicatePlugin: If there is one of this name.
            IocmngError: Why it could not be added.
        """
        name = check_plugin_name(request.name)
        self._check_open()
        while self._is_free(name) and self._loop.is_busy(name):  # one of this name is just coming to its end
            await self._loop.idle(name)
        if not self._is_free(name):
            raise DuplicatePlugin(f"a plugin named {name!r} exists already; remove it first, or restart it")
        self._registry.forget(name, "added anew")
        spec = request.spec(kind)
        self._registry.desire(spec)
        self._operations.causes[name] = Cause.ADD
        self._keeper.offer_credential(name, request.credential)
        try:
            if not wait:
                self._loop.note_request(name)
                await self._promise(spec)
                return self._registry.announced
            self._loop.keep_rejected.discard(name)
            return await self._settled(name)
        except IocmngError:
            await self._forget_failed(name)
            raise

    async def remove(self, name: str, kind: Kind | None) -> int:
        """Stop a plugin and forget it, whatever it is doing.

        Raises:
            StateUnavailable: If that cannot be kept; the plugin stays then.
        """
        self._find(name, kind)
        self._check_open()
        self._loop.held.add(name)
        try:
            await self._loop.cancel(name)
            await self._keeper.forget(name)
            await self._runs.forget(name)
        except StateUnavailable:
            self._operations.resume(name)
            raise
        else:
            self._registry.desired.pop(name, None)
        finally:
            self._loop.held.discard(name)
            self._loop.kick()
        if name in self._registry.observed:
            await self._settled(name)
        self._registry.forget(name, "removed")
        return self._registry.announced

    async def apply(self, owner: str, requests: Sequence[PluginRequest]) -> tuple[list[Applied], int]:
        """Make the plugins of a plugins file what its entries say; what fails is told and stops nothing."""
        digests = {request.name: await self._launcher.contents_of(request.source) for request in requests}
        contents = {name: digest for name, digest in digests.items() if digest is not None}
        applied = await apply_plan(self, self._keeper, owner, requests, contents)
        self._registry.refresh(one.name for one in applied)
        return applied, self._registry.announced

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """Start or stop a task's cycles; that lasts, also after a restart of the server.

        Raises:
            WrongKind: If it is a job.
            IocmngError: Why it could not be started.
        """
        spec = await self._find_idle(name, kind)
        status = self._registry.observed[name]
        if status.facts is not None and status.facts.kind is Kind.JOB:
            raise WrongKind(f"{name} is a job: it has no cycles to start or stop; run it with POST /jobs/{name}/run")
        if status.phase is Phase.CRASHED and running:
            self._registry.observe(name, Phase.CRASHED, retry_at=time.monotonic())
        elif status.phase is not Phase.CRASHED:
            self._operations.handle(name)  # raises where there is no process to start or stop anything in
        if running and status.report is not None and not status.report.running:
            # It was told to run and gave up since; it has to be told again.
            self._registry.observe(name, status.phase, running=False)
        wanted = replace(spec, running=running)
        if running:
            await self._keeper.save(wanted)
        self._registry.desire(wanted)
        try:
            version = await self._settled(name)
            if self._registry.observed[name].phase is Phase.CRASHED and running:
                raise PluginCrashed(self._registry.observed[name].message)
            return version
        finally:
            # A stop is done before it is kept: it must not wait for a disk. A start that failed is not desired.
            if name in self._registry.desired:
                await self._keeper.save(self._registry.desired[name])

    async def logs(self, name: str, tail: int, after: int | None, within: float = 0.0) -> LogPage:
        """Return a plugin's newest log lines, or the oldest of those behind the number `after`; oldest first.

        Where there is none behind it yet, wait for one, so many seconds at most.
        """
        self._find(name, None)
        log = self._registry.logs.of(name)
        if after is None:
            return log.newest(tail)
        page = log.following(after, tail)
        if page.lines or page.missed or not within:
            return page
        await self._registry.logs.more(name, within)
        self._find(name, None)
        return self._registry.logs.of(name).following(after, tail)

    async def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        self._find(name, None)
        status = self._registry.observed.get(name)
        facts = status.facts if status is not None else None
        return [generation_shown(one, facts) for one in await self._keeper.generations(name)]

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return events, oldest first: of one plugin or of all, the newest `limit` of those above the id `after`."""
        return await self._keeper.events(name, after, limit)

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries of the audit; return when they are kept.

        Raises:
            StateUnavailable: If they cannot be kept now.
        """
        await self._audit.add(entries)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries of the audit, newest first."""
        return await self._audit.find(query)

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until the snapshot is newer than `after`; return what changed since, or all of it."""
        return await self._registry.watch(epoch, after)

    async def abandon(self) -> None:
        """Stop working; the plugins' processes live on, and a later Controller takes them over."""
        for task in self._tasks:
            task.cancel()
        await self._loop.end()
        await self._runs.abandon()
        self._watcher.release_all()

    async def shutdown(self) -> None:
        """Stop all plugins in good order; they come back when the server starts again."""
        self._ends = True
        for task in self._tasks:
            task.cancel()
        await self._loop.end()
        await self._runs.close()
        names = sorted({*self._watcher.handles, *self._runs.with_further_processes()})
        outcomes = await asyncio.gather(*(self._operations.end(name) for name in names), return_exceptions=True)
        for name, outcome in zip(names, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.error("plugin %s did not stop in good order: %s", name, outcome)
        await self._runs.abandon()
        await self._audit.close()
        await self._keeper.close()

    async def _promise(self, spec: PluginSpec) -> None:
        """Keep a spec, and only then let the loop begin with it."""
        self._loop.held.add(spec.name)
        self._loop.keep_rejected.add(spec.name)
        try:
            await self._keeper.save(spec)
        except StateUnavailable:
            self._registry.forget(spec.name, "it could not be kept")
            raise
        finally:
            self._loop.held.discard(spec.name)
            self._loop.kick()

    async def _forget_failed(self, name: str) -> None:
        """Leave nothing of an add that failed, unless somebody has added another one of its name since."""
        if name not in self._registry.desired:
            self._keeper.withdraw_credential(name)
            self._operations.causes.pop(name, None)
            if self._keeper.entry(name) is not None:
                with contextlib.suppress(StateUnavailable):
                    await self._keeper.forget(name)
