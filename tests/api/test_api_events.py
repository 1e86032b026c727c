"""GET /events: what the stream holds, and the list."""

from __future__ import annotations

import json

import httpx
import pytest
from api_fakes import FakeController
from stream_client import Listener, running, settled

from iocmng.api.event_hub import StreamLimits
from iocmng.api.history_schemas import EventList, EventObject
from iocmng.core.state import Event


async def test_events_are_sent_as_they_happen(controller: FakeController) -> None:
    """Each is a block with its id, its name and its data, and comes without a further one behind it."""
    async with running(controller) as app, Listener(app) as listener:
        assert listener.status == 200
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["cache-control"] == "no-store"
        assert "content-length" not in listener.headers
        assert await listener.block() == {"retry": "3000", "id": "0"}
        for number in (1, 2):
            controller.emit("monitor", "error", reason="two\nlines")
            block = await listener.block()
            assert list(block) == ["id", "event", "data"]
            assert (block["id"], block["event"]) == (str(number), "plugin")
            data = json.loads(block["data"])
            assert data == {
                "id": number,
                "time": f"2023-11-14T22:13:2{number}.500+00:00",
                "plugin": "monitor",
                "status": "error",
                "previous": "loaded",
                "reason": "two\nlines",
                "generation": 1,
                "node": "node-1",
            }
            EventObject.model_validate(data)


async def test_a_stream_without_a_position_begins_now(controller: FakeController) -> None:
    """The past is not repeated; the first block tells where the stream begins, so that a client can resume."""
    controller.emit()
    async with running(controller) as app, Listener(app) as listener:
        assert await listener.block() == {"retry": "3000", "id": "1"}
        controller.emit()
        assert await listener.ids(1) == [2]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("after=2", {}),
        ("", {"Last-Event-ID": "2"}),
        ("after=1", {"Last-Event-ID": "2"}),  # a browser repeats the address that it once got
    ],
)
async def test_a_stream_resumes(controller: FakeController, query: str, headers: dict[str, str]) -> None:
    """What happened behind the position is repeated, then it goes on live: nothing missing, nothing twice."""
    for _ in range(4):
        controller.emit()
    async with running(controller) as app, Listener(app, query, headers) as listener:
        controller.emit()
        assert await listener.ids(3) == [3, 4, 5]
        controller.emit()
        assert await listener.ids(1) == [6]
        assert listener.is_silent()


class Busy(FakeController):
    """Events happen while it is asked for events: before it makes its answer, and after."""

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        self.emit()
        await self.seen()
        found = await super().events(name, after, limit)
        self.emit()
        await self.seen()
        return found


@pytest.mark.parametrize(("query", "first"), [("after=0", 1), ("", 2)])
async def test_events_during_the_opening_come_once(query: str, first: int) -> None:
    """What happens while the past is fetched may be in it, or live, or both; it is sent once, and in order."""
    controller = Busy()
    async with running(controller) as app, Listener(app, query) as listener:
        controller.emit()
        assert await listener.ids(6 - first) == list(range(first, 6))
        await settled()
        assert listener.is_silent()


async def test_a_position_beyond_the_newest_event_counts_as_now(controller: FakeController) -> None:
    """The ids of a state that was removed are void: such a client must not wait for them for ever."""
    controller.emit()
    async with running(controller) as app, Listener(app, "after=5000") as listener:
        controller.emit()
        assert await listener.ids(1) == [2]


async def test_one_plugin(controller: FakeController) -> None:
    """?plugin= leaves out the others, in the past and live; the plugin need not exist yet."""
    for name in ("monitor", "later", "monitor"):
        controller.emit(name)
    async with running(controller) as app, Listener(app, "plugin=later&after=0") as listener:
        controller.emit("monitor")
        controller.emit("later")
        events = await listener.events(2)
        assert [(event["id"], event["plugin"]) for event in events] == [(2, "later"), (5, "later")]
        assert listener.is_silent()


