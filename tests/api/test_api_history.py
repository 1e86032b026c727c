"""A plugin's generations and events."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_fakes import FakeController

from iocmng.api.history_schemas import GenerationList, PluginEventList
from iocmng.core.source import GitSource, LocalSource
from iocmng.core.spec import FilesRef, PluginSpec
from iocmng.core.state import Cause, Generation, GenerationResult
from iocmng.errors import StateUnavailable

GIT = GitSource("https://git.example.org/p.git", "monitor", "main", "asked", has_credential=True)
FILES = FilesRef("digest", "0123456789abcdef", "v2")


def generation(number: int, **changes: Any) -> Generation:
    spec = PluginSpec(
        "monitor",
        changes.pop("source", GIT),
        parameters={"gain": 2},
        generation=number,
        files=changes.pop("files", FILES),
    )
    return Generation(
        **{
            "plugin": "monitor",
            "number": number,
            "cause": Cause.RESTART,
            "at": 1_700_000_000.25,
            "spec": spec,
            "result": GenerationResult.STARTED,
        }
        | changes
    )


@pytest.mark.parametrize("root", ["plugins", "tasks"])
async def test_generations(client: httpx.AsyncClient, controller: FakeController, root: str) -> None:
    """They come in the Controller's order, with what each was started from; the present one is marked."""
    failed = {"result": GenerationResult.FAILED, "message": "syntax: bad", "files": None, "cause": Cause.CHANGE}
    controller.past["monitor"] = [generation(2, **failed), generation(1)]
    body = (await client.get(f"/{root}/monitor/generations")).json()
    GenerationList.model_validate(body)
    assert (body["name"], body["count"]) == ("monitor", 2)
    newest, oldest = body["generations"]
    assert oldest == {
        "generation": 1,
        "cause": "restart",
        "at": "2023-11-14T22:13:20.250+00:00",
        "commit": "0123456789abcdef",
        "branch": "v2",
        "git_url": "https://git.example.org/p.git",
        "local_path": None,
        "path": "monitor",
        "parameters": {"gain": 2},
        "result": "started",
        "message": "",
        "current": True,
    }
    changed = {"generation": 2, "cause": "change", "result": "failed", "message": "syntax: bad", "current": False}
    assert newest == oldest | changed | {"commit": "asked", "branch": "main"}


async def test_generations_of_a_local_plugin(client: httpx.AsyncClient, controller: FakeController) -> None:
    """A local directory has no commit where it is in no repository."""
    controller.past["scan"] = [generation(1, source=LocalSource("/plugins", "scan"), files=FilesRef("digest"))]
    (row,) = (await client.get("/jobs/scan/generations")).json()["generations"]
    assert (row["git_url"], row["local_path"], row["path"]) == (None, "/plugins", "scan")
    assert (row["commit"], row["branch"]) == (None, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/plugins/none/generations", 404),
        ("/plugins/a%20b/generations", 404),
        ("/jobs/monitor/generations", 400),
        ("/plugins/none/events", 404),
        ("/tasks/none/events?after=7", 404),
        ("/plugins/a%20b/events", 404),
        ("/jobs/monitor/events", 400),
    ],
)
async def test_other_names_and_kinds(client: httpx.AsyncClient, path: str, status: int) -> None:
    """They are refused as everywhere."""
    response = await client.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("root", ["plugins", "tasks"])
async def test_events_of_a_plugin(client: httpx.AsyncClient, controller: FakeController, root: str) -> None:
    """Oldest first, a hundred unless told otherwise, and none of another plugin."""
    for name in ("monitor", "scan", "monitor", "monitor"):
        controller.emit(name)
    body = (await client.get(f"/{root}/monitor/events")).json()
    PluginEventList.model_validate(body)
    assert (body["name"], body["count"]) == ("monitor", 3)
    assert [event["id"] for event in body["events"]] == [1, 3, 4]
    body = (await client.get(f"/{root}/monitor/events?limit=1&after=1")).json()
    assert [event["id"] for event in body["events"]] == [4]
    assert controller.calls == [("events", "monitor", 0, 100), ("events", "monitor", 1, 1)]


async def test_a_plugin_without_events(client: httpx.AsyncClient) -> None:
    """A plugin that is there has a list, if an empty one."""
    assert (await client.get("/jobs/scan/events")).json() == {"name": "scan", "events": [], "count": 0}


@pytest.mark.parametrize("root", ["plugins", "tasks", "jobs"])
async def test_events_outlive_their_plugin(client: httpx.AsyncClient, controller: FakeController, root: str) -> None:
    """The name of a removed plugin still has its events; with none newer the list is empty, not 404."""
    controller.emit("gone", "removed")
    body = (await client.get(f"/{root}/gone/events")).json()
    PluginEventList.model_validate(body)
    assert [event["status"] for event in body["events"]] == ["removed"]
    response = await client.get(f"/{root}/gone/events?after=1")
    assert (response.status_code, response.json()["events"]) == (200, [])


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "after=-1", f"after={2**63}"])
async def test_limits(client: httpx.AsyncClient, controller: FakeController, query: str) -> None:
    """A number out of range is named, and never reaches the Controller."""
    response = await client.get(f"/plugins/monitor/events?{query}")
    assert response.status_code == 422
    assert response.json()["detail"].startswith(query.partition("=")[0] + ": ")
    assert controller.calls == []


@pytest.mark.parametrize("call", ["generations", "events"])
async def test_a_state_that_cannot_be_read_is_503(
    client: httpx.AsyncClient, controller: FakeController, call: str
) -> None:
    """Its own type tells it from a Controller that is away."""
    controller.raises[call] = StateUnavailable("the state cannot be read: the disk is full")
    response = await client.get(f"/plugins/monitor/{call}")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:iocmng:problem:state-unavailable"
    assert response.json()["title"] == "State unavailable"
    assert response.json()["detail"] == "the state cannot be read: the disk is full"
