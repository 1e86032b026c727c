"""A plugin's log as an answer that goes on: as text, or as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from iocmng.api.event_hub import StreamLimits
from iocmng.api.event_stream import EVENT_STREAM
from iocmng.api.json_bytes import encode
from iocmng.api.streaming import HEADERS, begin, carry, end, write
from iocmng.core.log_lines import LogPage
from iocmng.core.ports.controller import ControllerClient
from iocmng.errors import ServerUnavailable, UnknownPlugin, WrongKind

TEXT = "text/plain"

_AWAY = 0.5
"""Seconds until a Controller that is out of reach is asked again."""


class LogStreams:
    """The logs that this replica sends to followers."""

    def __init__(self, client: ControllerClient, limits: StreamLimits | None = None) -> None:
        self.client = client
        self.limits = limits or StreamLimits()
        self.closing = asyncio.Event()
        self._open = 0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Take the place of one stream.

        Raises:
            ServerUnavailable: If there is none.
        """
        if self.closing.is_set():
            raise ServerUnavailable("this server is stopping; try again")
        if self._open >= self.limits.logs:
            raise ServerUnavailable(
                f"{self._open} logs are followed here, and this server sends no more at once; close some, try again "
                "later, or ask without follow=true"
            )
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def close(self) -> None:
        """End all streams and begin no more."""
        self.closing.set()


class LogForm(Protocol):
    """How lines are written."""

    media_type: str
    keep_alive: bytes

    def write(self, page: LogPage) -> bytes:
        """Return the lines of a page."""
        ...

    def full(self, after: int) -> bytes:
        """Return what tells that this answer holds no more, and where the next one begins."""
        ...


class LogText:
    """A line for each line. One that begins with `---` is the server's; all of the plugin's begin with the time."""

    media_type = f"{TEXT}; charset=utf-8"
    keep_alive = b""

    def __init__(self) -> None:
        self._generation: int | None = None

    def write(self, page: LogPage) -> bytes:
        """Return the lines, with a word where lines are missing and where another generation begins."""
        parts = ["--- lines are missing here: they are kept no longer"] if page.missed else []
        for line, generation in zip(page.lines, page.generations, strict=True):
            if generation != self._generation:
                parts.append(f"--- generation {generation}")
                self._generation = generation
            parts.append(line)
        return "".join(f"{part}\n" for part in parts).encode("utf-8", "replace")

    def full(self, after: int) -> bytes:
        """Return the last line."""
        return f"--- this answer ends here; what follows: after={after}\n".encode()


class LogEvents:
    """An event for each line, whose id lets a client resume behind it."""

    media_type = EVENT_STREAM
    keep_alive = b": still here\n\n"

    def __init__(self, retry: float) -> None:
        self._beginning = f"retry: {retry * 1000:.0f}\n\n".encode()

    def write(self, page: LogPage) -> bytes:
        """Return the events."""
        first, beginning = page.next - len(page.lines) + 1, self._beginning
        self._beginning = b""
        blocks = [
            f"id: {number}\nevent: line\ndata: ".encode()
            + encode({"number": number, "generation": generation, "line": line})
            + b"\n\n"
            for number, (line, generation) in enumerate(zip(page.lines, page.generations, strict=True), first)
        ]
        gap = b"event: missed\ndata: {}\n\n" if page.missed else b""
        return beginning + gap + b"".join(blocks)

    def full(self, after: int) -> bytes:
        """Return nothing: the client connects again by itself."""
        return b""


class LogStream(Response):
    """Sends a log until the client leaves, the plugin is removed, the server stops, or the answer has grown old.

    The next lines are asked for when the ones before are sent, so a client that takes nothing costs no memory here.
    """

    def __init__(self, streams: LogStreams, name: str, page: LogPage, form: LogForm) -> None:
        super().__init__(headers={**HEADERS, "Content-Type": form.media_type})
        del self.headers["content-length"]
        self._streams = streams
        self._name = name
        self._page = page
        self._form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the log. That there is no place for it is raised before the first byte."""
        with self._streams.place():
            await carry(self._send(send), receive, self._streams.closing, self._streams.limits.farewell)

    async def _send(self, send: Send) -> None:
        limits, loop = self._streams.limits, asyncio.get_running_loop()
        oldest, sent = loop.time() + limits.longest, 0
        page: LogPage | None = self._page
        await begin(send, self.status_code, self.raw_headers)
        while page is not None:
            body = self._form.write(page)
            is_last = loop.time() >= oldest or sent + len(body) >= limits.log_bytes
            body = (body or self._form.keep_alive) + (self._form.full(page.next) if is_last else b"")
            sent += len(body)
            if body:
                await write(send, body)
            page = None if is_last else await self._next(page.next)
        await end(send)

    async def _next(self, after: int) -> LogPage | None:
        """Return the lines behind a number as soon as there are some; None where there will be no more."""
        asking = asyncio.ensure_future(self._ask(after))
        closing = asyncio.ensure_future(self._streams.closing.wait())
        try:
            await asyncio.wait((asking, closing), return_when=asyncio.FIRST_COMPLETED)
            return await asking if asking.done() else None
        finally:
            asking.cancel()
            closing.cancel()

    async def _ask(self, after: int) -> LogPage | None:
        limits, client, loop = self._streams.limits, self._streams.client, asyncio.get_running_loop()
        patience = loop.time() + limits.patience
        while True:
            try:
                return await client.logs(self._name, limits.log_lines, after, limits.keep_alive)
            except (UnknownPlugin, WrongKind):
                return None  # it was removed
            except ServerUnavailable:
                if loop.time() > patience:
                    return None
                await asyncio.sleep(_AWAY)
