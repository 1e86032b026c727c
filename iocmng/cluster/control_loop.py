"""The control loop: observe, reconcile, apply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace

from iocmng.cluster.operations import Operations
from iocmng.cluster.registry import Registry
from iocmng.core.reconcile import Action, Launch, Replace, SetRunning, Stop, reconcile
from iocmng.errors import IocmngError, WrongState

_log = logging.getLogger(__name__)


class ControlLoop:
    """Applies what reconcile() says, one action at a time for each plugin, all plugins at once."""

    def __init__(self, registry: Registry, operations: Operations) -> None:
        self._registry = registry
        self._operations = operations
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()
        self.keep_rejected: set[str] = set()
        """Plugins that stay listed when they are rejected, because nobody waits for the answer."""

    def is_busy(self, name: str) -> bool:
        """Tell whether an action for this plugin is under way."""
        return name in self._tasks

    def kick(self) -> None:
        """Have the loop look again."""
        self._wake.set()

    def settled(self, name: str) -> Awaitable[None]:
        """Return what to await until the plugin is as desired; it raises why it cannot be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(name, []).append(future)
        self.kick()
        return future

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
            await self._wake.wait()
            self._wake.clear()
            for action in reconcile(self._registry.desired, self._registry.observed, self._tasks):
                self._begin(action)
            for name in [name for name in self._waiters if name not in self._tasks]:
                self._tell(name, None)

    def _begin(self, action: Action) -> None:
        name = _name(action)
        task = asyncio.create_task(self._apply(action), name=f"{type(action).__name__} {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(action, done))

    async def _apply(self, action: Action) -> None:
        match action:
            case Launch(spec):
                await self._operations.launch(spec)
            case Replace(spec):
                await self._operations.replace(spec)
            case SetRunning(name, running):
                await self._operations.set_running(name, running)
            case Stop(name):
                await self._operations.stop(name)

    def _ended(self, action: Action, task: asyncio.Task[None]) -> None:
        name = _name(action)
        self._tasks.pop(name, None)
        error: BaseException | None
        if task.cancelled():
            error = WrongState(f"{name} was removed before it was up")
        else:
            error = task.exception()
            if error is not None:
                if not isinstance(error, IocmngError):
                    _log.error("an error of iocmng itself", exc_info=error)
                    error = IocmngError(f"internal error, please report it: {type(error).__name__}: {error}")
                self._undo(action)
        self._tell(name, error)
        self.kick()

    def _undo(self, action: Action) -> None:
        """Desire again what was before an action that failed, so that it is not tried for ever."""
        name = _name(action)
        spec, status = self._registry.desired.get(name), self._registry.observed.get(name)
        match action:
            case Launch() if name not in self.keep_rejected:
                self._operations.credentials.pop(name, None)
                self._registry.forget(name)
            case Replace() if spec is not None and status is not None:
                self._registry.desire(replace(spec, generation=status.generation))
            case SetRunning(_, running) if spec is not None:
                self._registry.desire(replace(spec, running=not running))
            case _:
                pass

    def _tell(self, name: str, error: BaseException | None) -> None:
        for waiter in self._waiters.pop(name, []):
            if waiter.cancelled():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def _name(action: Action) -> str:
    return action.spec.name if isinstance(action, Launch | Replace) else action.name
