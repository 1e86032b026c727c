"""Runs of jobs."""

from __future__ import annotations

import json

import httpx
import pytest
from api_fakes import FakeController, plugin_object
from api_objects import run_of
from stream_client import Listener, running

from iocmng.api.run_schemas import RunAnswer, RunBegun, RunEnded, RunList, RunObject
from iocmng.core.runs import RunRequest, RunState
from iocmng.errors import PluginCrashed, StateUnavailable, TimedOut, TooManyRuns, UnknownRun, WrongState

PATHS = ["/jobs/scan/run", "/plugins/scan/run"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content", [b"", b" \n", b"{}", b'{"parameters": null}', b'{"parameters": {}}'])
async def test_the_body_may_be_absent(
    client: httpx.AsyncClient, controller: FakeController, path: str, content: bytes
) -> None:
    """No body, an empty one and empty parameters are the same."""
    response = await client.post(path, content=content)
    assert response.status_code == 200
    assert response.json() == {"ok": True, "result": controller.result, "run_id": 1}
    RunAnswer.model_validate(response.json())
    assert controller.calls == [("run_job", "scan", RunRequest(who="anonymous"), True)]


@pytest.mark.parametrize("path", PATHS)
async def test_parameters_are_passed_on(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """The parameters of a run reach the job as they are."""
    parameters = {"points": [1, 2.5, None], "deep": {"x": "µ"}}
    await client.post(path, json={"parameters": parameters})
    assert controller.calls == [("run_job", "scan", RunRequest(parameters, who="anonymous"), True)]


async def test_a_job_without_success_is_a_result(client: httpx.AsyncClient, controller: FakeController) -> None:
    """A job that failed has been run: 200, with ok false and its message where dashboards look for it."""
    controller.result = {"success": False, "data": None, "message": "no beam", "timestamp": "2025-01-01T00:00:00"}
    response = await client.post("/jobs/scan/run")
    assert response.status_code == 200
    assert response.json()["ok"] is False
    assert response.json()["result"]["message"] == "no beam"


async def test_a_result_with_odd_values_is_json(client: httpx.AsyncClient, controller: FakeController) -> None:
    """NaN in a measurement becomes null; the rest arrives."""
    controller.result |= {"data": [1.0, float("nan"), "\ud800"]}
    assert (await client.post("/jobs/scan/run")).json()["result"]["data"] == [1.0, None, "?"]


async def test_a_task_cannot_be_run(client: httpx.AsyncClient, controller: FakeController) -> None:
    """A task is the wrong kind, under /plugins and /jobs."""
    for path in ("/plugins/monitor/run", "/jobs/monitor/run"):
        response = await client.post(path)
        assert response.status_code == 400
        assert response.json()["type"] == "urn:iocmng:problem:wrong-kind"
    assert controller.calls == []


async def test_the_controller_decides_about_a_job_that_this_replica_has_not_seen(
    client: httpx.AsyncClient, controller: FakeController
) -> None:
    """A job that another replica has just added can be run here."""
    controller.publishing.clear()
    controller.put(plugin_object("fresh", "job"))
    assert (await client.post("/jobs/fresh/run")).status_code == 200


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (RunState.CANCELLED, 409, "run-cancelled"),
        (RunState.TIMED_OUT, 504, "timed-out"),
        (RunState.LOST, 502, "plugin-crashed"),
    ],
)
async def test_a_run_that_did_not_end_by_itself_is_an_error(
    client: httpx.AsyncClient, controller: FakeController, state: RunState, status: int, code: str
) -> None:
    """It names the run, so that the caller can ask for what is known of it."""
    controller.run_ends = state
    response = await client.post("/jobs/scan/run")
    assert response.status_code == status
    problem = response.json()
    assert problem["type"] == f"urn:iocmng:problem:{code}"
    assert problem["run_id"] == 1
    assert "run 1 of scan" in problem["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PluginCrashed("it ended"), 502),
        (TimedOut("60 s"), 504),
        (WrongState("it is not up"), 409),
        (StateUnavailable("the disk is full"), 503),
        (TooManyRuns("20 wait"), 429),
    ],
)
async def test_a_run_that_cannot_be_made_is_an_error(
    client: httpx.AsyncClient, controller: FakeController, error: Exception, status: int
) -> None:
    """It names no run, because there is none."""
    controller.raises["run_job"] = error
    response = await client.post("/jobs/scan/run")
    assert response.status_code == status
    assert "run_id" not in response.json()
    assert response.headers.get("retry-after") == ("5" if status == 429 else None)


