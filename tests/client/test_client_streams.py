"""Logs and events as they come, from the real API, over a restart of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from api_fakes import FakeController, plugin_object
from served_api import RUNNING, SUCCESS, ServedApi, served
from support import free_port

from iocmng.client import AsyncClient, Client
from iocmng.errors import UnknownPlugin


@pytest.fixture
def client(api: ServedApi) -> Iterator[Client]:
    """The blocking client."""
    with Client(api.url, patience=10) as client:
        yield client


def test_log_lines_come_once_and_in_order(client: Client, api: ServedApi) -> None:
    """First the newest, then what is added, until the plugin is removed."""
    following = client.follow_logs("monitor", tail=1)
    assert next(following)["lines"] == ["two"]
    api.controller.log_lines += ["three", "four"]
    assert next(following)["lines"] == ["three", "four"]
    api.controller.log_lines += ["five"]
    assert next(following)["lines"] == ["five"]
    api.do(lambda controller: controller.drop("monitor"))
    with pytest.raises(UnknownPlugin):
        next(following)


def test_events_come_as_they_happen(client: Client, api: ServedApi) -> None:
    """Those behind a position first, then new ones, of one plugin or of all."""
    api.do(lambda controller: [controller.emit("scan"), controller.emit("monitor")])
    following = client.follow_events("monitor", after=0)
    assert next(following)["id"] == 2
    api.do(lambda controller: [controller.emit("scan"), controller.emit("monitor")])
    assert next(following)["id"] == 4


def test_events_survive_a_restart_of_the_server() -> None:
    """The client connects again, and gets what happened meanwhile, each event once."""
    controller, port = FakeController(plugin_object("monitor")), free_port()
    with Client(f"http://127.0.0.1:{port}", patience=20) as client:
        following = client.follow_events(after=0)
        with served(controller, port) as api:
            api.do(lambda controller: controller.emit())
            assert next(following)["id"] == 1
        controller.emit()
        with served(controller, port) as api:
            api.do(lambda controller: controller.emit())
            assert [next(following)["id"], next(following)["id"]] == [2, 3]


def test_a_run_can_be_followed(client: Client, api: ServedApi) -> None:
    """follow_run yields it at each change and ends with it, however it ended."""
    api.runs.script = [RUNNING, SUCCESS | {"state": "lost"}]
    run_id = client.submit_job("scan")["run_id"]
    assert [run["state"] for run in client.follow_run("scan", run_id)] == ["running", "lost"]


async def test_the_async_client_follows_too(api: ServedApi) -> None:
    """Logs, events and runs by `async for`, while other calls of the same client go on."""
    async with AsyncClient(api.url) as client:
        following = client.follow_events(after=0)
        first = asyncio.ensure_future(anext(following))
        await asyncio.to_thread(api.do, lambda controller: controller.emit())
        assert (await first)["id"] == 1
        pages = client.follow_logs("monitor")
        assert (await anext(pages))["lines"] == ["one", "two"]
        api.controller.log_lines += ["three"]
        assert (await anext(pages))["lines"] == ["three"]
        api.runs.script = [RUNNING, SUCCESS]
        run_id = (await client.submit_job("scan"))["run_id"]
        assert [run["state"] async for run in client.follow_run("scan", run_id)] == ["running", "success"]
        for stream in (following, pages):
            await stream.aclose()


def test_closing_the_client_ends_its_streams(client: Client, api: ServedApi) -> None:
    """A stream that nobody reads any more holds nothing open at the server."""
    api.do(lambda controller: controller.emit())
    events = list(itertools.islice(client.follow_events(after=0), 1))
    assert [event["id"] for event in events] == [1]
