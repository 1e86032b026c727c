"""RayLauncher: fetches in Ray tasks, and runs plugins in Ray actors of which some wait warm."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import uuid
from collections import deque
from collections.abc import Coroutine, Mapping
from functools import cache
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iocmng.base.log_output import LogContext, show_log
from iocmng.base.no_tracing import NoTracing
from iocmng.cluster.handle import RayPluginHandle
from iocmng.cluster.last_words import LastWords, forget_words
from iocmng.cluster.names import NAMESPACE, PROCESS_PREFIX
from iocmng.cluster.nodes import is_reachable, lease_bound, own_node
from iocmng.cluster.placing import place_with_share, share_of
from iocmng.cluster.plugin_actor import PluginProcess
from iocmng.cluster.ray_errors import plugin_call
from iocmng.cluster.served import ForRuns
from iocmng.cluster.shipping import Shipping
from iocmng.cluster.uploads import digest_of_upload, with_uploads
from iocmng.core.devices import DeviceTable
from iocmng.core.ports.processes import ANYWHERE, Bundle, FoundFurther, FoundProcess, Placement
from iocmng.core.ports.tracing import Tracing
from iocmng.core.pv_access import access_rules
from iocmng.core.source import Source
from iocmng.core.spec import FilesRef
from iocmng.errors import IocmngError, PluginCrashed, ServerUnavailable
from iocmng.loading.bundles import forget_bundles
from iocmng.loading.fetch import fetch, reopen
from iocmng.loading.plugin_users import PluginUsers
from iocmng.loading.values import forget_values
from iocmng.settings import Settings

FOUND_TIMEOUT = 15.0
"""Seconds in which a process that an earlier Controller has left must say what it serves."""

PROCESSES_MADE = 100
"""Actors that one process makes before another one takes its place."""

WARM_TRIES = 2
WARM_TIMEOUT = 60.0
"""Seconds until a process must have loaded its libraries; on a loaded machine it takes five."""

_log = logging.getLogger(__name__)


class RayLauncher:
    """Makes bundles and processes; implements core.ports.processes.PluginLauncher."""

    def __init__(
        self,
        settings: Settings,
        devices: DeviceTable | None = None,
        access: str | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._tracing = tracing or NoTracing()
        self._access = access or access_rules((), ())
        self._devices = devices or DeviceTable()
        self._warm: deque[RayPluginHandle] = deque()
        self._began = time.monotonic()
        self._shipping = Shipping(settings)
        self._users = PluginUsers(settings)
        self._lookups: dict[str, asyncio.Future[bool]] = {}
        # A fetch needs no whole CPU: it waits for the network most of the time. The bundles lie where the state lies.
        here = NodeAffinitySchedulingStrategy(own_node(), soft=False)
        task: Any = ray.remote(fetch_until_cancelled)
        self._fetch = task.options(num_cpus=0, max_retries=0, scheduling_strategy=here)
        # Ray keeps 20 kB for good of each actor in the process that makes it; here, in one that ends after a while.
        make: Any = ray.remote(num_cpus=0, max_retries=0, max_calls=PROCESSES_MADE)(make_process)
        self._make = make.options(scheduling_strategy=here)

    async def fetch(self, source: Source, credential: str | None) -> Bundle:
        """Fetch the source in a process that alone holds the credential."""
        with self._tracing.span("plugin.fetch"):
            call = self._fetch.remote(source, credential, with_uploads(self._settings))
            try:
                return await plugin_call(call)
            except asyncio.CancelledError:
                ray.cancel(call)
                raise

    async def reopen(self, source: Source, files: FilesRef) -> Bundle | None:
        """Return a bundle that was kept, if it is there, intact and still allowed."""
        return await asyncio.to_thread(reopen, source, files, self._settings)

    async def contents_of(self, source: Source) -> str | None:
        """Return the digest of a directory that a Ray job has brought along."""
        return await asyncio.to_thread(digest_of_upload, source)

    async def forget_bundles(self, keep: frozenset[str]) -> None:
        """Remove the files of all bundles except those to be kept."""
        await asyncio.to_thread(forget_bundles, self._settings, keep)
        self._shipping.tidy("bundles", keep)

    async def forget_values(self, keep: frozenset[str]) -> None:
        """Remove the saved PV values of all plugins except those to be kept."""
        await asyncio.to_thread(forget_values, self._settings, keep)
        await asyncio.to_thread(self._users.forget, keep)
        self._shipping.tidy("values", keep)

    def fill(self) -> None:
        """Start as many warm processes as are missing."""
        while len(self._warm) < self._settings.warm_processes:
            self._warm.append(self._new_process())

    async def take_process(self, placement: Placement = ANYWHERE) -> RayPluginHandle:
        """Return a process that waits for a plugin, a warm one where there is one that will do."""
        with self._tracing.span("plugin.process"):
            return await self._taken(placement)

    async def _taken(self, placement: Placement) -> RayPluginHandle:
        settings = self._settings
        wishes = await place_with_share(placement, settings.plugin_resource, settings.plugin_node_timeout)
        for _ in range(WARM_TRIES):
            handle = self._next_process(wishes)
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

    def _next_process(self, wishes: dict[str, Any] | None) -> RayPluginHandle:
        if wishes is not None:
            return self._new_process(wishes)
        asyncio.get_running_loop().call_soon(self.fill)
        return self._warm.popleft() if self._warm else self._new_process()

    def _new_process(self, wishes: Mapping[str, Any] | None = None) -> RayPluginHandle:
        wishes = wishes or {"resources": share_of(self._settings.plugin_resource)}
        return self._handle(plugin_call(self._make.remote(self._settings.plugin_cpus, wishes)))

    def _handle(self, actor: Coroutine[Any, Any, Any]) -> RayPluginHandle:
        return RayPluginHandle(
            self._settings, actor, self._shipping, self._devices, self._access, self._users, self._tracing
        )

    async def find_processes(self) -> list[FoundProcess | FoundFurther]:
        """Return the processes that an earlier Controller has left, those that serve a plugin and further ones."""
        actors: Any = ray.util.list_named_actors(all_namespaces=True)
        found = await asyncio.gather(*(self._look_at(actor["name"]) for actor in actors if _is_ours(actor)))
        self.fill()
        processes = [process for process in found if process is not None]
        await asyncio.to_thread(forget_words, self._settings, {words.file for _, words in processes if words})
        return [process for process, _ in processes]

    async def _look_at(self, name: str) -> tuple[FoundProcess | FoundFurther, LastWords | None] | None:
        handle = self._handle(_known_process(name))
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
        if isinstance(served, ForRuns):
            return FoundFurther(handle, served.spec, served.bundle, served.run), None
        found = FoundProcess(
            handle,
            served.spec,
            served.bundle,
            served.facts,
            served.endpoint,
            served.report,
            served.running,
            served.run,
        )
        return found, served.words

    async def unseen_for(self, node: str) -> float:
        """Return the seconds for which processes on a node may still serve PVs that we cannot see."""
        if node not in self._lookups:
            self._lookups[node] = asyncio.ensure_future(is_reachable(node))
        if await self._lookups[node]:
            return 0.0  # its processes were found, or are gone
        return max(0.0, self._began + lease_bound(self._settings) - time.monotonic())

    async def close(self) -> None:
        """End the warm processes."""
        while self._warm:
            await self._warm.popleft().kill()


def fetch_until_cancelled(source: Source, credential: str | None, settings: Settings) -> Bundle:
    """Fetch as `fetch` does, and end when the task is cancelled. Runs in a Ray task.

    Ray cancels a task by SIGINT, and Python minds it only where its own handler is set: the processes of a Ray that was
    started in the background, as by `nohup` or with `&` in a script, have inherited that it is ignored.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if settings.log_format == "json":
        show_log("warning", "json", LogContext({"node": own_node()}))
    return fetch(source, credential, settings)


def make_process(cpus: float, wishes: Mapping[str, Any]) -> Any:
    """Make an actor for a plugin, not yet known; return it. Runs in a Ray task."""
    options: dict[str, Any] = {
        **wishes,
        "name": f"{PROCESS_PREFIX}{uuid.uuid4().hex}",
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "num_cpus": cpus,
        # Restarts are the Controller's business: Ray alone would bring back an empty process.
        "max_restarts": 0,
        "max_task_retries": 0,
    }
    return _actor_class().options(**options).remote()


@cache
def _actor_class() -> Any:
    """Return the class as Ray knows it; made anew for each process, it would be exported and kept each time."""
    return ray.remote(PluginProcess)


async def _known_process(name: str) -> Any:
    """Return the actor of this name."""
    try:
        return await asyncio.to_thread(ray.get_actor, name, namespace=NAMESPACE)
    except ValueError:
        raise PluginCrashed("it has just ended") from None


def _is_ours(actor: Mapping[str, str]) -> bool:
    return actor["namespace"] == NAMESPACE and actor["name"].startswith(PROCESS_PREFIX)
