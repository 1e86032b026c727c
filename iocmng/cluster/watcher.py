"""Watches the processes of plugins: takes their reports, and finds those that ended or no longer answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from iocmng.cluster.hearing import check_hung, hear
from iocmng.cluster.registry import Registry
from iocmng.cluster.unseen import Unseen
from iocmng.cluster.view import iso_time, line_now
from iocmng.core.backoff import RestartPolicy
from iocmng.core.lifecycle import Phase
from iocmng.core.manifest import Watchdog
from iocmng.core.metrics import CRASHES
from iocmng.core.ports.processes import PluginHandle
from iocmng.core.spec import PluginStatus, Report
from iocmng.core.trace_context import carried
from iocmng.errors import IocmngError, PluginCrashed

_log = logging.getLogger(__name__)


class Watcher:
    """One outstanding call for each process brings its reports, and tells of its end at once.

    Args:
        kick: Has the control loop look again.
    """

    def __init__(self, registry: Registry, policy: RestartPolicy, kick: Callable[[], None]) -> None:
        self._registry = registry
        self._policy = policy
        self._kick = kick
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._put_down: set[PluginHandle] = set()
        self.handles: dict[str, PluginHandle] = {}
        self.unseen = Unseen()

    def follow(self, name: str, handle: PluginHandle, watchdog: Watchdog | None) -> None:
        """Begin to watch the process that serves a plugin from now on."""
        self.handles[name] = handle
        self._registry.observe(name, self._registry.observed[name].phase, started_at=time.monotonic())
        with carried(None):  # what it will see belongs to no request
            self._followers[name] = asyncio.create_task(self._follow(name, handle, watchdog), name=f"follow {name}")

    def release(self, name: str) -> PluginHandle | None:
        """Stop watching; return the process, if there is one."""
        if follower := self._followers.pop(name, None):
            follower.cancel()
        return self.handles.pop(name, None)

    def release_all(self) -> None:
        """Stop watching all processes."""
        for name in list(self.handles):
            self.release(name)

    async def put_down(self, name: str, handle: PluginHandle, why: str) -> None:
        """Kill a process that does not do what it is told, and have it replaced at once; this counts as no crash.

        Nothing happens to one that is being ended already: who does that sees to it.
        """
        follower = self._followers.get(name)
        if self.handles.get(name) is not handle or follower is None:
            return
        self._put_down.add(handle)
        try:
            await handle.kill(why)
            await asyncio.wait((follower,))
        finally:
            self._put_down.discard(handle)

    def failed(self, name: str, error: IocmngError, sentence: str = "it could not be started again") -> None:
        """Note that a plugin that was up before could not be started; it is tried again later."""
        self._crashed(name, f"{sentence}: {error}")

    def lost(self, name: str, reason: str, wait: float, generation: int) -> None:
        """Note that a plugin's process may live where nobody sees it; it is started elsewhere after the wait."""
        self._registry.observe(name, Phase.CRASHED, generation=generation)
        self._crashed(name, reason, wait)

    def try_again(self, name: str) -> None:
        """Have a rejected plugin tried again later, as if its process had ended."""
        status = self._registry.observed[name]
        retry = self._retry(status.crashes + 1)
        self._registry.observe(name, status.phase, crashes=status.crashes + 1, **retry)
        self._kick()

    async def _follow(self, name: str, handle: PluginHandle, watchdog: Watchdog | None) -> None:
        try:
            while True:
                report = await self._next_report(name, handle, watchdog)
                self._registry.report(name, report)
                check_hung(report, watchdog)
        except PluginCrashed as error:
            # Until it is over, whoever replaces or removes the plugin finds this process and sees to its end himself.
            await handle.kill(str(error))
            unseen = await handle.unseen_for()
            self._followers.pop(name, None)
            self.handles.pop(name, None)
            generation = self._registry.observed[name].generation
            _log.error("%s: %s", name, error, extra={"plugin": name, "generation": generation})
            self._registry.log(name, (*handle.last_lines, line_now("ERROR", f"its process has ended: {error}")))
            self._crashed(name, str(error), unseen, counts=handle not in self._put_down)

    async def _next_report(self, name: str, handle: PluginHandle, watchdog: Watchdog | None) -> Report:
        report = await hear(handle, watchdog, lambda seconds: self._silent(name, seconds))
        if self._registry.observed[name].silent:
            self._registry.observe(name, self._registry.observed[name].phase, silent=False, message="")
        return report

    def _silent(self, name: str, limit: float) -> None:
        status = self._registry.observed[name]
        if not status.silent:
            message = f"its process does not answer for more than {limit:g} s; restart or remove the plugin to end it"
            self._registry.observe(name, status.phase, silent=True, message=message)

    def _crashed(self, name: str, reason: str, wait: float = 0.0, *, counts: bool = True) -> None:
        status = self._registry.observed[name]
        self.unseen.note(name, wait)
        if counts:
            self._registry.tally.count(CRASHES, name)
        if status.phase is Phase.REPLACING and status.endpoint is not None:
            # Somebody is replacing it just now: how that ends decides what comes next.
            self._registry.observe(name, Phase.REPLACING, report=None, endpoint=None, last_exit=reason)
            return
        crashes = self._in_a_row(status) + 1 if counts else status.crashes
        retry = self._retry(crashes if counts else 1, wait)
        often = f", {crashes} times in a row" if crashes > 1 and counts else ""
        message = (
            f"{reason}{often}; next start at {iso_time(retry['next_try'])}, "
            f"or at once with POST /plugins/{name}/restart"
        )
        self._registry.observe(
            name,
            Phase.CRASHED,
            message=message,
            reason=reason,
            last_exit=reason,
            crashes=crashes,
            report=None,
            endpoint=None,
            silent=False,
            started_at=None,
            **retry,
        )
        self._kick()

    def _in_a_row(self, status: PluginStatus) -> int:
        served = time.monotonic() - status.started_at if status.started_at is not None else 0.0
        return 0 if served >= self._policy.stable_after else status.crashes

    def _retry(self, crashes: int, wait: float = 0.0) -> dict[str, float]:
        delay = max(wait, self._policy.delay(crashes))
        return {"retry_at": time.monotonic() + delay, "next_try": time.time() + delay}