async def test_all_streams_get_each_event(controller: FakeController) -> None:
    """Two clients do not share: each gets everything."""
    async with running(controller) as app, Listener(app) as one, Listener(app) as other:
        controller.emit()
        assert await one.ids(1) == await other.ids(1) == [1]


async def test_a_gap_is_said(controller: FakeController) -> None:
    """Of more than can be repeated the newest come, and a comment says that there was more."""
    for _ in range(20):
        controller.emit()
    async with running(controller) as app, Listener(app, "after=1") as listener:
        assert "left out" in (await listener.block())[""]
        assert await listener.ids(8) == list(range(13, 21))


async def test_silence_is_filled_with_comments(controller: FakeController) -> None:
    """Proxies that close silent connections see something every now and then."""
    async with running(controller, StreamLimits(keep_alive=0.01)) as app, Listener(app) as listener:
        assert "retry" in await listener.block()
        for _ in range(3):
            assert await listener.block() == {"": "still here"}
        controller.emit()
        assert await listener.ids(1) == [1]


@pytest.mark.parametrize(
    ("query", "accept"),
    [
        ("", "application/json"),
        ("", "application/json, text/plain, */*"),
        ("?stream=false", "*/*"),
        ("?stream=false", "text/event-stream"),
    ],
)
async def test_a_list_for_those_who_want_json(
    client: httpx.AsyncClient, controller: FakeController, query: str, accept: str
) -> None:
    """The newest events, oldest first, at once."""
    controller.emit()
    controller.emit("scan")
    response = await client.get(f"/events{query}", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    EventList.model_validate(body)
    assert body["count"] == 2
    assert [event["plugin"] for event in body["events"]] == ["monitor", "scan"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [("limit=2", [3, 4]), ("after=1", [2, 3, 4]), ("plugin=scan", [2]), ("plugin=none", []), ("after=9", [])],
)
async def test_a_list_can_be_narrowed(
    client: httpx.AsyncClient, controller: FakeController, query: str, ids: list[int]
) -> None:
    """By number, by id and by plugin."""
    for name in ("monitor", "scan", "monitor", "monitor"):
        controller.emit(name)
    body = (await client.get(f"/events?stream=false&{query}")).json()
    assert [event["id"] for event in body["events"]] == ids
    assert body["count"] == len(ids)


@pytest.mark.parametrize("accept", ["", "*/*", "text/event-stream", "text/event-stream, application/json"])
async def test_all_others_get_the_stream(controller: FakeController, accept: str) -> None:
    """curl, EventSource, and whoever takes both."""
    headers = {"Accept": accept} if accept else {}
    async with running(controller) as app, Listener(app, headers=headers) as listener:
        assert listener.headers["content-type"].startswith("text/event-stream")
    async with (
        running(controller) as app,
        Listener(app, "stream=true", {"Accept": "application/json"}) as listener,
    ):
        assert listener.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("query", "headers", "key"),
    [
        ("after=-1", {}, "after: "),
        ("after=x", {}, "after: "),
        (f"after={2**63}", {}, "after: "),
        ("limit=0", {}, "limit: "),
        ("limit=10001", {}, "limit: "),
        ("stream=perhaps", {}, "stream: "),
        ("", {"Last-Event-ID": "abc"}, "Last-Event-ID: "),
        ("", {"Last-Event-ID": str(2**63)}, "Last-Event-ID: "),
    ],
)
async def test_a_mistake_in_the_call_is_422(
    client: httpx.AsyncClient, controller: FakeController, query: str, headers: dict[str, str], key: str
) -> None:
    """A position or a number that is none is named; nothing reaches the Controller."""
    response = await client.get(f"/events?{query}", headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(key)
    assert controller.calls == []


async def test_a_name_that_cannot_be_one_is_404(client: httpx.AsyncClient) -> None:
    """?plugin= with an illegal name is an error, not a stream of nothing."""
    assert (await client.get("/events?plugin=a%20b")).status_code == 404
