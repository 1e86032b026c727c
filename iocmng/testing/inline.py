"""InlineThread: in the place of the author's thread, whoever calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from iocmng.base.author_thread import Ticking
from iocmng.core import pv_client
from iocmng.core.ports.plugin import Clock, PvClient

_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineThread:
    """Runs calls one after the other, as AuthorThread does, but at once and in the thread that submits them.

    A call that is submitted while another one runs waits until that has ended.

    Args:
        clock: Says when a tick is due.
        client: What `pv_client` is while a call or a tick runs.

    Attributes:
        interruption: What is to end the test: raised as soon as the call under way has returned.
    """

    def __init__(self, clock: Clock, client: PvClient) -> None:
        self._clock = clock
        self._client = client
        self._calls: deque[Callable[[], None]] = deque()
        self._runner: Ticking | None = None
        self._is_busy = False
        self.interruption: BaseException | None = None

    @property
    def wake_at(self) -> float:
        """When the runner wants its next tick(); infinity: not at all."""
        wake_at = self._runner.wake_at if self._runner else None
        return float("inf") if wake_at is None else wake_at

    def submit(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call the function; its outcome is the future's."""
        future: Future[_T] = Future()

        def call() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  boundary: author's code
                future.set_exception(error)

        self._calls.append(call)
        self._work()
        return future

    def attach(self, runner: Ticking) -> None:
        """Call this runner's tick() when it is due."""
        self._runner = runner

    def tick_if_due(self) -> None:
        """Call the runner's tick(), if it is time."""
        if self._runner is not None and self.wake_at <= self._clock.monotonic():
            self._calls.append(self._runner.tick)
            self._work()

    def _work(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        try:
            with pv_client.using(self._client):
                self._work_off()
        finally:
            self._is_busy = False

    def _work_off(self) -> None:
        while self._calls:
            self._calls.popleft()()
            self._raise_interruption()
            # After each call, as in AuthorThread: the first cycle follows initialize().
            if not self._calls and self._runner is not None and self.wake_at <= self._clock.monotonic():
                self._runner.tick()
                self._raise_interruption()

    def _raise_interruption(self) -> None:
        if self.interruption is not None:
            error, self.interruption = self.interruption, None
            raise error
