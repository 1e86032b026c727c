"""Runs of jobs."""

from __future__ import annotations

import httpx
import pytest
from api_fakes import FakeController, plugin_object

from iocmng.api.schemas import RunAnswer
from iocmng.errors import PluginCrashed, TimedOut

PATHS = ["/jobs/scan/run", "/plugins/scan/run"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content", [b"", b" \n", b"{}", b'{"parameters": null}', b'{"parameters": {}}'])
async def test_the_body_may_be_absent(
    client: httpx.AsyncClient, controller: FakeController, path: str, content: bytes
) -> None:
    """No body, an empty one and empty parameters are the same."""
    response = await client.post(path, content=content)
    assert response.status_code == 200
    assert response.json() == {"ok": True, "result": controller.result}
    RunAnswer.model_validate(response.json())
    assert controller.calls == [("run_job", "scan", {})]


@pytest.mark.parametrize("path", PATHS)
async def test_parameters_are_passed_on(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """The parameters of a run reach the job as they are."""
    parameters = {"points": [1, 2.5, None], "deep": {"x": "µ"}}
    await client.post(path, json={"parameters": parameters})
    assert controller.calls == [("run_job", "scan", parameters)]


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


@pytest.mark.parametrize(("error", "status"), [(PluginCrashed("it ended"), 502), (TimedOut("60 s"), 504)])
async def test_a_run_that_cannot_end_is_an_error(
    client: httpx.AsyncClient, controller: FakeController, error: Exception, status: int
) -> None:
    """A crash is no result."""
    controller.raises["run_job"] = error
    assert (await client.post("/jobs/scan/run")).status_code == status


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"params": {}}', "unknown key 'params'; did you mean 'parameters'?"),
        (b'{"zzz": {}}', "unknown key 'zzz' (keys are parameters)"),
        (b'{"parameters": [1]}', "parameters: must be a JSON object"),
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
