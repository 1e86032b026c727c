"""What all calls of the Controller share: its parts, and how a plugin is found and waited for."""

from __future__ import annotations

import asyncio

from iocmng.cluster.audit_book import AuditBook
from iocmng.cluster.control_loop import ControlLoop
from iocmng.cluster.keeper import Keeper
from iocmng.cluster.operations import Operations
from iocmng.cluster.registry import Registry
from iocmng.cluster.runs import Runs
from iocmng.cluster.watcher import Watcher
from iocmng.core.backoff import RestartPolicy
from iocmng.core.builtin_pvs import Kind
from iocmng.core.lifecycle import LOADING, Phase
from iocmng.core.ports.processes import PluginLauncher
from iocmng.core.ports.store import StateStore
from iocmng.core.runs import RunLimits
from iocmng.core.spec import PluginSpec
from iocmng.errors import IocmngError, ServerUnavailable, UnknownPlugin, WrongKind, WrongState


class Calls:
    """The parts of the Controller, put together.

    Args:
        launcher: Makes the plugins' processes.
        store: Keeps what must outlive this process.
        site_prefix: PREFIX of all PVs.
        policy: When plugins that ended by themselves are started again.
        generations_kept: How many generations of each plugin can be rolled back to.
        run_limits: What the settings say of the runs of jobs.
    """

    def __init__(
        self,
        launcher: PluginLauncher,
        store: StateStore,
        site_prefix: str,
        policy: RestartPolicy,
        generations_kept: int,
        run_limits: RunLimits,
    ) -> None:
        registry = self._registry = Registry()
        keeper = self._keeper = Keeper(store, generations_kept)
        self._audit = AuditBook(keeper)
        registry.on_event = keeper.add_event
        registry.on_write = self._audit.note_put
        registry.owner_of = lambda name: entry.owner if (entry := keeper.entry(name)) else None
        wake = asyncio.Event()
        self._watcher = Watcher(registry, policy, wake.set)
        self._runs = Runs(registry, keeper, self._watcher, run_limits)
        self._operations = Operations(registry, launcher, keeper, self._watcher, self._runs, site_prefix)
        self._loop = ControlLoop(registry, self._operations, policy.stable_after, wake)
        self._ends = False

    async def _settled(self, name: str) -> int:
        """Wait until the plugin is as desired; return the version that shows it, or raise with that version."""
        try:
            await self._loop.settled(name)
        except IocmngError as error:
            error.snapshot_version = self._registry.announced
            raise
        return self._registry.announced

    def _check_open(self) -> None:
        """Raise ServerUnavailable once the end has begun: a change would be half done."""
        if self._ends:
            raise ServerUnavailable("the server is ending; nothing was changed")

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

    async def _find_idle(self, name: str, kind: Kind | None) -> PluginSpec:
        """Return what is desired of a plugin to which nothing is being done; give up a start that nobody asked for."""
        self._find(name, kind)
        self._check_open()
        if self._loop.is_reviving(name):
            self._loop.held.add(name)
            try:
                await self._loop.cancel(name)
                self._operations.resume(name)
            finally:
                self._loop.held.discard(name)
        spec, status = self._find(name, kind), self._registry.observed.get(name)
        if status is not None and status.phase is Phase.ACTIVE and self._loop.is_busy(name):
            await self._loop.idle(name)  # it is up and about to be done
            spec, status = self._find(name, kind), self._registry.observed.get(name)
        if self._loop.is_busy(name) or status is None or status.phase in LOADING:
            raise WrongState(f"{name} is being started, stopped or replaced; try again when that has ended")
        return spec
