"""What is no answer of an iocmng server, and errors that this version does not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_errors import CLASSES

from iocmng.client import Client
from iocmng.client.objects import Event, Generation, Health, LogLines, NameServer, NameServers, Plugin, Pv
from iocmng.client.replies import error_of
from iocmng.errors import AuthorError, IocmngError, ServerUnreachable, StateUnavailable

ROOT = Path(__file__).parents[2]


def asked(response: httpx.Response) -> Any:
    """Return what a client makes of a reply."""
    transport = httpx.MockTransport(lambda request: response)
    with Client("http://server.test", transport=transport) as client:
        return client.health()


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(200, text="<html>It works!</html>"),
        httpx.Response(502, text="Bad Gateway"),
        httpx.Response(200, json=["a list"]),
        httpx.Response(500, content=b"\xff\xfe"),
        httpx.Response(200),
    ],
)
def test_something_else_answers(response: httpx.Response) -> None:
    """A page, a proxy's error, a list: none is taken for an answer, and the sentence has address and status."""
    with pytest.raises(ServerUnreachable, match=rf"server.test is no iocmng server \(status {response.status_code}\)"):
        asked(response)


def test_a_redirect_is_told_and_not_followed() -> None:
    """A changing call must not become another one on the way."""
    with pytest.raises(ServerUnreachable, match=r"https://other\.test/api; use that address"):
        asked(httpx.Response(308, headers={"Location": "https://other.test/api"}))


@pytest.mark.parametrize(
    "failure", [httpx.ReadTimeout("timed out"), httpx.RemoteProtocolError("gone"), httpx.ConnectError("")]
)
def test_a_broken_connection_is_unreachable(failure: Exception) -> None:
    """Whatever httpx calls it."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise failure

    with Client("http://server.test", transport=httpx.MockTransport(fail)) as client, pytest.raises(ServerUnreachable):
        client.list()


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not AuthorError], ids=lambda cls: cls.__name__)
def test_every_code_has_its_class(cls: type[IocmngError]) -> None:
    """A problem document becomes the class that has made it."""
    error = error_of({"type": f"urn:iocmng:problem:{cls.code}", "detail": "sentence"}, cls.http_status)
    assert type(error).code == cls.code
    assert error.message == "sentence"


def test_an_unknown_code_is_the_base_of_all_errors() -> None:
    """A newer server's error still has its sentence and its document."""
    problem = {"type": "urn:iocmng:problem:too-wet", "detail": "the pump is wet", "status": 418}
    error = error_of(problem, 418)
    assert (type(error), error.message, error.problem) == (IocmngError, "the pump is wet", problem)
    assert error_of({}, 500).message == "the server answered with status 500"
    assert error_of({"validation": {"errors": "x"}, "message": "no"}, 422).failures == ()
    assert type(error_of({"type": "urn:iocmng:problem:state-unavailable"}, 503)) is StateUnavailable


@pytest.mark.parametrize(
    ("described", "name"),
    [
        (Plugin, "PluginObject"),
        (Event, "EventObject"),
        (Generation, "GenerationObject"),
        (LogLines, "LogLines"),
        (Pv, "PvEntry"),
        (NameServers, "NameServers"),
        (NameServer, "NameServer"),
        (Health, "Health"),
    ],
)
def test_the_types_name_keys_that_the_server_has(described: Any, name: str) -> None:
    """What an editor offers is in the contract."""
    schemas = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
    assert set(described.__annotations__) <= set(schemas[name]["properties"])
