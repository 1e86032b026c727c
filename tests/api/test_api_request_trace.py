"""Requests have a number, which the caller, the log and the traces know."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager

import httpx
import pytest
from api_fakes import FakeController, plugin_object
from trace_receiver import receiving

from iocmng.api import create_app
from iocmng.base.log_output import JsonLines, LogContext
from iocmng.base.no_tracing import NoTracing
from iocmng.core.trace_context import carried, checked, current, request_shown, trace_id
from iocmng.errors import UnknownPlugin
from iocmng.settings import Settings
from iocmng.telemetry import open_tracing

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def client_of(controller: FakeController, tracing=None):
    """The application, asked by one client."""

    async def connect() -> FakeController:
        return controller

    app = create_app(Settings(), connect, tracing=tracing)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://iocmng.localhost/api/v1") as client,
    ):
        yield client


class Noting(FakeController):
    """A Controller that notes the request in which it is called, and what a line of the log then tells of it."""

    def __init__(self) -> None:
        super().__init__(plugin_object("monitor", "task"))
        self.seen: list[str | None] = []
        self.lines: list[dict[str, str]] = []

    async def restart(self, name, kind):
        self.seen.append(current())
        record = logging.LogRecord("a", logging.INFO, "", 0, "restarts", (), None)
        self.lines.append(json.loads(JsonLines(LogContext(moment=request_shown)).format(record)))
        return await super().restart(name, kind)


async def test_a_change_has_a_number() -> None:
    """It is told to the caller, handed on to the Controller, and stands in the log; a read has none."""
    controller = Noting()
    async with client_of(controller) as client:
        first = await client.post("/plugins/monitor/restart")
        second = await client.post("/plugins/monitor/restart")
        numbers = [first.headers["x-trace-id"], second.headers["x-trace-id"]]
        assert len(set(numbers)) == 2
        assert [trace_id(each) for each in controller.seen] == numbers
        assert [line["request"] for line in controller.lines] == numbers
        assert "x-trace-id" not in (await client.get("/plugins")).headers
        assert current() is None


async def test_a_caller_s_trace_is_gone_on_with() -> None:
    """Where the caller says which trace it is, its number is taken; what is no traceparent is not."""
    controller = Noting()
    async with client_of(controller) as client:
        answer = await client.post("/plugins/monitor/restart", headers={"traceparent": CALLER})
        assert answer.headers["x-trace-id"] == trace_id(CALLER)
        for wrong in (
            "x",
            CALLER + "\n",
            f"{CALLER}-more",
            CALLER.replace("0af", "0AF"),
            f"00-{'0' * 32}-{'1' * 16}-01",
        ):
            assert checked(wrong) is None
        answer = await client.post("/plugins/monitor/restart", headers={"traceparent": f"{CALLER}-more"})
        assert answer.headers["x-trace-id"] != trace_id(CALLER)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch):
    """A receiver to which the variables of OpenTelemetry point."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        yield receiver


async def test_a_change_is_a_span(collector) -> None:
    """Below the caller's, named by the call, with the plugin and the status, and with nothing that was sent."""
    tracing = open_tracing("api")
    controller = FakeController(plugin_object("monitor", "task"))
    async with client_of(controller, tracing) as client:
        query = "?secret=canary"
        await client.post(f"/plugins/monitor/restart{query}", headers={"traceparent": CALLER})
        controller.raises["add"] = UnknownPlugin("canary")
        await client.post("/plugins", json={"name": "p", "git_url": "https://a:canary@example.org/p.git"})
        await client.get("/plugins")
    tracing.close()
    restart, add = collector.spans
    assert (restart.name, restart.trace) == ("POST /api/v1/plugins/{name}/restart", trace_id(CALLER))
    assert (restart.parent, restart.service, restart.process) == (CALLER.split("-")[2], "iocmng", "api")
    assert restart.attributes["iocmng.plugin"] == "monitor"
    assert restart.attributes["http.response.status_code"] == 200
    assert (add.name, add.parent) == ("POST /api/v1/plugins", "")
    assert b"canary" not in b"".join(collector.bodies)


async def test_spans_lie_within_each_other(collector) -> None:
    """Also where the context went by another way; an error is told by its class alone."""
    tracing = open_tracing("controller")
    with tracing.span("outer", plugin="p", run=None):
        handed_on = current()
    with carried(handed_on), pytest.raises(ValueError, match="canary"), tracing.span("inner", run=3):
        raise ValueError("canary")
    tracing.close()
    outer, inner = collector.spans
    assert (inner.trace, inner.parent) == (outer.trace, outer.id)
    assert outer.attributes == {"iocmng.plugin": "p"}
    assert inner.attributes == {"iocmng.run": 3, "error.type": "ValueError"}
    assert (outer.is_error, inner.is_error) == (False, True)
    assert b"canary" not in b"".join(collector.bodies)


@pytest.mark.parametrize("variables", [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_traces_are_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Without an endpoint, or with a word against it, nothing is loaded and nothing sent."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    if variables:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_tracing("api"), NoTracing)


def test_what_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The server starts all the same, and its log names the extra."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(__import__("sys").modules, "iocmng.telemetry.otel", None)
    assert isinstance(open_tracing("api"), NoTracing)
    assert "iocmng[otel]" in caplog.text
