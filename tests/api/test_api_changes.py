"""POST and DELETE of plugins: what they answer, and when."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from api_fakes import FakeController, Serving, plugin_object

from iocmng.api.schemas import Done, DoneWithChecks, DoneWithPlugin
from iocmng.api.snapshot import FollowTimes
from iocmng.core.builtin_pvs import Kind
from iocmng.errors import (
    CheckFailure,
    IocmngError,
    PluginCrashed,
    PluginRejected,
    ServerUnavailable,
    SourceUnavailable,
    TimedOut,
    UnknownPlugin,
    WrongState,
)

BODY: dict[str, Any] = {"name": "new", "git_url": "https://git.example.org/p.git"}
COLLECTIONS = {"plugins": None, "tasks": Kind.TASK, "jobs": Kind.JOB}


@pytest.mark.parametrize("path", COLLECTIONS)
async def test_add(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """An add answers 201 with the plugin, its checks and where it is; the kind is passed on."""
    response = await client.post(f"/{path}", json=BODY | {"parameters": {"gain": 2}})
    body = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/{path}/new"
    assert (body["ok"], body["message"]) == (True, f"{path[:-1]} 'new' added")
    assert body["validation"] == {"ok": True, "errors": [], "warnings": [], "failures": []}
    assert body["plugin"]["parameters"] == {"gain": 2}
    DoneWithChecks.model_validate(body)
    call, request, kind, wait = controller.calls[0]
    assert (call, request.name, kind, wait) == ("add", "new", COLLECTIONS[path], True)
    assert (await client.get("http://iocmng.localhost" + response.headers["location"])).json() == body["plugin"]


@pytest.mark.parametrize("path", COLLECTIONS)
async def test_add_without_waiting(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """?wait=false answers 202 with a Location that can be asked at once."""
    response = await client.post(f"/{path}?wait=false", json=BODY)
    assert response.status_code == 202
    assert response.headers["location"] == f"/api/v1/{path}/new"
    assert response.json()["plugin"]["status"] == "loading"
    assert controller.calls[0][3] is False
    assert (await client.get("http://iocmng.localhost" + response.headers["location"])).status_code == 200


async def test_warnings_of_the_checks_are_shown(client: httpx.AsyncClient, controller: FakeController) -> None:
    """The validation of an answer is the plugin's own."""
    validation = {"ok": True, "errors": [], "warnings": ["RESET is built in now"]}
    controller.put(plugin_object("old", validation=validation))
    assert (await client.post("/plugins/old/restart")).json()["validation"] == validation


async def test_an_add_in_progress_blocks_nothing(client: httpx.AsyncClient, controller: FakeController) -> None:
    """While one add waits for its clone, reads and other calls are answered."""
    controller.gate.clear()
    adding = asyncio.create_task(client.post("/tasks", json=BODY))
    assert (await client.get("/tasks")).json()["count"] == 1
    assert (await client.get("/health")).status_code == 200
    assert not adding.done()
    controller.gate.set()
    assert (await adding).status_code == 201


async def test_a_change_returns_when_this_replica_shows_it(serving: Serving, controller: FakeController) -> None:
    """An answer waits until a GET from the same replica shows the change."""
    async with serving(controller, times=FollowTimes(settle=30)) as client:
        controller.publishing.clear()
        adding = asyncio.create_task(client.post("/tasks", json=BODY))
        await controller.changed()
        assert (await client.get("/tasks/new")).status_code == 404
        assert not adding.done()
        controller.publish()
        assert (await adding).status_code == 201
        assert (await client.get("/tasks/new")).status_code == 200


