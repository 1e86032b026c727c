"""What the API says of declared parameters."""

from __future__ import annotations

import httpx
import pytest
from api_fakes import FakeController, plugin_object

from iocmng.api.schemas import PluginObject
from iocmng.core.parameters import parameters_rejected, run_refused

SENTENCES = ["parameters.exposure: must be at most 60 s, not 100", "parameters.frames is missing; it must be given"]
SCHEMA = {"type": "object", "properties": {"exposure": {"type": "number", "x-unit": "s"}}}


@pytest.mark.parametrize("path", ["/jobs/scan/run", "/plugins/scan/run"])
async def test_a_run_that_is_refused(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """422 invalid-request with one entry for each parameter, as for any body that does not fit."""
    controller.raises["run_job"] = run_refused(parameters_rejected(SENTENCES))
    response = await client.post(path, json={"parameters": {"exposure": 100}})
    assert response.status_code == 422
    assert response.json()["type"] == "urn:iocmng:problem:invalid-request"
    errors = response.json()["validation"]["errors"]
    assert [(error["step"], error["message"]) for error in errors] == [("request", text) for text in SENTENCES]


@pytest.mark.parametrize(("method", "call"), [("post", "add"), ("patch", "change")])
async def test_a_plugin_that_is_refused(
    client: httpx.AsyncClient, controller: FakeController, method: str, call: str
) -> None:
    """422 plugin-rejected, step config."""
    controller.raises[call] = parameters_rejected(SENTENCES)
    path = "/plugins" if method == "post" else "/plugins/scan"
    body = {"parameters": {"exposure": 100}}
    response = await client.request(
        method, path, json=body | ({"name": "x", "local_path": "x"} if call == "add" else {})
    )
    assert response.status_code == 422
    assert response.json()["type"] == "urn:iocmng:problem:plugin-rejected"
    errors = response.json()["validation"]["errors"]
    assert [(error["step"], error["message"]) for error in errors] == [("config", text) for text in SENTENCES]


async def test_the_schema_is_part_of_the_plugin(client: httpx.AsyncClient, controller: FakeController) -> None:
    """GET has the JSON Schema as it is, and null where there is none."""
    controller.put(plugin_object("camera", parameters_schema=SCHEMA))
    await client.post("/plugins", json={"name": "late", "local_path": "late"})  # until the replica has seen it
    shown = (await client.get("/plugins/camera")).json()
    assert PluginObject.model_validate(shown).parameters_schema == SCHEMA
    assert (await client.get("/plugins/late")).json()["parameters_schema"] is None
