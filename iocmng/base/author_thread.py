"""The one thread of a plugin's process that runs its author's code."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, Protocol, TypeVar

from iocmng.core.ports.plugin import Clock

_P = ParamSpec("_P")
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class Ticking(Protocol):
    """Something that wants to be called at a certain time."""

    @property
    def wake_at(self) -> float | None:
        """When to call tick(), on the clock's scale; None: not at all."""
        ...

    def tick(self) -> None:
        """Do what is due."""
        ...


class Calling(Protocol):
    """Runs a plugin's calls one after the other: AuthorThread, or in a test whoever calls."""

    def submit(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call the function after those that came before; its outcome is the future's."""
        ...

    def attach(self, runner: Ticking) -> None:
        """Call this runner's tick() when it is due."""
        ...


class AuthorThread:
    """Runs calls one after the other, and a runner's tick() when it is due.

    Author code never runs concurrently with itself, because nothing else calls it. A call that blocks holds up the
    following calls and nothing more.
    """

    def __init__(self, clock: Clock, name: str = "iocmng-author") -> None:
        self._clock = clock
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._runner: Ticking | None = None
        # A daemon: code that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call the function in the thread; its outcome is the future's. Never blocks."""
        future: Future[_T] = Future()

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  boundary: author's code
                future.set_exception(error)

        self._calls.put(call)
        return future

    def attach(self, runner: Ticking) -> None:
        """Call this runner's tick() when it is due; to be called in the thread itself."""
        self._runner = runner

    def _serve(self) -> Any:
        while True:
            wake_at = self._runner.wake_at if self._runner else None
            timeout = None if wake_at is None else max(0.0, wake_at - self._clock.monotonic())
            with contextlib.suppress(queue.Empty):
                self._calls.get(timeout=timeout)()
            # Looked at after each call too, so that a flood of calls does not starve the cycle.
            runner = self._runner
            if runner is not None and runner.wake_at is not None and runner.wake_at <= self._clock.monotonic():
                self._tick(runner)

    @staticmethod
    def _tick(runner: Ticking) -> None:
        """Call tick(); what it raises is a mistake of ours, and must not end the thread of a plugin that runs."""
        try:
            runner.tick()
        except Exception:  # noqa: BLE001  boundary: a loop's step
            _log.exception("an error of iocmng itself in the cycle of a plugin")