async def test_a_change_that_this_replica_does_not_see_in_time_is_still_a_success(
    client: httpx.AsyncClient, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """What is done is done: after the limit the answer tells of success, and the log of the delay."""
    controller.publishing.clear()
    response = await client.post("/tasks", json=BODY)
    assert response.status_code == 201
    assert response.json()["plugin"] is None
    DoneWithChecks.model_validate(response.json())
    assert "this replica has not seen it yet" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PluginRejected.because(CheckFailure("syntax", "invalid syntax", "mine.py", 3)), 422),
        (SourceUnavailable.because("repository not found"), 502),
        (PluginCrashed("the process ended with signal 11"), 502),
        (ServerUnavailable("the Controller cannot be reached"), 503),
        (TimedOut("the clone took longer than 120 s"), 504),
        (WrongState("it is stopping"), 409),
    ],
)
async def test_a_failed_add_tells_why(
    client: httpx.AsyncClient, controller: FakeController, error: IocmngError, status: int
) -> None:
    """The error's status, text and failed checks reach the caller unchanged."""
    controller.raises["add"] = error
    response = await client.post("/tasks", json=BODY)
    body = response.json()
    assert response.status_code == status
    assert (body["detail"], body["message"], body["ok"]) == (error.message, error.message, False)
    assert body["validation"] == {"ok": False, "errors": [failure.to_dict() for failure in error.failures]}


@pytest.mark.parametrize("call", ["POST /tasks", "POST /tasks/new/restart"])
async def test_a_failed_load_leaves_no_trace(serving: Serving, controller: FakeController, call: str) -> None:
    """The error comes when this replica has seen the end of the failed load, so that a GET shows nothing of it."""
    controller.put(plugin_object("new", "task", status="loading" if call == "POST /tasks" else "restarting"))
    error = PluginRejected("it fails its checks")
    error.snapshot_version = controller.version + 1
    controller.raises |= dict.fromkeys(("add", "restart"), error)
    async with serving(controller, times=FollowTimes(settle=30)) as client:
        failing = asyncio.create_task(client.request(*call.split(), json=BODY))
        await controller.called()
        for _ in range(20):  # far more turns than an answer takes that does not wait
            await client.get("/health")
            await asyncio.sleep(0)
        assert not failing.done()
        controller.drop("new")
        assert (await failing).status_code == 422
        assert (await client.get("/tasks/new")).status_code == 404


async def test_a_replica_that_lags_does_not_hold_up_an_error(serving: Serving, controller: FakeController) -> None:
    """After the limit the error is answered, whatever the replica shows."""
    error = TimedOut("the clone took longer than 120 s")
    error.snapshot_version = controller.version + 100
    controller.raises["add"] = error
    async with serving(controller, times=FollowTimes(settle=0.01)) as client:
        assert (await client.post("/tasks", json=BODY)).status_code == 504


async def test_a_duplicate_is_409(client: httpx.AsyncClient) -> None:
    """A name that is taken is refused."""
    response = await client.post("/plugins", json=BODY | {"name": "monitor"})
    assert response.status_code == 409


