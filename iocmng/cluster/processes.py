"""What is done with the process of one plugin: make it ready, start it, take it over, end it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

from iocmng.cluster.bundle_book import BundleBook
from iocmng.cluster.counting import timed
from iocmng.cluster.keeper import Keeper
from iocmng.cluster.registry import Registry
from iocmng.cluster.run_workers import Further
from iocmng.cluster.runs import Runs
from iocmng.cluster.watcher import Watcher
from iocmng.core.lifecycle import Phase
from iocmng.core.metrics import PHASE_SECONDS
from iocmng.core.ports.processes import Bundle, FoundProcess, Placement, PluginHandle, PluginLauncher
from iocmng.core.spec import FilesRef, PluginSpec, RecordInfo
from iocmng.core.state import Cause


class Processes:
    """The plugins' processes. Whatever fails, no process is left that nobody knows.

    Attributes:
        running: What runs, or ran last, by name.
        causes: Why the generation that is desired came to be, by name, until it has started.
    """

    def __init__(
        self,
        registry: Registry,
        launcher: PluginLauncher,
        keeper: Keeper,
        watcher: Watcher,
        runs: Runs,
        bundles: BundleBook,
        site_prefix: str,
    ) -> None:
        self._registry = registry
        self._launcher = launcher
        self._keeper = keeper
        self._watcher = watcher
        self._runs = runs
        self._bundles = bundles
        self._site_prefix = site_prefix
        runs.spawn_with(self.further)
        self.running: dict[str, tuple[PluginSpec, Bundle]] = {}
        self.causes: dict[str, Cause] = {}

    def adopt(self, found: FoundProcess) -> None:
        """Take over a process that an earlier Controller has started.

        Raises:
            PluginRejected: If it serves records of another plugin.
        """
        name = found.spec.name
        self._registry.claim_records(name, names_of(found.endpoint.records))
        self.running[name] = (found.spec, found.bundle)
        self._bundles.use(name, found.bundle)
        self._registry.observe(
            name,
            Phase.ACTIVE,
            generation=found.spec.generation,
            running=found.running,
            facts=found.facts,
            endpoint=found.endpoint,
            report=found.report.kept(),
            reason="the Controller has begun anew; the plugin ran on",
        )
        self._registry.report(name, found.report)
        self._watcher.follow(name, found.handle, found.bundle.manifest.watchdog)

    async def keep(self, spec: PluginSpec, bundle: Bundle) -> None:
        """Keep what is desired now, with the files that this generation starts from.

        Raises:
            StateUnavailable: If that cannot be kept.
        """
        name, files = spec.name, FilesRef(bundle.digest, bundle.commit, bundle.branch, bundle.signed_by)
        if name in self._registry.desired and self._registry.desired[name].generation == spec.generation:
            wanted = self._registry.desired[name] = replace(self._registry.desired[name], files=files)
            entry = self._keeper.entry(name)
            if entry is None or entry.spec != wanted:
                await self._keeper.save(wanted)

    async def ready(self, spec: PluginSpec, bundle: Bundle) -> PluginHandle:
        """Return a process that has the plugin imported, checked and built, and serves nothing yet."""
        serving = self._registry.observed[spec.name].endpoint
        resources, labels = {**bundle.manifest.resources, **spec.resources}, {**bundle.manifest.node, **spec.node}
        placement = Placement(resources, labels, serving.node if serving else None)
        with timed(self._registry.tally, PHASE_SECONDS, "prepare"):
            handle = await self._launcher.take_process(placement)
            async with killed_on_failure(handle, note_lines=self._lines_of(spec)):
                facts = await handle.prepare(spec, bundle, self._site_prefix)
                records = await handle.build()
                self.claim(spec.name, records)  # beside those of the version that still serves, if there is one
                self._registry.observe(spec.name, self._registry.observed[spec.name].phase, facts=facts)
        return handle

    async def further(self, name: str) -> Further:
        """Return a further process of a job that is up, for runs alone, and its watchdog.

        Raises:
            IocmngError: Why there can be none.
        """
        spec, bundle = self.running[name]
        resources, labels = {**bundle.manifest.resources, **spec.resources}, {**bundle.manifest.node, **spec.node}
        handle = await self._launcher.take_process(Placement(resources, labels))
        async with killed_on_failure(handle):
            await handle.prepare_runs(spec, bundle, self._site_prefix)
        return handle, bundle.manifest.watchdog

    async def start(self, spec: PluginSpec, bundle: Bundle, handle: PluginHandle, *, keep: bool = False) -> None:
        """Have a process that is ready serve its plugin, and watch it from then on.

        Args:
            spec: What it was made ready for.
            bundle: What it was made ready from.
            handle: The process; it is killed if it does not start.
            keep: Whether the spec has to be kept in the store, too, before the plugin is said to be up.

        Raises:
            IocmngError: Why it does not start, or cannot be kept.
        """
        name = spec.name
        noting = self._lines_of(spec)
        async with killed_on_failure(handle, lambda seconds: self._watcher.unseen.note(name, seconds), noting):
            await self.until_unseen_is_over(name)
            await self._keeper.note_node(name, handle.remote_node)
            with timed(self._registry.tally, PHASE_SECONDS, "start"):
                endpoint, report = await handle.start(spec.running)
            if keep:
                await self.keep(spec, bundle)
                await self._keeper.note_node(name, handle.remote_node)
                if cause := self.causes.pop(name, None):
                    await self._keeper.note_start(self._registry.desired.get(name, spec), cause)
        self.running[name] = (spec, bundle)
        self._bundles.use(name, bundle)
        self._registry.observe(
            name,
            Phase.ACTIVE,
            generation=spec.generation,
            running=spec.running,
            failures=(),
            message="",
            endpoint=endpoint,
            report=report.kept(),
            silent=False,
            next_try=None,
        )
        self._registry.report(name, report)
        self.claim(name, ())  # those that it serves, and no more
        self._watcher.follow(name, handle, bundle.manifest.watchdog)

    def _lines_of(self, spec: PluginSpec) -> Callable[[Sequence[str]], None]:
        """Return what keeps log lines of a process that did not come to serve."""

        def note(lines: Sequence[str]) -> None:
            if lines and spec.name in self._registry.desired:
                self._registry.log(spec.name, lines, spec.generation)

        return note

    async def end(self, name: str, why: str) -> None:
        """End a plugin's processes in good order, if it has any; its runs are cancelled, and say why."""
        handle = self._watcher.release(name)
        self._runs.leave(name, why)
        if handle is not None:
            try:
                last = await handle.stop()
            finally:
                self._watcher.unseen.note(name, await handle.unseen_for())
                self._registry.log(name, handle.last_lines)
            if last is not None:
                self._registry.report(name, last)
        await self._runs.left(name)

    async def until_unseen_is_over(self, name: str) -> None:
        """Wait as long as a process that cannot be reached may serve the plugin's PVs."""
        if left := self._watcher.unseen.left(name):
            message = f"waits {left:.0f} s: until then a node that cannot be reached may serve its PVs"
            self._registry.observe(name, self._registry.observed[name].phase, message=message)
            await self._watcher.unseen.over(name)

    def claim(self, name: str, records: tuple[RecordInfo, ...]) -> None:
        """Reserve the records that a plugin serves, and these beside them.

        Raises:
            PluginRejected: If one belongs to another plugin.
        """
        status = self._registry.observed[name]
        serving = status.endpoint.records if status.endpoint is not None else ()
        self._registry.claim_records(name, names_of((*records, *serving)))


def names_of(records: Iterable[RecordInfo]) -> set[str]:
    """Return all names that records answer to."""
    return {name for record in records for name in record.names}


@contextlib.asynccontextmanager
async def killed_on_failure(
    handle: PluginHandle,
    note_unseen: Callable[[float], None] = lambda _: None,
    note_lines: Callable[[Sequence[str]], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Kill the process if the block fails or is cancelled, and see to the end of it in either case.

    Args:
        handle: The process.
        note_unseen: Told for how many seconds it may serve PVs nevertheless, because its node cannot be reached.
        note_lines: Told what it has logged and not reported.
    """

    async def kill() -> None:
        await handle.kill()
        note_lines(handle.last_lines)
        note_unseen(await handle.unseen_for())

    try:
        yield
    except BaseException:
        await _to_the_end(kill())
        raise


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await the work even if the one who waits is cancelled once more."""
    await asyncio.shield(asyncio.ensure_future(work))
