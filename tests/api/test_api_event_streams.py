"""GET /events: a Controller that was lost, clients that leave or stall, the end of the server, and the limits."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from api_fakes import FakeController, Serving, application, plugin_object
from fastapi import FastAPI
from stream_client import SMALL, Listener, running, settled

from iocmng.api.event_hub import StreamLimits
from iocmng.core.state import Event
from iocmng.errors import ServerUnavailable


async def test_a_new_life_of_the_controller_leaves_no_gap(controller: FakeController) -> None:
    """The first snapshot of a new life tells of no events: those in between are fetched."""
    async with running(controller) as app, Listener(app) as listener:
        controller.emit()
        assert await listener.ids(1) == [1]
        controller.publishing.clear()
        for _ in range(3):
            controller.emit()
        controller.begin_new_life()
        controller.publish()
        assert await listener.ids(3) == [2, 3, 4]
        controller.emit()
        assert await listener.ids(1) == [5]
        assert listener.is_silent()


async def test_what_cannot_be_fetched_ends_the_streams(
    controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the gap cannot be closed the client is sent away, in good order, and resumes by itself."""
    async with running(controller) as app, Listener(app, "after=0") as listener:
        controller.raises["events"] = ServerUnavailable("the Controller cannot be reached")
        controller.begin_new_life()
        await listener.ended()
        assert listener.is_complete
        assert "cannot tell what happened" in caplog.text


async def test_a_gap_that_cannot_be_told_in_time_ends_the_streams(controller: FakeController) -> None:
    """A Controller that does not answer does not hold up this replica's reads for ever."""
    async with running(controller, StreamLimits(catch_up=0.02)) as app, Listener(app) as listener:
        controller.gate.clear()
        controller.begin_new_life()
        await listener.ended()
        controller.put(plugin_object("later"))
        await controller.seen()


async def test_a_long_gap_ends_the_streams(controller: FakeController) -> None:
    """More than can be repeated at once is not cut without a word: the client resumes, and is told then."""
    async with running(controller, StreamLimits(replayed=8)) as app, Listener(app) as listener:
        controller.publishing.clear()
        for _ in range(20):
            controller.emit()
        controller.begin_new_life()
        controller.publish()
        await listener.ended()
        assert listener.is_complete
        assert listener.is_silent() or "retry" in await listener.block()
        assert listener.is_silent()


async def test_a_new_life_without_news_leaves_the_streams_open(controller: FakeController) -> None:
    """The newest event is the one that the client knows: nothing was missed."""
    async with running(controller) as app, Listener(app) as listener:
        controller.emit()
        assert await listener.ids(1) == [1]
        controller.begin_new_life()
        await controller.seen()
        controller.emit()
        assert await listener.ids(1) == [2]
        assert not listener.is_complete


async def test_ids_that_begin_anew_end_the_streams(controller: FakeController) -> None:
    """After the state was removed, a client that knows higher ids is sent away, and begins anew."""
    for _ in range(3):
        controller.emit()
    async with running(controller) as app:
        async with Listener(app) as listener:
            controller.stored.clear()
            controller.begin_new_life()
            await listener.ended()
            assert listener.is_complete
        async with Listener(app, headers={"Last-Event-ID": "3"}) as listener:
            controller.emit()
            assert await listener.ids(1) == [1]


async def test_a_client_that_leaves_frees_its_place(controller: FakeController) -> None:
    """Its stream ends at once, not with the next event; the place is free."""
    async with running(controller) as app:
        for _ in range(5):
            async with Listener(app) as one, Listener(app) as other:
                began = time.monotonic()
                one.leave()
                await one.ended()
                assert time.monotonic() - began < 1
                assert not other.is_complete


async def test_a_stopping_server_ends_its_streams(controller: FakeController) -> None:
    """The end of the application ends all streams in good order, and waits for nobody."""
    app = application(controller, streams=SMALL)
    async with app.router.lifespan_context(app):
        listener = await Listener(app).__aenter__()
        stalled = await Listener(app).__aenter__()
        stalled.reading.clear()
        began = time.monotonic()
    await listener.ended()
    await stalled.ended()
    assert listener.is_complete
    assert time.monotonic() - began < 1


async def test_what_waits_is_still_sent_when_the_server_stops(controller: FakeController) -> None:
    """A client that takes a moment gets the rest, and a good end."""
    app = application(controller, streams=StreamLimits(farewell=5.0))
    async with app.router.lifespan_context(app):
        listener = await Listener(app).__aenter__()
        listener.reading.clear()
        for _ in range(3):
            controller.emit()
            await controller.seen()
    await settled()
    listener.reading.set()
    await listener.ended()
    assert listener.is_complete
    assert await listener.ids(3) == [1, 2, 3]


