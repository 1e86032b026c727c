"""GET /plugins/{name}/logs?follow=true: what comes, who is let go, and what it costs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from api_fakes import FakeController, plugin_object
from fastapi import FastAPI
from stream_client import SMALL, Listener, running, settled

from iocmng.api.event_hub import StreamLimits
from iocmng.errors import ServerUnavailable, UnknownPlugin

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def controller() -> FakeController:
    """A Controller with one plugin, whose log has two lines."""
    return FakeController(plugin_object("monitor", "task"))


def follower(app: FastAPI, query: str = "", headers: dict[str, str] | None = None, path: str = "/plugins") -> Listener:
    """Return a follower of the log, as yet unconnected; of text it takes lines."""
    separator = b"\n\n" if headers else b"\n"
    return Listener(app, f"follow=true&{query}", headers, f"{path}/monitor/logs", separator)


async def lines(listener: Listener, count: int) -> list[str]:
    """Return the next lines of a text."""
    return [await listener.text() for _ in range(count)]


async def events(listener: Listener, count: int) -> list[dict[str, Any]]:
    """Return the data of the next `line` events, each checked against its id."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        block = await listener.block()
        if block.get("event") == "line":
            found.append(json.loads(block["data"]))
            assert block["id"] == str(found[-1]["number"])
    return found


async def test_lines_come_as_text(controller: FakeController) -> None:
    """First the newest ones that were asked for, then each as it is written; another generation is announced."""
    async with running(controller) as app, follower(app, "tail=1", path="/tasks") as listener:
        assert listener.status == 200
        assert listener.headers["content-type"] == "text/plain; charset=utf-8"
        assert listener.headers["cache-control"] == "no-store"
        assert await lines(listener, 2) == ["--- generation 1", "two"]
        controller.write_log("three", "four")
        assert await lines(listener, 2) == ["three", "four"]
        controller.write_log("five", generation=2)
        assert await lines(listener, 2) == ["--- generation 2", "five"]
        controller.write_log("µ \udcff")
        assert await lines(listener, 2) == ["--- generation 1", "µ ?"]


async def test_lines_come_as_events(controller: FakeController) -> None:
    """Each has its number as id, and a client that connects again by itself goes on behind it."""
    async with running(controller) as app:
        async with follower(app, "tail=1", EVENTS) as listener:
            assert listener.headers["content-type"] == "text/event-stream"
            assert await listener.block() == {"retry": "3000"}
            assert await events(listener, 1) == [{"number": 102, "generation": 1, "line": "two"}]
            controller.write_log("three", generation=2)
            assert await events(listener, 1) == [{"number": 103, "generation": 2, "line": "three"}]
        controller.write_log("four")
        async with follower(app, "", EVENTS | {"Last-Event-ID": "103"}) as listener:
            assert await events(listener, 1) == [{"number": 104, "generation": 1, "line": "four"}]


@pytest.mark.parametrize(
    ("headers", "told"),
    [(None, "--- lines are missing here"), (EVENTS, "event: missed\ndata: {}")],
    ids=["text", "sse"],
)
async def test_missing_lines_are_told_of(controller: FakeController, headers: dict[str, str] | None, told: str) -> None:
    """Who asks for lines that are kept no longer sees that there is a gap."""
    controller.log_kept = 2
    controller.write_log("three", "four")
    async with running(controller) as app, follower(app, "after=100", headers) as listener:
        seen = [await listener.text() for _ in range(2)]
        assert any(block.startswith(told) for block in seen), seen


async def test_what_goes_wrong_before_the_first_line_is_a_problem_document(controller: FakeController) -> None:
    """Unknown names, words that do not fit, and a Controller that is out of reach."""
    async with running(controller) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://iocmng.localhost/api/v1") as client:
            assert (await client.get("/plugins/none/logs?follow=true")).status_code == 404
            assert (await client.get("/jobs/monitor/logs?follow=true")).status_code == 400
            wrong = await client.get("/plugins/monitor/logs?follow=maybe")
            assert wrong.status_code == 422
            assert "follow" in wrong.json()["detail"]
            assert (await client.get("/plugins/monitor/logs?follow=true&tail=0")).status_code == 422
            controller.raises["logs"] = ServerUnavailable("the Controller cannot be reached")
            assert (await client.get("/plugins/monitor/logs?follow=true")).status_code == 503


