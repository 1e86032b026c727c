"""Every error is a problem document."""

from __future__ import annotations

import logging

import httpx
import pytest
from api_fakes import FAST, FakeController

from iocmng.api import create_app
from iocmng.api.middleware import BodyLimit, UnexpectedErrors
from iocmng.api.schemas import Problem
from iocmng.errors import CheckFailure, InvalidRequest, PluginRejected
from iocmng.settings import Settings


def check(response: httpx.Response, status: int, code: str, instance: str) -> Problem:
    """Check what all problem documents have in common."""
    body = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert list(body) == ["type", "title", "status", "detail", "instance", "ok", "message", "validation"]
    assert (body["type"], body["status"], body["instance"]) == (f"urn:iocmng:problem:{code}", status, instance)
    assert isinstance(body["detail"], str)
    assert body["detail"] == body["message"]
    assert body["ok"] is body["validation"]["ok"] is False
    return Problem.model_validate(body)


async def test_an_error_of_a_plugin_carries_its_failed_checks(
    client: httpx.AsyncClient, controller: FakeController
) -> None:
    """Step, message, file and line of each failed check are in validation.errors."""
    failures = [CheckFailure("config", "unknown key", "config.yaml", 4), CheckFailure("syntax", "bad", "a.py", 1)]
    controller.raises["restart"] = PluginRejected.because(*failures)
    response = await client.post("/tasks/monitor/restart")
    found = check(response, 422, "plugin-rejected", "/api/v1/tasks/monitor/restart")
    assert found.title == "Plugin rejected"
    assert [error.model_dump() for error in found.validation.errors] == [failure.to_dict() for failure in failures]


async def test_an_invalid_request_always_has_an_entry(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Where the Controller refuses a request without naming a step, the step is `request`."""
    controller.raises["restart"] = InvalidRequest("the name is not legal")
    found = check(await client.post("/tasks/monitor/restart"), 422, "invalid-request", "/api/v1/tasks/monitor/restart")
    assert [(error.step, error.message) for error in found.validation.errors] == [("request", "the name is not legal")]


async def test_an_unknown_name(client: httpx.AsyncClient) -> None:
    """404 of a plugin: no failed check."""
    found = check(await client.get("/tasks/none"), 404, "unknown-plugin", "/api/v1/tasks/none")
    assert found.validation.errors == []


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/", "/api/v1", "/api/v1/plugins//restart", "/api/v2/plugins"])
async def test_an_unknown_path(client: httpx.AsyncClient, path: str) -> None:
    """404 of a path names it and points to the documentation."""
    found = check(await client.get(f"http://iocmng.localhost{path}"), 404, "not-found", path)
    assert "/docs" in found.detail


async def test_the_instance_is_a_legal_reference(client: httpx.AsyncClient) -> None:
    """Odd characters of a path are escaped, in the document and nowhere lost."""
    url = httpx.URL("http://iocmng.localhost/api/v1/a%20b/%C3%A9/%0a%ff")
    response = await client.send(client.build_request("GET", url))
    assert check(response, 404, "not-found", "/api/v1/a%20b/%C3%A9/%0A%EF%BF%BD")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/plugins", "GET, POST"),
        ("DELETE", "/jobs", "GET, POST"),
        ("PUT", "/plugins/monitor", "DELETE, GET, PATCH"),
        ("POST", "/tasks/monitor", "DELETE, GET, PATCH"),
        ("GET", "/tasks/monitor/restart", "POST"),
        ("POST", "/health", "GET"),
        ("OPTIONS", "/pvs", "GET"),
    ],
)
async def test_a_wrong_method(client: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    """405 names all methods of the path, in the header and in the sentence."""
    response = await client.request(method, path)
    found = check(response, 405, "method-not-allowed", f"/api/v1{path}")
    assert response.headers["allow"] == allowed
    assert allowed in found.detail


async def test_a_mistake_of_the_server(
    client: httpx.AsyncClient, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    """An error nobody thought of: 500, a sentence that gives nothing away, and one entry with traceback in the log."""
    controller.raises["restart"] = KeyError("secret detail")
    response = await client.post("/tasks/monitor/restart")
    check(response, 500, "internal-error", "/api/v1/tasks/monitor/restart")
    assert "secret" not in response.text
    assert caplog.text.count("Traceback (most recent call last)") == 1
    assert "POST '/api/v1/tasks/monitor/restart' failed" in caplog.text


@pytest.mark.parametrize("query", ["wait=perhaps", "wait=", "wait=2"])
async def test_a_bad_query(client: httpx.AsyncClient, controller: FakeController, query: str) -> None:
    """422 of a query names it."""
    response = await client.post(f"/plugins?{query}", json={"name": "a", "git_url": "x"})
    found = check(response, 422, "invalid-request", "/api/v1/plugins")
    assert found.detail.startswith("wait: ")
    assert found.validation.errors[0].step == "request"
    assert controller.calls == []


async def test_odd_text_in_an_error_is_still_an_answer(client: httpx.AsyncClient, controller: FakeController) -> None:
    """A file name that is no UTF-8 (Python reads it with surrogates) does not turn 422 into 500."""
    controller.raises["restart"] = PluginRejected.because(CheckFailure("syntax", "bad \udcff", "\udcff.py", 1))
    response = await client.post("/tasks/monitor/restart")
    assert response.status_code == 422
    assert response.json()["validation"]["errors"][0]["file"] == "?.py"


async def test_an_answer_that_has_begun_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    """After the first byte no problem document can follow: the error goes on to the server."""
    sent: list[str] = []

    async def breaks(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        raise RuntimeError("too late")

    async def send(message: object) -> None:
        sent.append(message["type"])  # type: ignore[index]

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(RuntimeError, match="too late"):
        await UnexpectedErrors(breaks)(scope, receive, send)
    assert sent == ["http.response.start"]


async def test_a_caller_who_leaves_is_no_mistake(controller: FakeController, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that breaks within the body leaves no traceback and calls nobody."""

    async def connect() -> FakeController:
        return controller

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        raise AssertionError("nobody listens")

    app = create_app(Settings(), connect, times=FAST)
    caplog.set_level(logging.INFO)
    async with app.router.lifespan_context(app):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/v1/plugins",
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
        }
        await app(scope, receive, send)
    assert "Traceback" not in caplog.text
    assert controller.calls == []


@pytest.mark.parametrize("wrapper", [UnexpectedErrors, lambda app: BodyLimit(app, 10, 1.0)])
async def test_what_is_not_http_passes_through(wrapper: object) -> None:
    """The middleware leaves lifespan and websocket messages alone."""
    passed: list[object] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        passed.append(scope["type"])

    await wrapper(app)({"type": "lifespan"}, None, None)  # type: ignore[operator]
    assert passed == ["lifespan"]
