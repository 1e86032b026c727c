"""The answer that never ends by itself: server-sent events, as the HTML standard defines them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from iocmng.api.event_hub import EventHub, Opening
from iocmng.api.history import event_object
from iocmng.api.json_bytes import encode
from iocmng.api.runs import run_news
from iocmng.api.streaming import HEADERS, begin, carry, end, write
from iocmng.core.runs import Run
from iocmng.core.state import Event

EVENT_STREAM = "text/event-stream"

_KEEP_ALIVE = b": still here\n\n"


class EventStream(Response):
    """Sends events until the client leaves or is too slow, the hub closes, or the stream has grown old."""

    media_type = EVENT_STREAM

    def __init__(self, hub: EventHub, after: int | None, plugin: str | None) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._after = after
        self._plugin = plugin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events. What goes wrong before the first byte is raised, and becomes a problem document."""
        async with self._hub.opened(self._after, self._plugin) as opening:
            await carry(self._send(opening, send), receive, opening.subscription.ended, self._hub.limits.farewell)

    async def _send(self, opening: Opening, send: Send) -> None:
        limits, loop = self._hub.limits, asyncio.get_running_loop()
        oldest = loop.time() + limits.longest
        await begin(send, self.status_code, self.raw_headers)
        await write(send, _beginning(opening, limits.retry))
        while (events := await opening.subscription.take(limits.keep_alive)) is not None:
            await write(send, _blocks(events) if events else _KEEP_ALIVE)
            if loop.time() >= oldest:
                break
        await end(send)


def _beginning(opening: Opening, retry: float) -> bytes:
    """Return the first block, whose id lets a client resume that has seen no event yet, and what was missed."""
    note = (
        b": more may have been missed than is repeated here; the oldest of it is left out\n" if opening.is_cut else b""
    )
    return note + f"retry: {retry * 1000:.0f}\nid: {opening.position}\n\n".encode() + _blocks(opening.missed)


def _blocks(news: Iterable[Event | Run]) -> bytes:
    return b"".join(_block(one) for one in news)


def _block(news: Event | Run) -> bytes:
    if isinstance(news, Run):  # without an id: a client that connects again resumes behind the last event
        return b"event: run\ndata: " + encode(run_news(news)) + b"\n\n"
    return f"id: {news.id}\nevent: plugin\ndata: ".encode() + encode(event_object(news)) + b"\n\n"