async def test_a_broken_connection_is_no_mistake(controller: FakeController, caplog: pytest.LogCaptureFixture) -> None:
    """A send that fails as connections do ends the stream, without a word in the log."""
    async with running(controller) as app, Listener(app) as listener:
        listener.fault = BrokenPipeError()
        controller.emit()
        await listener.ended()
        assert "failed" not in caplog.text


async def test_a_mistake_of_the_server_is_not_hidden(
    controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """Any other error breaks the stream, and stands in the log with its traceback."""
    async with running(controller) as app:
        listener = await Listener(app).__aenter__()
        listener.fault = LookupError("surprise")
        controller.emit()
        with pytest.raises(LookupError, match="surprise"):
            await listener.ended()
        assert caplog.text.count("Traceback (most recent call last)") == 1


async def test_a_client_that_is_too_slow_is_let_go_and_resumes(
    controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits for a client is bounded; it loses its connection, not an event."""
    async with running(controller) as app:
        slow = await Listener(app).__aenter__()
        slow.reading.clear()
        for _ in range(8):
            controller.emit()
            await controller.seen()
            await settled()
        await slow.ended()
        assert not slow.is_complete
        assert "too slow" in caplog.text
        async with Listener(app, "after=0") as resumed:
            assert await resumed.ids(8) == list(range(1, 9))


async def test_a_slow_client_does_not_hold_up_the_others(controller: FakeController) -> None:
    """While one takes nothing, another gets every event."""
    async with running(controller) as app, Listener(app) as slow, Listener(app) as quick:
        slow.reading.clear()
        for number in range(1, 8):
            controller.emit()
            assert await quick.ids(1) == [number]
        slow.reading.set()


async def test_a_stream_ends_when_it_is_old(controller: FakeController) -> None:
    """What proxies keep for a client is bounded too: the stream ends in good order, and the client resumes."""
    async with running(controller, StreamLimits(keep_alive=0.01, longest=0.02)) as app, Listener(app) as listener:
        await listener.ended()
        assert listener.is_complete


async def test_streams_are_limited(controller: FakeController) -> None:
    """One stream more than there are places is 503 with a sentence; a list is still answered."""
    async with running(controller) as app, Listener(app), Listener(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://iocmng.localhost/api/v1") as client:
            refused = await client.get("/events")
            assert refused.status_code == 503
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["type"] == "urn:iocmng:problem:server-unavailable"
            assert "2 streams of events are open" in refused.json()["detail"]
            assert (await client.get("/events?stream=false")).status_code == 200


@pytest.mark.parametrize("failing", [1, 2])
async def test_a_stream_that_cannot_begin_is_an_error(controller: FakeController, failing: int) -> None:
    """While the Controller cannot be reached the answer is 503, not a stream of nothing; no place is lost."""

    class Failing(FakeController):
        async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
            found = await super().events(name, after, limit)
            if len(self.calls) % failing == 0 and not self.ready:
                raise ServerUnavailable("the Controller cannot be reached")
            return found

    failing_controller = Failing(ready=False)
    async with running(failing_controller) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://iocmng.localhost/api/v1") as client:
            for _ in range(4):
                response = await client.get("/events")
                assert response.status_code == 503
                assert response.headers["content-type"] == "application/problem+json"
        failing_controller.ready = True
        async with Listener(app), Listener(app):
            pass


async def test_no_stream_before_the_first_snapshot(serving: Serving, controller: FakeController) -> None:
    """A stream that nobody feeds would look like quiet plugins."""
    controller.publishing.clear()
    async with serving(controller) as client:
        assert (await client.get("/events")).status_code == 503


@asynccontextmanager
async def on_a_port(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # who connects early waits in its queue
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        base = f"http://127.0.0.1:{listening.getsockname()[1]}/api/v1"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=10) as client:
            yield client
        server.should_exit = True
        await serving


async def test_over_a_real_connection(controller: FakeController) -> None:
    """uvicorn, TCP, httpx: events arrive one by one, and the end of the connection frees the place."""
    async with on_a_port(application(controller, streams=StreamLimits(streams=1))) as client:
        for number in (1, 2):
            async with asyncio.timeout(10), free_stream(client) as lines:
                controller.emit()
                while not (line := await anext(lines)).startswith("data: "):
                    pass
                assert json.loads(line.removeprefix("data: "))["id"] == number
                assert (await client.get("/events")).status_code == 503


@asynccontextmanager
async def free_stream(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    """Open a stream as soon as there is a place."""
    while True:
        async with client.stream("GET", "/events", headers={"Accept": "text/event-stream"}) as response:
            if response.status_code == 200:
                yield response.aiter_lines()
                return
        await asyncio.sleep(0.01)
