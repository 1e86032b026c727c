"""RayLauncher: fetches in Ray tasks, and runs plugins in Ray actors of which some wait warm."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Mapping
from typing import Any

import ray

from iocmng.cluster.plugin_actor import PluginProcess
from iocmng.cluster.ray_errors import plugin_call
from iocmng.core.ports import Bundle
from iocmng.core.source import Source
from iocmng.core.spec import Endpoint, PluginFacts, PluginSpec, RecordInfo, Report
from iocmng.errors import CheckFailure, IocmngError, PluginCrashed, PluginRejected, ServerUnavailable, TimedOut
from iocmng.loading.fetch import fetch, forget_bundles
from iocmng.settings import Settings

GONE_TIMEOUT = 5.0
"""Seconds that a killed process may take to vanish."""

WARM_TRIES = 2
WARM_TIMEOUT = 60.0
"""Seconds until a process must have loaded its libraries; on a loaded machine it takes five."""

_log = logging.getLogger(__name__)


class RayPluginHandle:
    """One plugin process, as a Ray actor; implements core.ports.PluginHandle."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pid = 0  # known where the process runs on this node
        # Restarts are the Controller's business: Ray alone would bring back an empty process.
        options = {"num_cpus": settings.plugin_cpus, "max_restarts": 0, "max_task_retries": 0}
        self._actor: Any = ray.remote(PluginProcess).options(**options).remote()  # pyright: ignore[reportAttributeAccessIssue]
        self.warmed = asyncio.ensure_future(self._warm())

    async def _warm(self) -> None:
        pid, node = await plugin_call(self._actor.warm.remote())
        self._pid = pid if node == ray.get_runtime_context().get_node_id() else 0

    async def prepare(self, spec: PluginSpec, bundle: Bundle, site_prefix: str) -> PluginFacts:
        """Import and check the plugin in its process."""
        settings = self._settings
        call = self._actor.prepare.remote(spec, bundle, site_prefix, settings.log_level, settings.pva)
        return await self._limited(call, "import", settings.import_timeout)

    async def build(self) -> tuple[RecordInfo, ...]:
        """Make the plugin's object and its records."""
        return await self._limited(self._actor.build.remote(), "constructor", self._settings.initialize_timeout)

    async def start(self, running: bool) -> tuple[Endpoint, Report]:
        """Serve the PVs and, if running, begin with initialize() and the cycles."""
        return await self._limited(self._actor.start.remote(running), "initialize", self._settings.initialize_timeout)

    async def next_report(self) -> Report:
        """Wait until there is something new to tell."""
        return await plugin_call(self._actor.next_report.remote())

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

    async def _limited(self, call: Any, step: str, limit: float) -> Any:
        """Await a call that runs author's code; what goes wrong names the step."""
        try:
            return await asyncio.wait_for(plugin_call(call), limit)
        except TimeoutError:
            raise PluginRejected.because(CheckFailure(step, f"did not end within {limit:g} s")) from None
        except PluginCrashed as error:
            raise PluginRejected.because(CheckFailure(step, str(error))) from None


class RayLauncher:
    """Makes bundles and processes; implements core.ports.PluginLauncher."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._warm: deque[RayPluginHandle] = deque()
        # A fetch needs no whole CPU: it waits for the network most of the time.
        self._fetch: Any = ray.remote(fetch).options(num_cpus=0, max_retries=0)

    async def fetch(self, source: Source, pat: str | None) -> Bundle:
        """Fetch the source in a process that alone holds the credential."""
        call = self._fetch.remote(source, pat, self._settings)
        try:
            return await plugin_call(call)
        except asyncio.CancelledError:
            ray.cancel(call)
            raise

    async def forget_bundles(self, keep: frozenset[str]) -> None:
        """Remove the files of all bundles except those to be kept."""
        await asyncio.to_thread(forget_bundles, self._settings, keep)

    def fill(self) -> None:
        """Start as many warm processes as are missing."""
        while len(self._warm) < self._settings.warm_processes:
            self._warm.append(RayPluginHandle(self._settings))

    async def take_process(self) -> RayPluginHandle:
        """Return a process that waits for a plugin, a warm one where there is one."""
        for _ in range(WARM_TRIES):
            handle = self._warm.popleft() if self._warm else RayPluginHandle(self._settings)
            asyncio.get_running_loop().call_soon(self.fill)
            try:
                await asyncio.wait_for(handle.warmed, WARM_TIMEOUT)
            except (IocmngError, TimeoutError) as error:
                _log.warning("a process ended before it was used, or did not start: %r", error)
                await handle.kill()
            else:
                return handle
        raise ServerUnavailable(
            "no process could be started for the plugin; see with `ray status` whether memory and CPUs are left"
        )

    async def close(self) -> None:
        """End the warm processes."""
        while self._warm:
            await self._warm.popleft().kill()


def _is_alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