@pytest.mark.parametrize("path", COLLECTIONS)
async def test_an_add_never_answers_404(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """Old dashboards take 404 for "try the other call": a plugin removed while it loads is 409."""
    controller.raises["add"] = UnknownPlugin("there is no plugin 'new'")
    response = await client.post(f"/{path}", json=BODY)
    assert response.status_code == 409
    assert "removed while it was being added" in response.json()["detail"]
    assert (await client.post(f"/{path}/", json=BODY)).status_code == 307


async def test_git_url_may_be_empty(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Dashboards send "" for what is not given."""
    response = await client.post("/plugins", json={"name": "new", "git_url": "", "local_path": "/plugins/new"})
    assert response.status_code == 201
    assert controller.calls[0][1].git_url is None


@pytest.mark.parametrize("path", ["/plugins/monitor", "/tasks/monitor", "/plugins/scan", "/jobs/scan"])
async def test_remove(client: httpx.AsyncClient, path: str) -> None:
    """A removed plugin is gone when the call returns."""
    response = await client.delete(path)
    assert response.status_code == 200
    assert response.json() == {"ok": True, "message": f"{path.split('/')[1][:-1]} {path.split('/')[2]!r} removed"}
    Done.model_validate(response.json())
    assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/plugins/monitor", "/tasks/monitor", "/plugins/scan", "/jobs/scan"])
async def test_restart(client: httpx.AsyncClient, path: str) -> None:
    """A restart answers with the new plugin."""
    response = await client.post(f"{path}/restart")
    body = response.json()
    assert response.status_code == 200
    assert body["ok"] is True
    assert body["plugin"]["generation"] == 2
    assert body["message"].endswith("restarted")
    DoneWithChecks.model_validate(body)


@pytest.mark.parametrize("root", ["/plugins", "/tasks"])
async def test_start_and_stop(client: httpx.AsyncClient, root: str) -> None:
    """Both answer with the plugin as it is then."""
    stopped = await client.post(f"{root}/monitor/stop")
    assert stopped.status_code == 200
    assert stopped.json()["plugin"]["running"] is False
    assert stopped.json()["message"] == "task 'monitor' stopped"
    DoneWithPlugin.model_validate(stopped.json())
    started = (await client.post(f"{root}/monitor/start")).json()
    assert (started["ok"], started["message"]) == (True, "task 'monitor' started")
    assert started["plugin"]["running"] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tasks/scan/start"),
        ("POST", "/plugins/scan/start"),
        ("POST", "/plugins/scan/stop"),
        ("DELETE", "/tasks/scan"),
        ("DELETE", "/jobs/monitor"),
        ("POST", "/jobs/monitor/restart"),
    ],
)
async def test_the_wrong_kind_is_400_and_changes_nothing(
    client: httpx.AsyncClient, controller: FakeController, method: str, path: str
) -> None:
    """A job has no cycles to start, and /tasks does not remove jobs."""
    version = controller.version
    response = await client.request(method, path)
    assert response.status_code == 400
    assert controller.version == version


@pytest.mark.parametrize("call", ["DELETE", "POST restart", "POST start", "POST stop", "POST run"])
@pytest.mark.parametrize("root", ["plugins", "tasks", "jobs"])
async def test_an_unknown_name_is_404(client: httpx.AsyncClient, root: str, call: str) -> None:
    """A change of a plugin that does not exist is 404."""
    method, _, action = call.partition(" ")
    response = await client.request(method, f"/{root}/none{'/' if action else ''}{action}")
    assert response.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("DELETE", "/tasks/monitor", "remove"),
        ("POST", "/tasks/monitor/restart", "restart"),
        ("POST", "/tasks/monitor/stop", "set_running"),
        ("POST", "/jobs/scan/run", "run_job"),
        ("GET", "/jobs/scan/logs", "logs"),
    ],
)
async def test_every_call_passes_errors_on(
    client: httpx.AsyncClient, controller: FakeController, method: str, path: str, call: str
) -> None:
    """What the Controller raises becomes the answer's status."""
    controller.raises[call] = WrongState("it is being replaced")
    response = await client.request(method, path)
    assert response.status_code == 409
    assert response.json()["detail"] == "it is being replaced"


@pytest.mark.parametrize("path", ["/tasks/monitor/restart", "/tasks/monitor/start", "/plugins/monitor/stop"])
@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b"[1"])
async def test_calls_without_a_body_do_not_mind_one(client: httpx.AsyncClient, path: str, content: bytes) -> None:
    """Some dashboards send a body where none is asked for."""
    assert (await client.post(path, content=content)).status_code == 200


async def test_nothing_ever_shows_a_pat(
    client: httpx.AsyncClient, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the answers nor the log of an add hold its PAT, whether it works or not."""
    caplog.set_level(logging.DEBUG)
    secret = "ghp_topsecret"
    texts = [(await client.post("/plugins", json=BODY | {"pat": secret})).text]
    assert controller.calls[0][1].pat.get_secret_value() == secret
    for mistake in ({"name": "a b"}, {"local_path": "/x"}, {"git_url": ""}, {"branch": 5}, {"extra": secret}):
        response = await client.post("/plugins", json=BODY | {"pat": secret} | mistake)
        assert response.status_code == 422
        texts.append(response.text)
    for pat in ([secret], {secret: secret}, 5, True):
        response = await client.post("/plugins", json=BODY | {"pat": pat})
        assert response.status_code == 422
        assert "pat" in response.json()["detail"]
        texts.append(response.text)
    texts.append((await client.post("/plugins", content=json.dumps(BODY | {"pat": secret})[:-1])).text)
    controller.raises["add"] = RuntimeError("surprise")
    texts.append((await client.post("/plugins", json=BODY | {"pat": secret})).text)
    assert not [text for text in [*texts, caplog.text] if "topsecret" in text]
