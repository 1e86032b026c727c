"""An event loop in a thread of its own: asynchronous devices live in it, whatever thread the author's code runs in."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from iocmng.errors import AuthorError, TimedOut


class EventLoopThread:
    """Starts with the first call, and ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, call: Awaitable[Any] | Callable[[], Awaitable[Any]], timeout: float | None) -> Any:
        """Await something in the loop and return what it returns; what it raises is raised here.

        Args:
            call: What to await, or what returns it when called inside the loop.
            timeout: Seconds after which it is cancelled; None waits for ever.

        Raises:
            TimedOut: If it takes longer.
            AuthorError: If it is called inside the loop, for which it would wait for ever.
        """
        loop = self._running()
        if threading.current_thread() is self._thread:
            if inspect.iscoroutine(call):
                call.close()
            raise AuthorError("run_async() was called inside the devices' event loop; use `await` there")
        future = asyncio.run_coroutine_threadsafe(_awaited(call), loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            if future.done():  # its own
                raise
            future.cancel()
            raise TimedOut(f"an asynchronous call took longer than {timeout:g} s and was cancelled") from None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="iocmng-devices", daemon=True)
                self._thread.start()
            return self._loop


async def _awaited(call: Awaitable[Any] | Callable[[], Awaitable[Any]]) -> Any:
    return await (call() if callable(call) else call)