@pytest.mark.parametrize(("query", "body"), [("?wait=false", {}), ("", {"wait": False}), ("?wait=0", {"wait": True})])
async def test_without_waiting_it_is_202_with_its_place(
    client: httpx.AsyncClient, controller: FakeController, query: str, body: dict[str, bool]
) -> None:
    """The query wins over the body; Location is where the run can be asked for."""
    response = await client.post(f"/plugins/scan/run{query}", json={**body, "timeout": 2.5, "parameters": {"a": 1}})
    assert response.status_code == 202
    assert controller.calls == [("run_job", "scan", RunRequest({"a": 1}, 2.5, who="anonymous"), False)]
    answer = response.json()
    RunBegun.model_validate(answer)
    assert (answer["run_id"], answer["run"]["state"]) == (1, "running")
    assert response.headers["location"] == "/api/v1/jobs/scan/runs/1"
    shown = await client.get(response.headers["location"].removeprefix("/api/v1"))
    assert shown.json() == answer["run"]


async def test_the_query_makes_a_call_wait(client: httpx.AsyncClient, controller: FakeController) -> None:
    """?wait=true wins, too."""
    assert (await client.post("/jobs/scan/run?wait=true", json={"wait": False})).status_code == 200


@pytest.mark.parametrize("collection", ["jobs", "plugins"])
async def test_runs_are_listed_newest_first_in_pages(
    client: httpx.AsyncClient, controller: FakeController, collection: str
) -> None:
    """Without log lines; `next` leads through all of them and ends with null."""
    controller.kept_runs = [run_of("scan", number, log=("line",)) for number in range(1, 6)]
    controller.kept_runs[2] = run_of("scan", 3, RunState.FAILED)
    place, seen = f"/{collection}/scan/runs?limit=2", []
    while place:
        page = (await client.get(place)).json()
        RunList.model_validate(page)
        assert page["count"] == len(page["runs"])
        assert all("log" not in run for run in page["runs"])
        seen += [run["run_id"] for run in page["runs"]]
        place = page["next"] and page["next"].removeprefix("/api/v1")
    assert seen == [5, 4, 3, 2, 1]
    found = (await client.get(f"/{collection}/scan/runs?state=failed")).json()
    assert ([run["run_id"] for run in found["runs"]], found["next"]) == ([3], None)
    both = (await client.get(f"/{collection}/scan/runs?state=failed&state=success&limit=1")).json()
    assert both["next"] == f"/api/v1/{collection}/scan/runs?state=failed&state=success&limit=1&before=5"


