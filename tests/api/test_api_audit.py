"""Every changing call is in the audit, whatever becomes of it, and nothing of the audit is in a call's way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from api_fakes import FakeController, Serving, application, plugin_object
from test_api_auth import CHANGES, GOOD, TOKEN

from iocmng.api.audit import Caller
from iocmng.api.audit_schemas import AuditList
from iocmng.api.audit_trail import TrailLimits
from iocmng.base.audit_log import LOGGER
from iocmng.core.audit import AuditEntry, AuditKind, Door
from iocmng.core.runs import RunState
from iocmng.core.state import Applied
from iocmng.errors import PluginRejected, ServerUnavailable, StateUnavailable

BEARER = {"authorization": f"Bearer {TOKEN}".encode()}
CANARY = "canary-77c1"
QUICK = TrailLimits(pause=0.001, retry=0.01)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """The audit's lines in the log, as they come."""
    found: list[dict[str, Any]] = []

    class Taking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(record.getMessage()))

    handler, logger = Taking(), logging.getLogger(LOGGER)
    caplog.set_level(logging.INFO, LOGGER)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


async def entries(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    """Return what GET /audit shows."""
    response = await client.get("/audit", params=query, headers=BEARER)
    assert response.status_code == 200, response.text
    AuditList.model_validate(response.json())
    return response.json()["entries"]


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_every_changing_call_is_recorded(
    serving: Serving, controller: FakeController, lines: list[dict[str, Any]], method: str, path: str
) -> None:
    """No call that changes something is forgotten; a stranger's try is recorded, too, and says that it was refused."""
    async with serving(controller, token=TOKEN, audit=QUICK) as client:
        url = f"http://iocmng.test{path}"
        refused = await client.request(method, url, json=GOOD)
        await client.request(method, url, json=GOOD, headers=BEARER)
        let_in, stranger = (await entries(client))[-2:]
        assert (stranger["kind"], stranger["who"], stranger["status"]) == ("refused", "-", refused.status_code)
        assert stranger["code"] == "unauthorized"
        assert (let_in["kind"], let_in["who"], let_in["role"]) == ("change", "token", "admin")
        assert let_in["method"] == method
        assert let_in["what"] == stranger["what"] != "-"
        assert [line["status"] for line in lines][:2] == [stranger["status"], let_in["status"]]


async def test_an_add_is_told_with_what_was_asked_for(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Who, from where, what, its result and the time it took; credentials and values of unknown meaning are not."""
    body = {
        "name": "new",
        "git_url": "https://git.example.org/p.git",
        "branch": "main",
        "pat": CANARY,
        "parameters": {"gain": 2},
        "auto_start": False,
    }
    response = await client.post("/tasks", json=body, headers={"x-forwarded-for": "10.1.2.3"})
    assert response.status_code == 201
    [entry] = await entries(client)
    assert entry == {
        "id": 1,
        "door": "rest",
        "kind": "change",
        "who": "anonymous",
        "role": "admin",
        "method": "POST",
        "what": "add_task",
        "plugin": "new",
        "status": 201,
        "code": None,
        "claimed": "10.1.2.3",
        "address": "127.0.0.1:123",  # as httpx gives it
        "request": {
            "generation": 1,
            "git_url": "https://git.example.org/p.git",
            "branch": "main",
            "pat": "***",
            "parameters": {"gain": 2},
            "auto_start": False,
        },
        "time": entry["time"],
        "duration_ms": entry["duration_ms"],
    }
    assert 0 <= entry["duration_ms"] < 60_000
    assert entry["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"properties": {"gain": {}, "password": {"writeOnly": True}}}, {"gain": 2, "password": "***", "odd": "***"}),
        (None, {"gain": 2, "password": CANARY, "odd": 1}),
    ],
)
async def test_values_are_shown_as_the_plugin_declares_them(
    client: httpx.AsyncClient, controller: FakeController, schema: Any, shown: dict[str, Any]
) -> None:
    """A declared secret, and what a plugin with declarations does not know, are shown by their names alone."""
    controller.put(plugin_object("scan", "job", parameters_schema=schema))
    given = {"parameters": {"gain": 2, "password": CANARY, "odd": 1}}
    assert (await client.post("/jobs/scan/run", json=given)).status_code == 200
    [entry] = await entries(client)
    assert entry["request"] == {"run_id": 1, "generation": 1, "parameters": shown}


async def test_values_of_a_failed_change_are_not_shown(
    client: httpx.AsyncClient, controller: FakeController, lines: list[dict[str, Any]]
) -> None:
    """Which of them are secret was for the version to say that did not start."""
    controller.raises["change"] = PluginRejected("it does not load")
    response = await client.patch("/jobs/scan", json={"branch": "next", "parameters": {"password": CANARY}})
    assert response.status_code == 422
    [entry] = await entries(client)
    assert entry["request"] == {"branch": "next", "parameters": {"password": "***"}}
    assert (entry["status"], entry["code"]) == (422, "plugin-rejected")
    assert CANARY not in json.dumps(lines)


@pytest.mark.parametrize("content", [b"{", b'{"pat": "canary-77c1"}', b"\xff", b'{"name": "canary-77c1", "pat": 7}'])
async def test_a_body_that_does_not_fit_is_not_repeated(
    client: httpx.AsyncClient, lines: list[dict[str, Any]], content: bytes
) -> None:
    """422: that somebody tried is recorded, and nothing of what he sent."""
    assert (await client.post("/plugins", content=content)).status_code == 422
    [entry] = await entries(client)
    assert (entry["status"], entry["code"], entry["request"]) == (422, "invalid-request", {})
    assert CANARY not in json.dumps(lines)


async def test_credentials_of_a_url_and_of_the_caller_are_not_repeated(
    serving: Serving, controller: FakeController, lines: list[dict[str, Any]]
) -> None:
    """Neither the token, right or wrong, nor what stands in a URL, a query or a header is in an entry."""
    async with serving(controller, token=TOKEN, audit=QUICK) as client:
        body = {"name": "new", "git_url": f"https://me:{CANARY}@git.example.org/p.git?t={CANARY}", "ssh_key": None}
        url = f"/plugins?wait=true&token={CANARY}"
        headers = {**BEARER, "cookie": CANARY, "user-agent": CANARY}
        assert (await client.post(url, json=body, headers=headers)).status_code == 201
        wrong = {"authorization": f"Bearer {CANARY}"}
        assert (await client.post(url, json=body, headers=wrong)).status_code == 401
        told = json.dumps(await entries(client)) + json.dumps(lines)
        assert "https://git.example.org/p.git" in told
        assert CANARY not in told
        assert "correct horse" not in told


@pytest.mark.parametrize(
    ("content", "headers"), [(b"x" * 5000, {}), (None, {"content-length": "5000"})], ids=["grows", "declared"]
)
async def test_a_body_that_is_too_large(
    serving: Serving, controller: FakeController, content: bytes | None, headers: dict[str, str]
) -> None:
    """413 is recorded with the call's name, also where nobody has looked for its route yet."""
    async with serving(controller, max_body_bytes=2000, audit=QUICK) as client:
        response = await client.post("/plugins/monitor/rollback", content=content, headers=headers)
        assert response.status_code == 413
        [entry] = await entries(client)
        assert (entry["what"], entry["plugin"]) == ("roll_back_plugin", "monitor")
        assert (entry["status"], entry["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [({"host": "0.0.0.0"}, 403, "forbidden"), ({"token": TOKEN}, 401, "unauthorized")],
)
async def test_a_stranger_is_recorded(
    serving: Serving,
    controller: FakeController,
    lines: list[dict[str, Any]],
    settings: dict[str, str],
    status: int,
    code: str,
) -> None:
    """Who was not let in has no name; what he wanted, and from where, is known."""
    async with serving(controller, audit=QUICK, **settings) as client:
        assert (await client.delete("/tasks/monitor")).status_code == status
        [line] = lines
        assert (line["who"], line["role"], line["kind"]) == ("-", None, "refused")
        assert (line["status"], line["code"], line["what"], line["plugin"]) == (status, code, "remove_task", "monitor")
        assert line["address"] == "127.0.0.1:123"


async def test_a_mistake_of_the_server_is_recorded(client: httpx.AsyncClient, controller: FakeController) -> None:
    """500, and nothing of what went wrong."""
    controller.raises["remove"] = RuntimeError(CANARY)
    assert (await client.delete("/tasks/monitor")).status_code == 500
    [entry] = await entries(client)
    assert (entry["status"], entry["code"]) == (500, "internal-error")
    assert CANARY not in json.dumps(entry)


@pytest.mark.parametrize("path", ["/nothing", "/audit"])
async def test_a_call_that_does_not_exist_is_recorded(client: httpx.AsyncClient, path: str) -> None:
    """A POST that fits no call is a stranger's try, too."""
    assert (await client.post(path)).status_code in (404, 405)
    [entry] = await entries(client)
    assert (entry["what"], entry["kind"], entry["method"]) == ("-", "refused", "POST")


async def test_reads_are_not_recorded(client: httpx.AsyncClient, lines: list[dict[str, Any]]) -> None:
    """GET, HEAD and OPTIONS change nothing."""
    await client.get("/plugins")
    await client.head("/plugins")
    await client.options("/plugins")
    assert await entries(client) == []
    assert lines == []


async def asgi(app: Any, receive: Any, send: Any = None) -> None:
    """Make a call without a client that waits for the answer."""

    async def nowhere(message: Any) -> None: ...

    path = "/api/v1/plugins"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("203.0.113.9", 0),
        "server": ("iocmng.test", 80),
    }
    await app(scope, receive, send or nowhere)


async def test_a_client_that_has_gone_is_recorded(
    controller: FakeController, client: httpx.AsyncClient, lines: list[dict[str, Any]]
) -> None:
    """Who goes before his body has arrived gets no status."""

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await asgi(application(controller), gone)
    [entry] = await entries(client)
    assert (entry["status"], entry["code"], entry["what"]) == (None, "client-gone", "add_plugin")
    # The server shows what a header says, and no port.
    assert entry["address"] == "a trusted proxy"
    assert lines[0]["code"] == "client-gone"


async def test_a_call_that_is_cancelled_is_recorded(controller: FakeController, client: httpx.AsyncClient) -> None:
    """Serve cancels a call whose client has gone; what it has begun goes on, and is in the audit."""

    async def body() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(GOOD).encode()}

    controller.gate.clear()
    call = asyncio.create_task(asgi(application(controller), body))
    await controller.called()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    controller.gate.set()
    [entry] = await entries(client)
    assert (entry["status"], entry["code"], entry["plugin"]) == (None, "client-gone", "new")


async def test_an_answer_that_breaks_is_recorded_once(controller: FakeController, client: httpx.AsyncClient) -> None:
    """A connection that breaks under the answer leaves one entry, with the answer's status."""

    async def body() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(GOOD).encode()}

    async def breaking(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("broken pipe")

    with pytest.raises(OSError, match="broken pipe"):
        await asgi(application(controller), body, breaking)
    [entry] = await entries(client)
    assert entry["status"] == 201


async def test_each_plugin_of_a_file_has_its_entry(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Who asks for one plugin finds the apply that changed it; what stayed as it was has none."""
    controller.applied = [Applied("one", "added"), Applied("two", "unchanged"), Applied("three", "failed", CANARY)]
    plugins = [GOOD | {"name": name, "pat": CANARY} for name in ("one", "two", "three")]
    await client.post("/apply", json={"owner": "/site/p.yaml", "plugins": plugins})
    whole = (await entries(client))[-1]
    assert whole["request"] == {"owner": "/site/p.yaml", "plugins": ["one", "two", "three"]}
    [one] = await entries(client, plugin="one")
    assert one["request"] == {"apply": "/site/p.yaml", "action": "added"}
    assert await entries(client, plugin="two") == []
    assert [each["request"]["action"] for each in await entries(client, plugin="three")] == ["failed"]


async def test_runs_are_told_by_their_numbers(client: httpx.AsyncClient, controller: FakeController) -> None:
    """A run that was asked for, one that was lost, one that is cancelled."""
    await client.post("/jobs/scan/run?wait=false")
    controller.run_ends = RunState.LOST
    await client.post("/jobs/scan/run")
    await client.delete("/jobs/scan/runs/1")
    cancelled, lost, begun = await entries(client)
    assert [one["request"]["run_id"] for one in (cancelled, lost, begun)] == [1, 2, 1]
    assert (lost["status"], lost["code"]) == (502, "plugin-crashed")


async def test_a_run_says_who_asked_for_it(serving: Serving, controller: FakeController) -> None:
    """The Controller is told the name of the one who calls."""
    async with serving(controller, token=TOKEN) as client:
        await client.post("/jobs/scan/run", headers=BEARER)
        [request] = [call[2] for call in controller.calls if call[0] == "run_job"]
        assert request.who == "token"


async def test_the_door_of_the_cluster(serving: Serving, controller: FakeController) -> None:
    """Who comes from within the cluster is named by his Ray job, also as the one who asked for a run."""
    caller = Caller(Door.CLUSTER, "ray job 01000000")
    async with serving(controller, caller=caller) as client:
        await client.post("/jobs/scan/run")
        [entry] = await entries(client)
        assert (entry["door"], entry["who"]) == ("cluster", "ray job 01000000")
        assert next(call[2].who for call in controller.calls if call[0] == "run_job") == "ray job 01000000"


async def test_pages(client: httpx.AsyncClient, controller: FakeController) -> None:
    """`next` leads through all entries, each once, with what was asked for; the last page has none."""
    for name in ["monitor"] * 5 + ["scan"]:
        await client.post(f"/plugins/{name}/restart")
    url, seen = "/audit?plugin=monitor&limit=2&what=restart&since=2020-01-01", []
    while url:
        page = (await client.get(url.removeprefix("/api/v1"))).json()
        assert page["count"] == len(page["entries"]) <= 2
        seen += [entry["id"] for entry in page["entries"]]
        url = page["next"]
    assert seen == [5, 4, 3, 2, 1]
    assert await entries(client, since="2100-01-01T00:00:00Z") == []
    assert len(await entries(client, who="anonymous")) == 6
    assert await entries(client, who="somebody") == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "before=0", f"before={2**63}", "since=yesterday", "who=" + "x" * 301]
)
async def test_a_query_that_does_not_fit(client: httpx.AsyncClient, query: str) -> None:
    """422 names what is wrong."""
    response = await client.get(f"/audit?{query}")
    assert response.status_code == 422
    assert query.partition("=")[0] in response.json()["detail"]


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 200),
        ({"token": TOKEN}, {}, 401),
        ({"token": TOKEN}, {"authorization": "Bearer wrong"}, 401),
        ({"token": TOKEN}, BEARER, 200),
        ({"host": "0.0.0.0"}, {}, 403),
        ({"host": "0.0.0.0", "allow_unauthenticated": True}, {}, 200),
    ],
)
async def test_the_audit_is_for_admins(
    serving: Serving, controller: FakeController, settings: dict[str, Any], headers: Any, status: int
) -> None:
    """It needs the token where there is one, and is refused where anybody could read it."""
    async with serving(controller, **settings) as client:
        response = await client.get("/audit", headers=headers)
        assert response.status_code == status
        assert ("entries" in response.json()) == (status == 200)


async def test_a_store_that_is_slow_holds_up_no_call(
    serving: Serving, controller: FakeController, lines: list[dict[str, Any]]
) -> None:
    """Calls are answered while nothing is kept; then all of them are, in few batches and in their order."""
    controller.audit_gate.clear()
    async with serving(controller, audit=QUICK) as client:
        for number in range(30):
            assert (await client.post(f"/plugins/monitor/{'start' if number % 2 else 'stop'}")).status_code == 200
        assert controller.audited == []
        assert len(lines) == 30
        controller.audit_gate.set()
        assert [entry["what"] for entry in await entries(client)] == ["start_plugin", "stop_plugin"] * 15
        assert len(controller.audit_batches) <= 10


@pytest.mark.parametrize("error", [StateUnavailable("the disk is full"), ServerUnavailable("the Controller is gone")])
async def test_a_store_that_is_down_fails_no_call(
    serving: Serving, controller: FakeController, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """The entries wait, the log says so once, and they are kept when it is back."""
    controller.raises["add_audit"] = error
    async with serving(controller, audit=QUICK) as client:
        assert (await client.post("/plugins/monitor/stop")).status_code == 200
        await controller.audit_until(lambda: len(controller.audit_batches) >= 3)
        assert caplog.text.count("are in the log only at the moment") == 1
        assert str(error) in caplog.text
        del controller.raises["add_audit"]
        assert [entry["what"] for entry in await entries(client)] == ["stop_plugin"]


async def test_a_queue_that_is_full_drops_and_says_so(
    serving: Serving, controller: FakeController, lines: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest are kept, the rest is in the log, and an entry tells how many are missing."""
    controller.audit_gate.clear()
    async with serving(controller, audit=TrailLimits(waiting=3, pause=0.001)) as client:
        for _ in range(10):
            await client.post("/plugins/monitor/stop")
        assert len(lines) == 10
        controller.audit_gate.set()
        gap, *kept = await entries(client)
        assert len(kept) == 3
        assert (gap["what"], gap["who"], gap["request"]) == ("entries_lost", "-", {"number": 7})
        assert "7 entries of the audit are in the log only" in caplog.text


async def test_strangers_cannot_flush_the_history(
    serving: Serving, controller: FakeController, lines: list[dict[str, Any]]
) -> None:
    """Of a flood of refused calls a few are kept, then their number; all are in the log."""
    limits = TrailLimits(pause=0.001, strangers=5, period=0.3)
    async with serving(controller, token=TOKEN, audit=limits) as client:
        for _ in range(30):
            assert (await client.post("/plugins", json=GOOD)).status_code == 401
        assert (await client.post("/plugins/monitor/stop", headers=BEARER)).status_code == 200
        assert len(lines) == 31
        await controller.audit_until(lambda: _told_of(controller) + _kept(controller) == 30)
        assert _kept(controller) < 30
        assert [entry["what"] for entry in await entries(client, who="token")] == ["stop_plugin"]


def _kept(controller: FakeController) -> int:
    return len([one for one in controller.audited if one.code == "unauthorized"])


def _told_of(controller: FakeController) -> int:
    return sum(one.request["number"] for one in controller.audited if one.what == "more_refused_calls")


async def test_what_waits_at_the_end_is_kept(serving: Serving, controller: FakeController) -> None:
    """A replica that ends, and a command that has done its work, take their entries along."""
    async with serving(controller, audit=TrailLimits(pause=60)) as client:
        await client.post("/plugins/monitor/stop")
        assert controller.audited == []
    assert [entry.what for entry in controller.audited] == ["stop_plugin"]


async def test_an_end_without_a_store_is_not_held_up(
    serving: Serving, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be kept is in the log, which says how much that is."""
    controller.audit_gate.clear()
    async with serving(controller, audit=TrailLimits(farewell=0.05)) as client:
        await client.post("/plugins/monitor/stop")
    assert "1 entries of the audit are in the log only" in caplog.text


async def test_a_mistake_in_an_entry_stops_nothing(serving: Serving, controller: FakeController) -> None:
    """The entries after one that cannot be kept are kept."""
    controller.raises["add_audit"] = RuntimeError("a mistake")
    async with serving(controller, audit=QUICK) as client:
        await client.post("/plugins/monitor/stop")
        await controller.audit_until(lambda: bool(controller.audit_batches))
        del controller.raises["add_audit"]
        await client.post("/plugins/monitor/start")
        assert [entry["what"] for entry in await entries(client)] == ["start_plugin"]


async def test_a_text_of_the_path_is_cut(client: httpx.AsyncClient, lines: list[dict[str, Any]]) -> None:
    """A name in a path is anybody's text: it is shortened, and makes no line of its own."""
    await client.delete("/plugins/" + "x" * 3000 + "%0a%1b[2J")
    assert len(lines[0]["plugin"]) < 150
    assert len(lines) == 1


def test_kinds_have_limits_of_their_own() -> None:
    """An entry says by its kind what it may drive out."""
    assert {kind.value for kind in AuditKind} == {"change", "write", "refused"}
    assert AuditEntry(0.0, Door.REST, AuditKind.CHANGE, "ada", "stop_plugin").status is None
