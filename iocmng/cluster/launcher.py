"""RayLauncher: fetches in Ray tasks, and runs plugins in Ray actors of which some wait warm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iocmng.cluster.last_words import LastWords
from iocmng.cluster.names import NAMESPACE, PROCESS_PREFIX
from iocmng.cluster.nodes import check_placement, lease_bound, node_is_alive
from iocmng.cluster.plugin_actor import PluginProcess, Served
from iocmng.cluster.ray_errors import plugin_call
from iocmng.core.ports import ANYWHERE, Bundle, FoundProcess, Placement
from iocmng.core.source import Source
from iocmng.core.spec import Endpoint, FilesRef, PluginFacts, PluginSpec, RecordInfo, Report
from iocmng.errors import CheckFailure, IocmngError, PluginCrashed, PluginRejected, ServerUnavailable, TimedOut
from iocmng.loading.bundles import forget_bundles, open_bundle, pack_bundle
from iocmng.loading.fetch import fetch
from iocmng.loading.values import forget_values
from iocmng.settings import Settings

GONE_TIMEOUT = 5.0
"""Seconds that a killed process may take to vanish."""

FOUND_TIMEOUT = 15.0
"""Seconds in which a process that an earlier Controller has left must say what it serves."""

WARM_TRIES = 2
WARM_TIMEOUT = 60.0
"""Seconds until a process must have loaded its libraries; on a loaded machine it takes five."""

_log = logging.getLogger(__name__)


class RayPluginHandle:
    """One plugin process, as a Ray actor; implements core.ports.PluginHandle.

    The actor is detached and named: it outlives the Controller, and the next one finds it.
    """

    def __init__(self, settings: Settings, placement: Placement = ANYWHERE, *, found: Any = None) -> None:
        self._settings = settings
        self._pid = 0  # known where the process runs on this node
        self._node: str | None = None
        self._last_call = time.monotonic()
        self._last_words: LastWords | None = None
        self._actor: Any = found or _new_actor(settings, placement)
        self.warmed = asyncio.ensure_future(self._warm())

    async def _warm(self) -> None:
        pid, node = await plugin_call(self._actor.warm.remote())
        self._node = node
        self._pid = pid if node == _own_node() else 0

    @property
    def remote_node(self) -> str | None:
        """The node it runs on, if that is another one than ours."""
        return self._node if self._node != _own_node() else None

    async def describe(self) -> Served | None:
        """Return what the process serves, or None."""
        return await plugin_call(self._actor.describe.remote())

    async def prepare(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> PluginFacts:
        """Import and check the plugin in its process."""
        settings = self._settings
        if self.remote_node is not None and not await plugin_call(self._actor.has_files.remote(bundle)):
            packed = await asyncio.to_thread(pack_bundle, bundle, settings)
            await plugin_call(self._actor.receive.remote(packed, settings))
        if self.remote_node is None:
            self._last_words = await asyncio.to_thread(LastWords, settings)
            await plugin_call(self._actor.note_fatal_signals.remote(str(self._last_words.file)))
        call = self._actor.prepare.remote(spec, bundle, site_prefix, settings)
        return await self._limited(call, "import", settings.import_timeout)

    async def build(self) -> tuple[RecordInfo, ...]:
        """Make the plugin's object and its records."""
        return await self._limited(self._actor.build.remote(), "constructor", self._settings.initialize_timeout)

    async def start(self, running: bool) -> tuple[Endpoint, Report]:
        """Serve the PVs and, if running, begin with initialize() and the cycles."""
        return await self._limited(self._actor.start.remote(running), "initialize", self._settings.initialize_timeout)

    async def next_report(self, within: float) -> Report:
        """Wait until there is something new to tell, or so many seconds; renews the lease."""
        self._last_call = time.monotonic()
        lease = self._settings.lease if self.remote_node is not None else None
        return await self._told(self._actor.next_report.remote(within, lease))

    async def unseen_for(self) -> float:
        """Return the seconds for which the process may still serve its PVs."""
        if self.remote_node is None or await asyncio.to_thread(node_is_alive, self.remote_node):
            return 0.0
        return max(0.0, self._last_call + lease_bound(self._settings) - time.monotonic())

    async def set_running(self, running: bool) -> Report:
        """Start or stop the cycles."""
        call = self._actor.set_running.remote(running)
        if running:
            return await self._limited(call, "initialize", self._settings.initialize_timeout)
        limit = self._settings.stop_timeout
        try:
            return await asyncio.wait_for(plugin_call(call), limit)
        except TimeoutError:
            raise TimedOut(
                f"the task did not stop within {limit:g} s: execute() or cleanup() has not returned. It stops when it "
                "does; restart or remove the plugin to end its process"
            ) from None

    async def run_job(self, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], Report]:
        """Run the job once."""
        return await plugin_call(self._actor.run_job.remote(parameters))

    async def stop(self) -> Report | None:
        """Run cleanup(), then end the process; kill it where that takes too long."""
        last: Report | None = None
        try:
            last = await asyncio.wait_for(plugin_call(self._actor.end.remote()), self._settings.stop_timeout)
        except TimeoutError:
            _log.warning("cleanup() took longer than %s s; its process is killed", self._settings.stop_timeout)
        except PluginCrashed:
            pass
        finally:
            await self.kill()
        return last

    async def kill(self) -> None:
        """End the process now, and return when it is gone, its PVs with it."""
        self.warmed.cancel()
        ray.kill(self._actor)
        with contextlib.suppress(TimeoutError, IocmngError):
            await asyncio.wait_for(plugin_call(self._actor.__ray_ready__.remote()), GONE_TIMEOUT)
        deadline = asyncio.get_running_loop().time() + GONE_TIMEOUT
        while _is_alive(self._pid) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  not our child
            await asyncio.sleep(0.01)
        if self._last_words is not None:
            self._last_words.forget()

    async def _told(self, call: Any) -> Any:
        """Await a call; if the process is gone, say as much of its end as can be known."""
        try:
            return await plugin_call(call)
        except PluginCrashed as error:
            words = self._last_words.read() if self._last_words else None
            raise PluginCrashed(f"{error}: {words}" if words else str(error)) from None

    async def _limited(self, call: Any, step: str, limit: float) -> Any:
        """Await a call that runs author's code; what goes wrong names the step."""
        try:
            return await asyncio.wait_for(self._told(call), limit)
        except TimeoutError:
            raise PluginRejected.because(CheckFailure(step, f"did not end within {limit:g} s")) from None
        except PluginCrashed as error:
            raise PluginRejected.because(CheckFailure(step, str(error))) from None


