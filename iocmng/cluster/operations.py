"""What the control loop does to one plugin: launch, replace, revive, start and stop its cycles, stop it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator

from iocmng.base.identity import short
from iocmng.cluster.bundle_book import BundleBook
from iocmng.cluster.counting import start_counted, timed
from iocmng.cluster.keeper import Keeper
from iocmng.cluster.processes import Processes, killed_on_failure
from iocmng.cluster.registry import Registry
from iocmng.cluster.runs import Runs
from iocmng.cluster.watcher import Watcher
from iocmng.core.lifecycle import LOADING, Phase
from iocmng.core.metrics import PHASE_SECONDS, RESTARTS
from iocmng.core.ports.processes import Bundle, PluginHandle, PluginLauncher
from iocmng.core.spec import PluginSpec, PluginStatus
from iocmng.core.state import Cause
from iocmng.errors import IocmngError, SourceUnavailable, StateUnavailable, WrongState

_log = logging.getLogger(__name__)


class Operations:
    """Each operation leaves the registry and the store true, whatever happens, and no process that they do not know."""

    def __init__(
        self,
        registry: Registry,
        launcher: PluginLauncher,
        keeper: Keeper,
        watcher: Watcher,
        runs: Runs,
        site_prefix: str,
    ) -> None:
        self._registry = registry
        self._launcher = launcher
        self._keeper = keeper
        self._watcher = watcher
        self._bundles = BundleBook(launcher, keeper)
        self._processes = Processes(registry, launcher, keeper, watcher, runs, self._bundles, site_prefix)
        self.causes = self._processes.causes
        self.adopt = self._processes.adopt

    def handle(self, name: str) -> PluginHandle:
        """Return the process of a plugin whose IOC is up.

        Raises:
            WrongState: If it has none.
        """
        if handle := self._watcher.handles.get(name):
            return handle
        raise WrongState(f"{name} is not up; restart it, or look at its status and message")

    async def launch(self, spec: PluginSpec) -> None:
        """Fetch, check and start a plugin that has no process.

        Raises:
            IocmngError: Why it could not be done. Nothing of it is left but the entry: it says REJECTED, or, for a
                plugin that was up once, CRASHED, and is tried again.
        """
        name, observe = spec.name, self._registry.observe
        reason = "start" if spec.files else str(self.causes.get(name, Cause.ADD))
        observe(name, Phase.FETCHING, generation=spec.generation, failures=(), message="", reason=reason, retry_at=None)
        cause = "server" if spec.files else reason
        try:
            async with self._counted(spec, cause) as bundle:
                observe(name, Phase.PREPARING)
                handle = await self._processes.ready(spec, bundle)
                observe(name, Phase.STARTING)
                await self._processes.start(spec, bundle, handle, keep=True)
        except IocmngError as error:
            if spec.files is not None:
                self._watcher.failed(name, error)
            else:
                self._reject(name, error)
                # Its initialize() may have had time to save some.
                await self._launcher.forget_values(frozenset(self._registry.desired) - {name})
            raise
        self.causes.pop(name, None)

    async def replace(self, spec: PluginSpec) -> None:
        """Make a new process ready, stop the old one, start the new one.

        Raises:
            IocmngError: Why the new version could not be started; it says what runs then.
        """
        name, observe, cause = spec.name, self._registry.observe, self.causes.pop(spec.name, Cause.RESTART)
        before = self._registry.observed[name]
        observe(name, Phase.REPLACING, reason=str(cause), retry_at=None)
        try:
            async with self._counted(spec, str(cause)) as bundle:
                handle = await self._processes.ready(spec, bundle)
                async with killed_on_failure(handle):
                    # Kept before the old version is touched: a full disk must not cost the plugin that runs.
                    await self._processes.keep(spec, bundle)
                    await self._processes.end(name, f"{name} was replaced ({cause})")
                    observe(name, Phase.REPLACING, endpoint=None, report=None)
                    await self._start_or_return(spec, bundle, handle)
        except IocmngError as error:
            outcome = await self._settle_old(name, before, error)
            await self._keeper.note_failure(spec, cause, error.message)
            await self._bundles.collect()
            raise with_outcome(error, outcome) from error
        self._registry.tally.count(RESTARTS, name, "asked")
        observe(name, Phase.ACTIVE, restarts=before.restarts + 1)
        await self._keeper.note_start(self._registry.desired.get(name, spec), cause)

    async def revive(self, spec: PluginSpec) -> None:
        """Start a plugin again whose process has ended, from the files it ran from; what fails is tried again later."""
        name = spec.name
        before = self._registry.observed[name]
        self._registry.observe(name, Phase.REPLACING, reason=f"start after: {before.last_exit}", retry_at=None)
        try:
            async with self._counted(spec, "crash") as bundle:
                handle = await self._processes.ready(spec, bundle)
                async with killed_on_failure(handle):
                    await self._processes.start(spec, bundle, handle)
        except IocmngError as error:
            self._watcher.failed(name, error)
        else:
            self._registry.tally.count(RESTARTS, name, "crash")
            self._registry.observe(name, Phase.ACTIVE, restarts=before.restarts + 1)

    async def set_running(self, name: str, running: bool) -> None:
        """Start or stop the cycles of a plugin whose IOC is up."""
        try:
            self._registry.report(name, await self.handle(name).set_running(running))
        except IocmngError:
            if not running:
                # It does it as soon as the author's code returns, or its process is ending; it is not told for ever.
                self._registry.observe(name, self._registry.observed[name].phase, running=False)
            raise
        self._registry.observe(name, self._registry.observed[name].phase, running=running)

    async def stop(self, name: str) -> None:
        """End a plugin's process in good order and forget the plugin."""
        self._registry.observe(name, Phase.STOPPING)
        await self._processes.end(name, f"{name} was removed")
        await self._processes.until_unseen_is_over(name)
        self._processes.running.pop(name, None)
        self._bundles.release(name)
        self._registry.forget(name, "removed")
        await self._bundles.collect()
        await self._launcher.forget_values(frozenset(self._registry.desired))

    async def end(self, name: str) -> None:
        """End a plugin's process in good order; the plugin stays what it is, and comes back at the next start."""
        self._registry.observe(name, Phase.STOPPING, reason="the server ends")
        await self._processes.end(name, "the server was stopped")

    def give_up(self, name: str, error: IocmngError) -> None:
        """After an error of our own, leave the plugin in a state from which it can go on."""
        status = self._registry.observed.get(name)
        if status is None or name not in self._registry.desired:
            return
        if status.phase is Phase.REPLACING and status.endpoint is not None:
            self._registry.observe(name, Phase.ACTIVE)
            self._registry.fall_back(name)
        elif status.phase in LOADING and self._registry.desired[name].files is None:
            self._reject(name, error)
        elif status.phase in LOADING or status.phase is Phase.REPLACING:
            self._watcher.failed(name, error)

    def resume(self, name: str) -> None:
        """Have an action done again that was given up half way."""
        status = self._registry.observed.get(name)
        if status is None:
            return
        if status.phase is Phase.REPLACING and status.endpoint is not None:
            self._registry.observe(name, Phase.ACTIVE)
        elif status.phase is Phase.REPLACING:
            self._registry.observe(name, Phase.CRASHED, retry_at=time.monotonic())
        elif status.phase in LOADING:
            del self._registry.observed[name]

    async def collect(self) -> None:
        """Remove the files and values that belong to no plugin."""
        await self._bundles.collect()
        await self._launcher.forget_values(frozenset(self._registry.desired))

    @contextlib.asynccontextmanager
    async def _counted(self, spec: PluginSpec, cause: str) -> AsyncIterator[Bundle]:
        """Lend the files of a start; count how it ends, and how long it takes."""
        tally = self._registry.tally
        with start_counted(tally, cause):
            async with contextlib.AsyncExitStack() as stack:
                with timed(tally, PHASE_SECONDS, "fetch"):
                    bundle = await stack.enter_async_context(self._bundles.of(spec))
                yield bundle

    async def _start_or_return(self, spec: PluginSpec, bundle: Bundle, handle: PluginHandle) -> None:
        """Start the new version; if it fails, the version that ran before, from its kept bundle."""
        name = spec.name
        try:
            await self._processes.start(spec, bundle, handle)
        except IocmngError:
            if name in self._processes.running:
                old_spec, old_bundle = self._processes.running[name]
                try:
                    await self._processes.start(old_spec, old_bundle, await self._processes.ready(old_spec, old_bundle))
                except IocmngError as error:
                    _log.error("%s: the version that ran before could not be started again: %s", name, error)
            raise

    async def _settle_old(self, name: str, before: PluginStatus, error: IocmngError) -> str:
        """After a failed replacement, desire what was before; return in words what runs now."""
        self._registry.fall_back(name)
        status, spec = self._registry.observed[name], self._registry.desired.get(name)
        if spec is not None and (entry := self._keeper.entry(name)) and entry.spec != spec:
            try:
                await self._keeper.save(spec)
            except StateUnavailable as trouble:
                _log.error("%s: after a restart of the server its failed version would be tried: %s", name, trouble)
        commit = f" ({short(spec.files.commit)})" if spec and spec.files else ""
        version = f"generation {status.generation}{commit}"
        if status.endpoint is None:
            self._watcher.failed(name, error, "neither version starts")
            return f"{version} could not be started again; it is tried again later"
        if status.phase is Phase.REPLACING:  # untouched
            self._registry.observe(name, Phase.ACTIVE, facts=before.facts, reason=f"the new version failed: {error}")
            self._processes.claim(name, ())
            return f"{version} runs on"
        self._processes.claim(name, ())
        return f"{version} was started again"

    def _reject(self, name: str, error: IocmngError) -> None:
        self._registry.observe(
            name, Phase.REJECTED, failures=error.failures, message=error.message, facts=None, endpoint=None, report=None
        )
        self._registry.release_records(name)
        if isinstance(error, SourceUnavailable):
            self._watcher.try_again(name)


def with_outcome(error: IocmngError, outcome: str) -> IocmngError:
    """Return the error of a failed replacement, which says what runs now."""
    told = type(error)(f"{error.message}; {outcome}")
    told.failures = error.failures
    return told
