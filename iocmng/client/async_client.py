"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import Any, TypeVar, overload

import httpx

from iocmng.client import calls, replies
from iocmng.client.address import Address, from_environment, request_arguments, stream_arguments, unreachable
from iocmng.client.call import Call
from iocmng.client.conversations import (
    Conversation,
    Pause,
    Tell,
    log_followed,
    raise_unless_finished,
    run_followed,
    run_to_end,
)
from iocmng.client.event_lines import EventLines
from iocmng.client.faces import awaitable
from iocmng.client.objects import Event, LogLines, Run, RunNews
from iocmng.errors import IocmngError, ServerUnavailable

Answer = TypeVar("Answer")
Item = TypeVar("Item")


class AsyncClient:
    """The same as Client for asyncio: methods are awaited, what follows is iterated with `async for`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Make a client; nothing is sent yet. The arguments are those of Client.

        Raises:
            InvalidRequest: If the URL is none.
        """
        found = from_environment() if url is None else Address(url, token)
        self.url = found.url
        self._timeout = timeout
        self._patience = patience
        options = Address(found.url, token or found.token).options(timeout)
        self._http = httpx.AsyncClient(**options, transport=transport)

    @classmethod
    def from_environment(cls, **options: Any) -> AsyncClient:
        """Return a client of the server that IOCMNG_URL and IOCMNG_TOKEN name; the same as `AsyncClient()`."""
        return cls(**options)

    health = awaitable(calls.health)
    list = awaitable(calls.list_plugins)
    get = awaitable(calls.get)
    add = awaitable(calls.add)
    remove = awaitable(calls.remove)
    start = awaitable(calls.start)
    stop = awaitable(calls.stop)
    restart = awaitable(calls.restart)
    rollback = awaitable(calls.rollback)
    change = awaitable(calls.change)
    apply = awaitable(calls.apply)
    generations = awaitable(calls.generations)
    events = awaitable(calls.events)
    audit = awaitable(calls.audit)
    logs = awaitable(calls.logs)
    pvs = awaitable(calls.pvs)
    name_servers = awaitable(calls.name_servers)
    submit_job = awaitable(calls.submit_job)
    runs = awaitable(calls.runs)
    get_run = awaitable(calls.get_run)
    cancel_run = awaitable(calls.cancel_run)

    async def run_job(
        self,
        name: str,
        parameters: calls.Parameters | None = None,
        *,
        timeout: float | None = None,
        on_change: Callable[[Run], Any] | None = None,
    ) -> Run:
        """Run a job, and return the run when it has ended: see Client.run_job."""
        return await self._finish(run_to_end(name, parameters, timeout, self._patience), on_change)

    async def wait_for_run(self, name: str, run_id: int, *, on_change: Callable[[Run], Any] | None = None) -> Run:
        """Wait until a run has ended, and return it; it raises and calls as `run_job` does."""
        run = await self._finish(run_followed(name, run_id, self._patience), on_change)
        raise_unless_finished(run)
        return run

    async def follow_run(self, name: str, run_id: int) -> AsyncGenerator[Run, None]:
        """Yield a run as it is, at each change of it, and when it has ended, whatever its end."""
        async for item in self._told(run_followed(name, run_id, self._patience), []):
            yield item

    async def follow_logs(self, name: str, *, tail: int = 100) -> AsyncGenerator[LogLines, None]:
        """Yield a plugin's newest log lines, then what is added to them: see Client.follow_logs."""
        async for item in self._told(log_followed(name, tail, self._patience), []):
            yield item

    @overload
    def follow_events(self, name: str | None = None, *, after: int | None = None) -> AsyncGenerator[Event, None]: ...
    @overload
    def follow_events(
        self, name: str | None = None, *, after: int | None = None, runs: bool
    ) -> AsyncGenerator[Event | RunNews, None]: ...
    async def follow_events(
        self, name: str | None = None, *, after: int | None = None, runs: bool = False
    ) -> AsyncGenerator[Any, None]:
        """Yield events as they happen, each once: see Client.follow_events."""
        lines = EventLines(name, after, self._patience, runs=runs)
        while True:
            broken: ServerUnavailable | None = None
            try:
                async for event in self._connection(lines):
                    yield event
            except ServerUnavailable as error:
                broken = error
            await asyncio.sleep(lines.pause_after(broken))

    async def send(self, call: Call[Answer]) -> Answer:
        """Send a call and return its answer."""
        try:
            response = await self._http.request(**request_arguments(call, self._timeout))
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from None  # the sentence holds all that httpx says
        return replies.answer(response.status_code, response.headers, response.content, self.url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _connection(self, lines: EventLines) -> AsyncIterator[Event | RunNews]:
        try:
            async with self._http.stream(**stream_arguments(lines.call)) as response:
                if not response.is_success:
                    replies.answer(response.status_code, response.headers, await response.aread(), self.url)
                lines.opened()
                async for chunk in response.aiter_bytes():
                    for event in lines.take(chunk):
                        yield event
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from None  # the sentence holds all that httpx says

    async def _finish(self, conversation: Conversation[Item, Run], on_item: Callable[[Item], Any] | None) -> Run:
        result: Any = []
        async for item in self._told(conversation, result):
            if on_item is not None:
                on_item(item)
        return result[0]

    async def _told(self, conversation: Conversation[Item, Any], result: Any) -> AsyncGenerator[Item, None]:
        """Hold a conversation; yield what it tells, and append its result."""
        reply: Any = None
        error: IocmngError | None = None
        while True:
            try:
                step = conversation.send(reply) if error is None else conversation.throw(error)
            except StopIteration as end:
                result.append(end.value)
                return
            reply, error = None, None
            match step:
                case Tell(item):
                    yield item
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Call():
                    try:
                        reply = await self.send(step)
                    except IocmngError as caught:
                        error = caught