async def test_one_run_is_shown_with_all_that_is_known(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Times are ISO 8601; what is not known is null."""
    controller.kept_runs = [run_of("scan", 1, RunState.RUNNING, log=("a", "b"), progress=33.3333333, message="on")]
    run = (await client.get("/jobs/scan/runs/1")).json()
    RunObject.model_validate(run)
    assert run["log"] == ["a", "b"]
    assert run["progress"] == 33.333
    assert (run["queued_at"], run["ended_at"], run["result"]) == ("2023-11-14T22:13:30.000+00:00", None, None)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_run_is_404(client: httpx.AsyncClient, controller: FakeController, method: str) -> None:
    """Apart from an unknown job by its code; a number that is none is 422."""
    response = await client.request(method, "/jobs/scan/runs/9")
    assert (response.status_code, response.json()["type"]) == (404, "urn:iocmng:problem:unknown-run")
    response = await client.request(method, "/jobs/nobody/runs/9")
    assert (response.status_code, response.json()["type"]) == (404, "urn:iocmng:problem:unknown-plugin")
    assert (await client.request(method, "/jobs/scan/runs/ninth")).status_code == 422
    response = await client.request(method, "/jobs/monitor/runs/1")
    assert (response.status_code, response.json()["type"]) == (400, "urn:iocmng:problem:wrong-kind")


async def test_a_run_is_cancelled(client: httpx.AsyncClient, controller: FakeController) -> None:
    """200 when it has ended; with wait=false 202 when it has been told to; 409 when it had ended before."""
    controller.kept_runs = [run_of("scan", 1, RunState.RUNNING)]
    response = await client.delete("/jobs/scan/runs/1")
    assert response.status_code == 200
    RunEnded.model_validate(response.json())
    assert response.json()["run"]["state"] == "cancelled"
    assert response.json()["message"] == "run 1 of scan has ended: cancelled"
    response = await client.delete("/plugins/scan/runs/1?wait=false")
    assert (response.status_code, response.json()["run"]["state"]) == (202, "running")
    assert controller.calls[-1] == ("cancel_run", "scan", 1, False)
    controller.raises["cancel_run"] = WrongState("it has ended already")
    assert (await client.delete("/jobs/scan/runs/1")).status_code == 409
    controller.raises["cancel_run"] = UnknownRun("no such run")
    assert (await client.delete("/jobs/scan/runs/1")).status_code == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "state=done", "before=0", "limit=x"])
async def test_a_bad_query_is_422(client: httpx.AsyncClient, controller: FakeController, query: str) -> None:
    """Nothing is asked of the Controller."""
    assert (await client.get(f"/jobs/scan/runs?{query}")).status_code == 422
    assert controller.calls == []


async def test_the_stream_of_events_tells_of_runs(controller: FakeController) -> None:
    """A `run` event has the run in short and no id; a stream of another plugin has none."""
    async with running(controller) as app, Listener(app) as listener, Listener(app, "plugin=monitor") as other:
        await listener.block()
        controller.tell_of_run(run_of("scan", 7, RunState.RUNNING, progress=50.0, parameters={}))
        block = await listener.block()
        assert (block["event"], "id" in block) == ("run", False)
        told = json.loads(block["data"])
        assert (told["run_id"], told["job"], told["state"], told["progress"]) == (7, "scan", "running", 50.0)
        assert not {"log", "result", "parameters"} & told.keys()
        controller.emit("monitor")
        assert await other.ids(1) == [1]
        assert await listener.ids(1) == [1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"params": {}}', "unknown key 'params'; did you mean 'parameters'?"),
        (b'{"zzz": {}}', "unknown key 'zzz' (keys are parameters, timeout, wait)"),
        (b'{"parameters": [1]}', "parameters: must be a JSON object"),
        (b'{"timeout": 0}', "timeout: input should be greater than 0"),
        (b'{"timeout": "soon"}', "timeout: input should be a valid number, unable to parse string as a number"),
        (b'{"wait": 7}', "wait: input should be a valid boolean, unable to interpret input"),
        (b'{"parameters": {"x": NaN}}', "parameters.x is nan: JSON has no such number"),
        (b'{"parameters": {"x": 1e999}}', "parameters.x is inf: JSON has no such number"),
        (b"null", "the body must be a JSON object"),
        (b"[]", "the body must be a JSON object"),
    ],
)
async def test_a_bad_body_is_422(
    client: httpx.AsyncClient, controller: FakeController, content: bytes, sentence: str
) -> None:
    """The sentence says what is wrong; nothing is run."""
    response = await client.post("/jobs/scan/run", content=content)
    assert response.status_code == 422
    assert response.json()["detail"] == sentence
    assert controller.calls == []
