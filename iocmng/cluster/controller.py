"""The Controller: what can be asked of it. A plain class; controller_actor.py makes it a Ray actor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from iocmng.cluster.control_loop import ControlLoop
from iocmng.cluster.operations import Operations
from iocmng.cluster.registry import Registry
from iocmng.core.builtin_pvs import Kind
from iocmng.core.lifecycle import LOADING, Phase
from iocmng.core.names import check_plugin_name
from iocmng.core.ports import PluginLauncher, Snapshot
from iocmng.core.spec import PluginRequest, PluginSpec
from iocmng.errors import DuplicatePlugin, IocmngError, UnknownPlugin, WrongKind, WrongState

_log = logging.getLogger(__name__)


class Controller:
    """Keeps what is desired, and has the control loop bring it about. Never runs author's code, never blocks.

    Calls that change something return the version of the snapshot that shows the change.
    """

    def __init__(self, launcher: PluginLauncher, site_prefix: str) -> None:
        self._registry = Registry()
        self._operations = Operations(self._registry, launcher, site_prefix)
        self._loop = ControlLoop(self._registry, self._operations)
        self._task = asyncio.create_task(self._loop.run(), name="control loop")

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
        while self._is_free(name) and self._loop.is_busy(name):  # one of this name is just coming to its end
            await self._loop.idle(name)
        if not self._is_free(name):
            raise DuplicatePlugin(f"a plugin named {name!r} exists already; remove it first, or restart it")
        self._registry.forget(name)
        self._registry.desire(request.spec(kind))
        if request.pat is not None:
            self._operations.credentials[name] = request.pat.get_secret_value()
        (self._loop.keep_rejected.discard if wait else self._loop.keep_rejected.add)(name)
        if not wait:
            self._loop.kick()
            return self._registry.announced
        return await self._settled(name)

    async def remove(self, name: str, kind: Kind | None) -> int:
        """Stop a plugin and forget it, whatever it is doing."""
        self._find(name, kind)
        del self._registry.desired[name]
        await self._loop.cancel(name)
        if name in self._registry.observed:
            await self._settled(name)
        self._registry.forget(name)
        return self._registry.announced

    async def restart(self, name: str, kind: Kind | None) -> int:
        """Fetch a plugin again and replace it; if the new version fails, the old one runs.

        Raises:
            WrongState: If something else is being done to it.
            IocmngError: Why the new version could not be started.
        """
        spec = self._find_idle(name, kind)
        self._registry.desire(spec.next_generation())
        return await self._settled(name)

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """Start or stop a task's cycles.

        Raises:
            WrongKind: If it is a job.
            IocmngError: Why it could not be started.
        """
        spec = self._find_idle(name, kind)
        status = self._registry.observed[name]
        if status.facts is not None and status.facts.kind is Kind.JOB:
            raise WrongKind(f"{name} is a job: it has no cycles to start or stop; run it with POST /jobs/{name}/run")
        self._operations.handle(name)  # raises where there is no process to start or stop anything in
        if running and status.report is not None and not status.report.running:
            # It was told to run and gave up since; it has to be told again.
            self._registry.observe(name, status.phase, running=False)
        self._registry.desire(replace(spec, running=running))
        return await self._settled(name)

    async def run_job(self, name: str, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """Run a job; return its result and the version that shows it. Runs of one job wait for each other.

        Raises:
            WrongKind: If it is a task.
            WrongState: If it is not up.
        """
        self._find(name, None)
        status = self._registry.observed.get(name)
        if status and status.facts and status.facts.kind is Kind.TASK:
            raise WrongKind(f"{name} is a task: only jobs are run this way; a triggered task runs by its RUN PV")
        result, report = await self._operations.handle(name).run_job(parameters)
        self._registry.report(name, report, urgent=True)
        return result, self._registry.announced

    async def logs(self, name: str, tail: int) -> list[str]:
        """Return a plugin's newest log lines, oldest first."""
        self._find(name, None)
        return list(self._registry.logs.get(name, ()))[-tail:]

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until the snapshot is newer than `after`; return what changed since, or all of it."""
        return await self._registry.watch(epoch, after)

    async def load(self, requests: list[PluginRequest], problems: list[str]) -> None:
        """Add the plugins of the plugins file one after the other; what fails is told and stops nothing."""
        for problem in problems:
            _log.error("plugins file: %s", problem)
        for request in requests:
            try:
                await self.add(request, None, wait=False)
                await self._loop.settled(request.name)
            except IocmngError as error:
                _log.error("plugin %s was not loaded: %s", request.name, error)
        self._registry.set_ready()

    async def shutdown(self) -> None:
        """Stop all plugins in good order."""
        names = list(self._registry.desired)
        outcomes = await asyncio.gather(*(self.remove(name, None) for name in names), return_exceptions=True)
        for name, outcome in zip(names, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.error("plugin %s did not stop in good order: %s", name, outcome)

    async def _settled(self, name: str) -> int:
        """Wait until the plugin is as desired; return the version that shows it, or raise with that version."""
        try:
            await self._loop.settled(name)
        except IocmngError as error:
            error.snapshot_version = self._registry.announced
            raise
        return self._registry.announced

    def _is_free(self, name: str) -> bool:
        """Tell whether a plugin may be added under this name: none is desired, or the one there was rejected."""
        status = self._registry.observed.get(name)
        return name not in self._registry.desired or (status is not None and status.phase is Phase.REJECTED)

    def _find(self, name: str, kind: Kind | None) -> PluginSpec:
        spec = self._registry.desired.get(name)
        if spec is None:
            raise UnknownPlugin(f"there is no plugin named {name[:140]!r}")
        status = self._registry.observed.get(name)
        known = status.facts.kind if status and status.facts else spec.kind
        if kind is not None and known is not None and known is not kind:
            raise WrongKind(f"{name} is a {known.value}, not a {kind.value}; use /{known.value}s/{name}")
        return spec

    def _find_idle(self, name: str, kind: Kind | None) -> PluginSpec:
        spec = self._find(name, kind)
        status = self._registry.observed.get(name)
        if self._loop.is_busy(name) or status is None or status.phase in LOADING:
            raise WrongState(f"{name} is being started, stopped or replaced; try again when that has ended")
        return spec