class RayLauncher:
    """Makes bundles and processes; implements core.ports.PluginLauncher."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._warm: deque[RayPluginHandle] = deque()
        self._began = time.monotonic()
        # A fetch needs no whole CPU: it waits for the network most of the time. The bundles lie where the state lies.
        here = NodeAffinitySchedulingStrategy(_own_node(), soft=False)
        self._fetch: Any = ray.remote(fetch).options(num_cpus=0, max_retries=0, scheduling_strategy=here)

    async def fetch(self, source: Source, pat: str | None) -> Bundle:
        """Fetch the source in a process that alone holds the credential."""
        call = self._fetch.remote(source, pat, self._settings)
        try:
            return await plugin_call(call)
        except asyncio.CancelledError:
            ray.cancel(call)
            raise

    async def reopen(self, files: FilesRef) -> Bundle | None:
        """Return a bundle that was kept, if it is there and intact."""
        return await asyncio.to_thread(open_bundle, files, self._settings)

    async def forget_bundles(self, keep: frozenset[str]) -> None:
        """Remove the files of all bundles except those to be kept."""
        await asyncio.to_thread(forget_bundles, self._settings, keep)

    async def forget_values(self, keep: frozenset[str]) -> None:
        """Remove the saved PV values of all plugins except those to be kept."""
        await asyncio.to_thread(forget_values, self._settings, keep)

    def fill(self) -> None:
        """Start as many warm processes as are missing."""
        while len(self._warm) < self._settings.warm_processes:
            self._warm.append(RayPluginHandle(self._settings))

    async def take_process(self, placement: Placement = ANYWHERE) -> RayPluginHandle:
        """Return a process that waits for a plugin, a warm one where there is one that will do."""
        if placement != ANYWHERE:
            await asyncio.to_thread(check_placement, placement)
        for _ in range(WARM_TRIES):
            handle = self._next_process(placement)
            try:
                await asyncio.wait_for(asyncio.shield(handle.warmed), WARM_TIMEOUT)
            except (IocmngError, TimeoutError) as error:
                _log.warning("a process ended before it was used, or did not start: %r", error)
                await handle.kill()
            except asyncio.CancelledError:
                await asyncio.shield(asyncio.ensure_future(handle.kill()))
                raise
            else:
                return handle
        raise ServerUnavailable(
            "no process could be started for the plugin; see with `ray status` whether memory and CPUs are left"
        )

    def _next_process(self, placement: Placement) -> RayPluginHandle:
        if placement != ANYWHERE:
            return RayPluginHandle(self._settings, placement)
        asyncio.get_running_loop().call_soon(self.fill)
        return self._warm.popleft() if self._warm else RayPluginHandle(self._settings)

    async def find_processes(self) -> list[FoundProcess]:
        """Return the processes that an earlier Controller has left and that serve a plugin."""
        actors: Any = ray.util.list_named_actors(all_namespaces=True)
        found = await asyncio.gather(*(self._look_at(actor["name"]) for actor in actors if _is_ours(actor)))
        self.fill()
        return [process for process in found if process is not None]

    async def _look_at(self, name: str) -> FoundProcess | None:
        try:
            handle = RayPluginHandle(self._settings, found=ray.get_actor(name, namespace=NAMESPACE))
        except ValueError:  # it has just ended
            return None
        try:
            async with asyncio.timeout(FOUND_TIMEOUT):
                await asyncio.shield(handle.warmed)
                served = await handle.describe()
        except (IocmngError, TimeoutError) as error:
            _log.error("the process %s does not answer and is ended: %r", name, error)
            await handle.kill()
            return None
        if served is None:
            await handle.kill()
            return None
        return FoundProcess(
            handle, served.spec, served.bundle, served.facts, served.endpoint, served.report, served.running
        )

    async def unseen_for(self, node: str) -> float:
        """Return the seconds for which processes on a node may still serve PVs that we cannot see."""
        if await asyncio.to_thread(node_is_alive, node):
            return 0.0  # its processes were found, or are gone
        return max(0.0, self._began + lease_bound(self._settings) - time.monotonic())

    async def close(self) -> None:
        """End the warm processes."""
        while self._warm:
            await self._warm.popleft().kill()


def _new_actor(settings: Settings, placement: Placement) -> Any:
    options: dict[str, Any] = {
        "name": f"{PROCESS_PREFIX}{uuid.uuid4().hex}",
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "num_cpus": settings.plugin_cpus,
        # Restarts are the Controller's business: Ray alone would bring back an empty process.
        "max_restarts": 0,
        "max_task_retries": 0,
    }
    if placement.resources:
        options["resources"] = dict(placement.resources)
    if placement.labels:
        options["label_selector"] = dict(placement.labels)
    return ray.remote(PluginProcess).options(**options).remote()  # pyright: ignore[reportAttributeAccessIssue]


def _is_ours(actor: Mapping[str, str]) -> bool:
    return actor["namespace"] == NAMESPACE and actor["name"].startswith(PROCESS_PREFIX)


def _own_node() -> str:
    return ray.get_runtime_context().get_node_id()


def _is_alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
