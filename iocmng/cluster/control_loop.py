"""The control loop: observe, reconcile, apply."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace

from iocmng.cluster.operations import Operations
from iocmng.cluster.registry import Registry
from iocmng.core.reconcile import (
    Action,
    Forgive,
    Launch,
    Replace,
    Revive,
    SetRunning,
    Stop,
    next_look,
    reconcile,
)
from iocmng.core.spec import PluginStatus
from iocmng.core.trace_context import carried, current
from iocmng.errors import IocmngError, ServerUnavailable, WrongState

_log = logging.getLogger(__name__)


class ControlLoop:
    """Applies what reconcile() says, one action at a time for each plugin, all plugins at once."""

    def __init__(self, registry: Registry, operations: Operations, stable_after: float, wake: asyncio.Event) -> None:
        self._registry = registry
        self._operations = operations
        self._stable_after = stable_after
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._wake = wake
        self._requests: dict[str, str] = {}
        self._reviving: set[str] = set()
        self._is_ending = False
        self.held: set[str] = set()
        """Plugins that have to wait until it is their turn."""
        self.keep_rejected: set[str] = set()
        """Plugins that stay listed when they are rejected, because nobody waits for the answer."""

    def is_busy(self, name: str) -> bool:
        """Tell whether an action for this plugin is under way."""
        return name in self._tasks

    def is_reviving(self, name: str) -> bool:
        """Tell whether the loop is about to start a plugin again by itself."""
        return name in self._tasks and name in self._reviving

    def kick(self) -> None:
        """Have the loop look again."""
        self._wake.set()

    def settled(self, name: str) -> Awaitable[None]:
        """Return what to await until the plugin is as desired; it raises why it cannot be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, []).append(future)
        self.note_request(name)
        self.kick()
        return future

    def note_request(self, name: str) -> None:
        """Have what is done next for a plugin count as a part of the request that is being served."""
        if traceparent := current():
            self._requests[name] = traceparent

    async def idle(self, name: str) -> None:
        """Wait until the action that is under way for a plugin has ended, one way or the other."""
        if task := self._tasks.get(name):
            await asyncio.wait([task])

    async def cancel(self, name: str) -> None:
        """Give up the action that is under way for a plugin, and return when nothing of it is left."""
        if task := self._tasks.get(name):
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._news()
            now = time.monotonic()
            busy = self._tasks.keys() | self.held
            for action in reconcile(
                self._registry.desired, self._registry.observed, busy, now=now, stable_after=self._stable_after
            ):
                self._begin(action)
            for name in [name for name in self._waiters if name not in self._tasks and name not in self.held]:
                self._tell(name, None)

    async def end(self) -> None:
        """Give up all actions that are under way, and return when nothing of them is left."""
        self._is_ending = True
        for name in list(self._tasks):
            await self.cancel(name)

    async def _news(self) -> None:
        """Wait until somebody asks to look again, or it is time to."""
        moment = next_look(self._idle_ones(), self._stable_after)
        timeout = None if moment is None else max(0.0, moment - time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()

    def _idle_ones(self) -> dict[str, PluginStatus]:
        busy = self._tasks.keys() | self.held
        return {name: status for name, status in self._registry.observed.items() if name not in busy}

    def _begin(self, action: Action) -> None:
        name = _name(action)
        with carried(self._requests.pop(name, None)):  # the task keeps it
            task = asyncio.create_task(self._apply(action), name=f"{type(action).__name__} {name}")
        self._tasks[name] = task
        (self._reviving.add if isinstance(action, Revive) else self._reviving.discard)(name)
        task.add_done_callback(lambda done: self._ended(action, done))

    async def _apply(self, action: Action) -> None:
        match action:
            case Launch(spec):
                await self._operations.launch(spec)
            case Replace(spec):
                await self._operations.replace(spec)
            case Revive(spec):
                await self._operations.revive(spec)
            case Forgive(name):
                self._registry.observe(name, self._registry.observed[name].phase, crashes=0)
            case SetRunning(name, running):
                await self._operations.set_running(name, running)
            case Stop(name):
                await self._operations.stop(name)

    def _ended(self, action: Action, task: asyncio.Task[None]) -> None:
        name = _name(action)
        self._tasks.pop(name, None)
        error: BaseException | None
        if task.cancelled() and self._is_ending:
            error = ServerUnavailable(f"the server ends, and gave up what it was doing to {name}; try again")
        elif task.cancelled():
            error = WrongState(f"{name} was removed before it was up")
        else:
            error = task.exception()
            if error is not None:
                if not isinstance(error, IocmngError):
                    _log.error("an error of iocmng itself", exc_info=error)
                    error = IocmngError(f"internal error, please report it: {type(error).__name__}: {error}")
                    self._operations.give_up(name, error)
                self._undo(action)
        self._tell(name, error)
        self.kick()

    def _undo(self, action: Action) -> None:
        """Desire again what was before an action that failed, so that it is not tried for ever."""
        name = _name(action)
        spec = self._registry.desired.get(name)
        match action:
            case Launch(tried) if tried.files is None and name not in self.keep_rejected:
                self._registry.forget(name, "rejected")
            case SetRunning(_, True) if spec is not None:
                # A stop that failed stays desired: a task that somebody wanted to stop must not start by itself.
                self._registry.desire(replace(spec, running=False))
            case _:
                pass

    def _tell(self, name: str, error: BaseException | None) -> None:
        self._requests.pop(name, None)
        for waiter in self._waiters.pop(name, []):
            if waiter.cancelled():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def _name(action: Action) -> str:
    return action.spec.name if isinstance(action, Launch | Replace | Revive) else action.name