async def test_a_removed_plugin_ends_its_stream(controller: FakeController) -> None:
    """The answer ends in good order."""
    async with running(controller) as app, follower(app, "tail=1") as listener:
        await lines(listener, 2)
        controller.raises["logs"] = UnknownPlugin("there is no plugin named 'monitor'")
        controller.write_log()
        await listener.ended()
        assert listener.is_complete


async def test_a_controller_that_is_away_for_a_while_is_waited_for(controller: FakeController) -> None:
    """No line is left out and none comes twice."""
    async with running(controller) as app, follower(app, "tail=1") as listener:
        await lines(listener, 2)
        controller.raises["logs"] = ServerUnavailable("the Controller cannot be reached")
        controller.write_log("three")
        await settled()
        del controller.raises["logs"]
        assert await lines(listener, 1) == ["three"]


async def test_a_controller_that_stays_away_ends_the_stream(controller: FakeController) -> None:
    """In good order: the client may come again, and goes on where it was."""
    limits = StreamLimits(patience=0.05)
    async with running(controller, limits) as app, follower(app, "tail=1") as listener:
        await lines(listener, 2)
        controller.raises["logs"] = ServerUnavailable("the Controller cannot be reached")
        controller.write_log("three")
        await listener.ended()
        assert listener.is_complete


async def test_a_client_that_leaves_frees_its_place(controller: FakeController) -> None:
    """Its stream ends at once, not with the next line."""
    async with running(controller, StreamLimits(logs=1)) as app:
        for _ in range(3):
            async with follower(app, "tail=1") as listener:
                await lines(listener, 2)
                listener.leave()
                await listener.ended()


async def test_one_too_many_is_told_so(controller: FakeController) -> None:
    """Each follower is a call that waits at the Controller, which must not run out of places."""
    async with running(controller, StreamLimits(logs=1)) as app, follower(app) as first, follower(app) as second:
        assert first.status == 200
        assert second.status == 503


async def test_a_stalled_client_costs_no_memory(controller: FakeController) -> None:
    """While it takes nothing, no further lines are asked for; then it is told what it has missed."""
    controller.log_kept = 20
    async with running(controller, StreamLimits(log_lines=5)) as app, follower(app, "tail=1") as listener:
        await lines(listener, 2)
        listener.reading.clear()
        controller.write_log("three")
        await settled()
        asked = len(controller.calls)
        for number in range(1000):
            controller.write_log(f"flood {number}")
        await settled()
        assert len(controller.calls) <= asked + 1
        listener.reading.set()
        assert await lines(listener, 3) == ["three", "--- lines are missing here: they are kept no longer", "flood 980"]


async def test_an_answer_has_an_end(controller: FakeController) -> None:
    """Proxies take in what a client does not: after so many bytes the answer ends, and says where to go on."""
    limits = StreamLimits(log_bytes=200, log_lines=3)
    async with running(controller, limits) as app, follower(app, "after=0") as listener:
        for number in range(100):
            controller.write_log(f"a line of some length, {number}")
        await listener.ended()
        assert listener.is_complete
        seen = []
        while not listener.is_silent():
            seen.append(await listener.text())
        assert len("\n".join(seen)) < 500
        number = int(seen[-1].partition("after=")[2])
        assert seen[-1] == f"--- this answer ends here; what follows: after={number}"
        plain = [line for line in seen if not line.startswith("---")]
        assert number == 100 + len(plain)


async def test_a_quiet_stream_of_events_is_kept_alive(controller: FakeController) -> None:
    """Proxies end connections on which nothing happens."""
    async with running(controller, StreamLimits(keep_alive=0.02)) as app, follower(app, "tail=1", EVENTS) as listener:
        await events(listener, 1)
        assert await listener.text() == ": still here"


async def test_a_stopping_server_ends_its_streams(controller: FakeController) -> None:
    """It waits for nobody."""
    async with asyncio.timeout(5):
        async with running(controller, SMALL) as app:
            listener = await follower(app, "tail=1").__aenter__()
            await lines(listener, 2)
        await listener.ended()
        assert listener.is_complete
