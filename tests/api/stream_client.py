"""A client of GET /events that speaks ASGI itself: httpx gives an answer out only when it is whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

from api_fakes import FakeController, application
from fastapi import FastAPI

from iocmng.api.event_hub import StreamLimits

SMALL = StreamLimits(streams=2, waiting=5, replayed=8, farewell=0.05, keep_alive=30.0, catch_up=0.5)


@asynccontextmanager
async def running(controller: FakeController, streams: StreamLimits = SMALL) -> AsyncIterator[FastAPI]:
    app = application(controller, streams=streams)
    async with app.router.lifespan_context(app):
        yield app


async def settled() -> None:
    """Let all tasks run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


class Listener:
    """One open stream.

    Attributes:
        status: Status of the answer.
        headers: Its headers.
        sends: How often the server has sent something, taken or not.
        is_complete: Whether the server has ended the answer in good order.
        reading: While cleared, the client takes nothing, and the server's `send` blocks.
        fault: What the server's `send` raises.
    """

    def __init__(
        self,
        app: FastAPI,
        query: str = "",
        headers: dict[str, str] | None = None,
        path: str = "/events",
        separator: bytes = b"\n\n",
    ) -> None:
        self._path = path
        self._separator = separator
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self.sends = 0
        self.reading = asyncio.Event()
        self.reading.set()
        self.fault: Exception | None = None
        self._app = app
        self._query = query
        self._sent_headers = [(key.lower().encode(), value.encode()) for key, value in (headers or {}).items()]
        self._blocks: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._has_asked = False
        self._has_left = asyncio.Event()
        self._started = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Listener:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": f"/api/v1{self._path}",
            "query_string": self._query.encode(),
            "headers": self._sent_headers,
        }
        self._task = asyncio.create_task(self._app(scope, self._receive, self._send))
        async with asyncio.timeout(5):
            await self._started.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        await self.ended()

    def leave(self) -> None:
        """Close the connection."""
        self._has_left.set()

    async def ended(self) -> None:
        """Wait until the server has done with this client; raise what it raised."""
        assert self._task is not None
        async with asyncio.timeout(5):
            await self._task

    async def text(self) -> str:
        """Return the next block, or the next line where these are what is separated."""
        async with asyncio.timeout(5):
            return (await self._blocks.get()).decode()

    async def block(self) -> dict[str, str]:
        """Return the next block as its fields; a comment's field is named ''."""
        text = await self.text()
        return {key: value.removeprefix(" ") for key, _, value in (line.partition(":") for line in text.split("\n"))}

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the data of the next events, checked for what all have in common; skip all other blocks."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            block = await self.block()
            if "event" in block:
                data = json.loads(block["data"])
                assert (block["event"], block["id"]) == ("plugin", str(data["id"]))
                found.append(data)
        return found

    async def ids(self, count: int) -> list[int]:
        """Return the ids of the next events."""
        return [event["id"] for event in await self.events(count)]

    def is_silent(self) -> bool:
        """Tell whether all that was sent has been taken."""
        return self._blocks.empty()

    async def _receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sends += 1
        await self.reading.wait()
        if self.fault:
            raise self.fault
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
            return
        self._started.set()
        *blocks, self._rest = (self._rest + message["body"]).split(self._separator)
        for block in blocks:
            self._blocks.put_nowait(block)
        self.is_complete = not message.get("more_body")
