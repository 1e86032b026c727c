"""What a Controller does when it begins: read the store, take over what lives, start the rest in its order."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from dataclasses import dataclass, replace

from iocmng.cluster.control_loop import ControlLoop
from iocmng.cluster.keeper import Keeper
from iocmng.cluster.operations import Operations
from iocmng.cluster.registry import Registry
from iocmng.cluster.runs import Runs
from iocmng.cluster.watcher import Watcher
from iocmng.core.plugins_file import Action, Step, applied_form, changed_spec, plan
from iocmng.core.ports.processes import FoundFurther, FoundProcess, PluginLauncher
from iocmng.core.reconcile import start_order
from iocmng.core.request import PluginRequest
from iocmng.core.runs import HeldRun
from iocmng.core.state import Cause
from iocmng.errors import IocmngError, StateUnavailable

STARTS_AT_ONCE = max(2, os.cpu_count() or 2)
"""Plugins that are started at the same time; more would only wait for the processor."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PluginsFile:
    """What a plugins file asks for.

    Attributes:
        owner: Its path.
        requests: Its entries.
        problems: A sentence for each entry that does not fit.
    """

    owner: str
    requests: tuple[PluginRequest, ...] = ()
    problems: tuple[str, ...] = ()


class Boot:
    """The first minute of a Controller's life."""

    def __init__(
        self,
        registry: Registry,
        keeper: Keeper,
        operations: Operations,
        watcher: Watcher,
        loop: ControlLoop,
        runs: Runs,
        launcher: PluginLauncher,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._operations = operations
        self._watcher = watcher
        self._loop = loop
        self._runs = runs
        self._launcher = launcher
        self._waiting: set[str] = set()

    async def read(self, plugins_file: PluginsFile | None) -> None:
        """Find out what is desired and what lives; nothing is started yet.

        Raises:
            StateUnavailable: If the store cannot be read.
        """
        entries = await self._keeper.load()
        self._registry.last_event = self._keeper.last_event
        for entry in entries:
            self._registry.desire(entry.spec)
        if plugins_file is not None:
            await self._apply(plugins_file)
        await self._runs.load()
        found = await self._launcher.find_processes()
        further = [process for process in found if isinstance(process, FoundFurther)]
        adopted = await self._adopt([process for process in found if isinstance(process, FoundProcess)])
        self._loop.keep_rejected.update(self._registry.desired)
        self._waiting = self._registry.desired.keys() - adopted.keys()
        self._loop.held.update(self._waiting)
        if not adopted and not further:
            # Nothing lives, so it was the server or its machine that ended, and not the Controller alone.
            await self._choose_running([entry.spec.name for entry in entries])
        for name in self._waiting:
            await self._wait_for_lease(name)
        await self._runs.begin(adopted, further)

    async def run(self) -> None:
        """Start everything that waits, in its order; what fails is logged and stops nothing."""
        limit = asyncio.Semaphore(STARTS_AT_ONCE)
        specs = [spec for name in self._waiting if (spec := self._registry.desired.get(name))]
        waiting = sorted(specs, key=start_order)
        for _, group in itertools.groupby(waiting, key=lambda spec: start_order(spec)[0]):
            await asyncio.gather(*(self._begin(spec.name, limit) for spec in group))
        await self._operations.collect()
        self._registry.set_ready()

    async def _begin(self, name: str, limit: asyncio.Semaphore) -> None:
        async with limit:
            self._loop.held.discard(name)
            try:
                await self._loop.settled(name)
            except IocmngError as error:
                _log.error("plugin %s was not started: %s", name, error)

    async def _apply(self, plugins_file: PluginsFile) -> None:
        for problem in plugins_file.problems:
            _log.error("plugins file: %s", problem)
        entries = self._keeper.entries()
        for step in plan(plugins_file.owner, plugins_file.requests, entries, remove=not plugins_file.problems):
            try:
                await self._take(step, plugins_file.owner)
            except StateUnavailable as error:
                _log.error("plugins file: %s was not %s: %s", step.name, step.action, error)

    async def _take(self, step: Step, owner: str) -> None:
        name = step.name
        if step.request is None:
            await self._keeper.forget(name)
            self._registry.forget(name, f"{owner} no longer names it")
            return
        if step.request.credential is not None:
            self._keeper.offer_credential(name, step.request.credential)
        entry = self._keeper.entry(name)
        spec = step.request.spec(None)
        if entry is not None:
            unchanged = step.action is Action.KEEP
            spec = entry.spec if unchanged else changed_spec(entry, step.request, self._keeper.next_number(entry.spec))
        if entry is None or entry.spec.generation != spec.generation:
            self._operations.causes[name] = Cause.APPLY
        self._registry.desire(spec)
        await self._keeper.save(spec, owner=owner, applied=applied_form(step.request))

    async def _adopt(self, found: list[FoundProcess]) -> dict[str, HeldRun | None]:
        """Take over the processes of plugins that are desired; end the others in good order."""
        adopted: dict[str, HeldRun | None] = {}
        for process in found:
            name = process.spec.name
            if name in self._registry.desired and name not in adopted:
                try:
                    self._operations.adopt(process)
                except IocmngError as error:
                    _log.error("the process that serves %s is ended: %s", name, error)
                else:
                    adopted[name] = process.run
                    continue
            await process.handle.stop()
        return adopted

    async def _choose_running(self, names: list[str]) -> None:
        for name in names:
            spec = self._registry.desired.get(name)
            if spec is None or spec.auto_start_on_boot in (None, spec.running):
                continue
            wanted = replace(spec, running=spec.auto_start_on_boot)
            self._registry.desire(wanted)
            try:
                await self._keeper.save(wanted)
            except StateUnavailable as error:
                _log.error("whether %s runs could not be kept: %s", name, error)

    async def _wait_for_lease(self, name: str) -> None:
        """Leave a plugin alone as long as it may run on a node that cannot be seen."""
        entry, spec = self._keeper.entry(name), self._registry.desired[name]
        if entry is None or entry.remote_node is None:
            return
        wait = await self._launcher.unseen_for(entry.remote_node)
        if wait > 0:
            self._watcher.lost(name, f"node {entry.remote_node}, where it ran, cannot be seen", wait, spec.generation)
