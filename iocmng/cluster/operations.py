"""What the control loop does to one plugin: launch, replace, start and stop its cycles, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from iocmng.cluster.registry import Registry
from iocmng.core.lifecycle import Phase
from iocmng.core.ports import Bundle, PluginHandle, PluginLauncher
from iocmng.core.spec import PluginSpec, RecordInfo
from iocmng.errors import IocmngError, PluginCrashed, WrongState

_log = logging.getLogger(__name__)


class Operations:
    """Each operation leaves the registry true, whatever happens, and no process that the registry does not know."""

    def __init__(self, registry: Registry, launcher: PluginLauncher, site_prefix: str) -> None:
        self._registry = registry
        self._launcher = launcher
        self._site_prefix = site_prefix
        self._handles: dict[str, PluginHandle] = {}
        self._running: dict[str, tuple[PluginSpec, Bundle]] = {}
        self._fetched: dict[tuple[str, int], Bundle] = {}
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._fetching = 0
        self._collecting = asyncio.Lock()
        self.credentials: dict[str, str] = {}

    def handle(self, name: str) -> PluginHandle:
        """Return the process of a plugin whose IOC is up.

        Raises:
            WrongState: If it has none.
        """
        try:
            return self._handles[name]
        except KeyError:
            raise WrongState(f"{name} is not up; restart it, or look at its status and message") from None

    async def launch(self, spec: PluginSpec) -> None:
        """Fetch, check and start a plugin that has no process.

        Raises:
            IocmngError: Why it could not be done; nothing of it is left but the entry, which says REJECTED.
        """
        observe = self._registry.observe
        observe(spec.name, Phase.FETCHING, generation=spec.generation, failures=(), message="", running=spec.running)
        try:
            bundle = await self._fetch(spec)
            observe(spec.name, Phase.PREPARING)
            handle = await self._ready_process(spec, bundle)
            observe(spec.name, Phase.STARTING)
            await self._start(spec, bundle, handle)
        except IocmngError as error:
            observe(spec.name, Phase.REJECTED, failures=error.failures, message=error.message, facts=None)
            self._registry.release_records(spec.name)
            raise
        finally:
            await self._collect_bundles(spec)

    async def replace(self, spec: PluginSpec) -> None:
        """Make a new process ready, stop the old one, start the new one.

        Raises:
            IocmngError: Why the new version could not be started; the old one runs then.
        """
        name, observe = spec.name, self._registry.observe
        before = self._registry.observed[name]
        observe(name, Phase.REPLACING)
        try:
            bundle = await self._fetch(spec)
            handle = await self._ready_process(spec, bundle)
            async with _killed_on_failure(handle):
                await self._end_process(name)
                await self._start_or_revive(spec, bundle, handle)
        except IocmngError:
            if self._registry.observed[name].phase is Phase.REPLACING:
                observe(name, before.phase, facts=before.facts)
            if self._registry.observed[name].endpoint is not None:
                self._claim(name, ())
            raise
        else:
            observe(name, Phase.ACTIVE, restarts=before.restarts + 1)
        finally:
            await self._collect_bundles(spec)

    async def set_running(self, name: str, running: bool) -> None:
        """Start or stop the cycles of a plugin whose IOC is up."""
        self._registry.report(name, await self.handle(name).set_running(running))
        self._registry.observe(name, self._registry.observed[name].phase, running=running)

    async def stop(self, name: str) -> None:
        """End a plugin's process in good order and forget the plugin."""
        self._registry.observe(name, Phase.STOPPING)
        await self._end_process(name)
        self._running.pop(name, None)
        self.credentials.pop(name, None)
        self._registry.forget(name)
        await self._collect_bundles()

    async def _fetch(self, spec: PluginSpec) -> Bundle:
        async with self._collecting:  # what is being removed must not be found by a fetch
            self._fetching += 1
        try:
            bundle = await self._launcher.fetch(spec.source, self.credentials.get(spec.name))
            self._fetched[spec.name, spec.generation] = bundle
            return bundle
        finally:
            self._fetching -= 1

    async def _ready_process(self, spec: PluginSpec, bundle: Bundle) -> PluginHandle:
        """Return a process that has the plugin imported, checked and built, and serves nothing yet."""
        handle = await self._launcher.take_process()
        async with _killed_on_failure(handle):
            facts = await handle.prepare(spec, bundle, self._site_prefix)
            records = await handle.build()
            self._claim(spec.name, records)  # beside those of the version that still serves, if there is one
            self._registry.observe(spec.name, self._registry.observed[spec.name].phase, facts=facts)
        return handle

    async def _start(self, spec: PluginSpec, bundle: Bundle, handle: PluginHandle) -> None:
        name = spec.name
        async with _killed_on_failure(handle):
            endpoint, report = await handle.start(spec.running)
        self._handles[name] = handle
        self._running[name] = (spec, bundle)
        changes = {"generation": spec.generation, "running": spec.running, "failures": (), "message": ""}
        self._registry.observe(name, Phase.ACTIVE, endpoint=endpoint, report=None, **changes)
        self._registry.report(name, report)
        self._claim(name, ())  # those that it serves, and no more
        self._followers[name] = asyncio.create_task(self._follow(name, handle))

    async def _start_or_revive(self, spec: PluginSpec, bundle: Bundle, handle: PluginHandle) -> None:
        try:
            await self._start(spec, bundle, handle)
        except IocmngError:
            await self._revive(spec.name)
            raise

    async def _revive(self, name: str) -> None:
        """Start the version again that ran before, from its kept bundle."""
        if name not in self._running:
            return
        spec, bundle = self._running[name]
        try:
            await self._start(spec, bundle, await self._ready_process(spec, bundle))
        except IocmngError as error:
            _log.error("%s: the version that ran before could not be started again: %s", name, error)
            self._registry.observe(name, Phase.CRASHED, message=f"neither version starts: {error}", endpoint=None)

    async def _end_process(self, name: str) -> None:
        if follower := self._followers.pop(name, None):
            follower.cancel()
        if handle := self._handles.pop(name, None):
            last = await handle.stop()
            if last is not None:
                self._registry.report(name, last)

    async def _follow(self, name: str, handle: PluginHandle) -> None:
        """Pass on what the process says; the same outstanding call tells of its end at once."""
        try:
            while True:
                self._registry.report(name, await handle.next_report())
        except PluginCrashed as error:
            _log.error("%s crashed: %s", name, error)
            self._handles.pop(name, None)
            message = f"{error}; start it again with POST /plugins/{name}/restart"
            self._registry.observe(name, Phase.CRASHED, message=message, report=None, endpoint=None)

    def _claim(self, name: str, records: tuple[RecordInfo, ...]) -> None:
        status = self._registry.observed[name]
        serving = status.endpoint.records if status.endpoint is not None else ()
        self._registry.claim_records(name, {record.name for record in (*records, *serving)})

    async def _collect_bundles(self, done: PluginSpec | None = None) -> None:
        """Remove the files that no plugin uses, unless a fetch is under way that could be about to use them.

        Args:
            done: The spec whose launch or replacement has ended; what it fetched is in use by now, or not needed.
        """
        if done is not None:
            self._fetched.pop((done.name, done.generation), None)
        async with self._collecting:
            if self._fetching == 0:
                used = [bundle for _, bundle in self._running.values()] + list(self._fetched.values())
                await self._launcher.forget_bundles(frozenset(bundle.digest for bundle in used))


@contextlib.asynccontextmanager
async def _killed_on_failure(handle: PluginHandle) -> AsyncIterator[None]:
    """Kill the process if the block fails or is cancelled, and see to the end of it in either case."""
    try:
        yield
    except BaseException:
        await _to_the_end(handle.kill())
        raise


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await the work even if the one who waits is cancelled once more."""
    await asyncio.shield(asyncio.ensure_future(work))
