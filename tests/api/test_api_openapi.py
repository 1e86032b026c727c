"""The OpenAPI document, and what importing the room costs."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from iocmng._version import __version__
from iocmng.api import openapi

openapi_document = functools.cache(openapi.openapi_document)

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
COMMAND = "python -m iocmng.api.openapi > docs/openapi.json"

OPERATIONS = [
    pytest.param(operation, id=operation["operationId"])
    for operations in openapi_document()["paths"].values()
    for operation in operations.values()
]


def test_the_committed_document_is_the_current_one() -> None:
    """The contract does not change unnoticed: a change shows in the commit."""
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == openapi_document(), (
        f"the calls have changed; if that is meant, write the document anew: {COMMAND}"
    )


def test_the_command_prints_the_document() -> None:
    """The command that the test above names does what it says, and the file is as it writes it."""
    printed = subprocess.run(
        [sys.executable, "-m", "iocmng.api.openapi"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert printed == COMMITTED.read_text(encoding="utf-8")


def test_title_and_version() -> None:
    """The document's version is the package's."""
    assert openapi_document()["info"]["title"] == "iocmng"
    assert openapi_document()["info"]["version"] == __version__


LOG_STREAMS = ["text/event-stream", "text/plain"]
OTHER_FORMS = {"events": ["text/event-stream"], "list_name_servers": ["text/plain"]} | {
    f"get_{noun}_logs": LOG_STREAMS for noun in ("plugin", "task", "job")
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_call_is_documented(operation: dict[str, Any]) -> None:
    """Each has a summary, a model for its success, and problem documents for its errors."""
    assert operation["summary"]
    for status, answer in operation["responses"].items():
        assert answer["description"]
        media, expected = ("application/json", "/") if status[0] == "2" else ("application/problem+json", "/Problem")
        others = OTHER_FORMS.get(operation["operationId"], []) if status == "200" else []
        assert sorted(answer["content"]) == [media, *others]
        if (operation["operationId"], status) == ("apply", "422"):
            expected = "/ApplyProblem"
        assert expected in answer["content"][media]["schema"]["$ref"]
    if operation["operationId"] != "livez":
        assert "503" in operation["responses"]


def test_operation_ids_are_unique() -> None:
    """Generated clients name their functions by them."""
    ids = [param.values[0]["operationId"] for param in OPERATIONS]  # type: ignore[index]
    assert len(ids) == len(set(ids))


def test_all_references_lead_somewhere() -> None:
    """No $ref names a model that is not there, and nothing of FastAPI's own error model is left."""
    document = openapi_document()

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
            return own.union(*(references(item) for item in value.values()))
        return set[str]().union(*(references(item) for item in value)) if isinstance(value, list) else set()

    models = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == models
    assert "HTTPValidationError" not in json.dumps(document)


def test_bodies_are_documented() -> None:
    """An add needs its body, a run does not."""
    paths = openapi_document()["paths"]
    add, run = paths["/api/v1/tasks"]["post"]["requestBody"], paths["/api/v1/jobs/{name}/run"]["post"]["requestBody"]
    assert (add["required"], run["required"]) == (True, False)
    assert add["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/PluginRequest"}


def test_a_patch_is_documented_as_a_merge_patch() -> None:
    """Both content types are there: the proper one, and the one that everybody sends."""
    body = openapi_document()["paths"]["/api/v1/plugins/{name}"]["patch"]["requestBody"]
    assert body["required"] is True
    assert set(body["content"]) == {"application/merge-patch+json", "application/json"}


def test_a_failed_apply_is_documented_with_its_results() -> None:
    """Its problem document has one member more than the others."""
    answer = openapi_document()["paths"]["/api/v1/apply"]["post"]["responses"]["422"]
    assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/ApplyProblem")
    schemas = openapi_document()["components"]["schemas"]
    assert schemas["ApplyProblem"]["properties"].keys() - schemas["Problem"]["properties"].keys() == {"results"}


def test_the_stream_is_documented() -> None:
    """GET /events answers in two ways, and takes the header that browsers send."""
    operation = openapi_document()["paths"]["/api/v1/events"]["get"]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert ("Last-Event-ID", "header") in {(item["name"], item["in"]) for item in operation["parameters"]}


def test_the_probes_at_the_root_are_hidden() -> None:
    """/health, /livez and /readyz work, but the document shows those under the base only."""
    assert all(path.startswith("/api/v1/") for path in openapi_document()["paths"])


async def test_docs_are_served(client: httpx.AsyncClient) -> None:
    """/docs and /openapi.json are there; what is served is what is committed, every time."""
    assert "swagger" in (await client.get("http://iocmng.localhost/docs")).text
    for _ in range(2):
        assert (await client.get("http://iocmng.localhost/openapi.json")).json() == openapi_document()


def test_importing_the_api_loads_neither_ray_nor_epics() -> None:
    """The room knows the Controller only as a Protocol."""
    forbidden = ("ray", "softioc", "cothread", "p4p", "iocmng.cluster", "iocmng.epics")
    code = f"import sys, iocmng.api; print([name for name in {forbidden} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
