"""Each call of the client against the real API, blocking and awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from api_fakes import FakeController, plugin_object
from served_api import FAILED, RUNNING, SUCCESS, ServedApi, result_object, served
from support import free_port

import iocmng.client
from iocmng.client import AsyncClient, Client
from iocmng.core.request import PluginChange
from iocmng.core.state import Cause, Generation, GenerationResult
from iocmng.errors import (
    DuplicatePlugin,
    InvalidRequest,
    IocmngError,
    PluginRejected,
    ServerUnreachable,
    Unauthorized,
    UnknownPlugin,
    WrongKind,
    WrongState,
)

Ask = Callable[..., Any]


class Waiting:
    """An AsyncClient whose methods are awaited at once, so that one test serves both clients."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url, self._token = url, token

    def __getattr__(self, name: str) -> Ask:
        async def call(*args: Any, **kwargs: Any) -> Any:
            async with AsyncClient(self._url, self._token) as client:
                return await getattr(client, name)(*args, **kwargs)

        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


@contextmanager
def opened(kind: str, url: str, token: str | None = None) -> Iterator[Any]:
    """Return a client of a kind."""
    if kind == "async":
        yield Waiting(url, token)
    else:
        with Client(url, token) as client:
            yield client


@pytest.fixture(params=["blocking", "async"])
def client(request: pytest.FixtureRequest, api: ServedApi) -> Iterator[Any]:
    """Either client."""
    with opened(request.param, api.url) as client:
        yield client


def test_reads(client: Any, api: ServedApi) -> None:
    """What the server answers is returned as it is, and the kind, the tail and the name choose."""
    assert client.health()["jobs_count"] == 1
    assert [plugin["name"] for plugin in client.list()["plugins"]] == ["monitor", "scan"]
    assert [plugin["name"] for plugin in client.list("job")["plugins"]] == ["scan"]
    assert client.get("monitor") == plugin_object("monitor", "task")
    assert client.logs("monitor", tail=1)["lines"] == ["two"]
    assert client.logs("monitor", after=101)["lines"] == ["two"]
    assert {pv["plugin"] for pv in client.pvs("scan")["pvs"]} == {"scan"}
    assert client.pvs()["count"] == 4
    assert client.name_servers()["EPICS_PVA_NAME_SERVERS"] == "10.0.0.1:5075"
    assert [server["plugin"] for server in client.name_servers("scan")["servers"]] == ["scan"]
    with pytest.raises(InvalidRequest, match="IOCMNG_EPICS_PORTS"):
        client.name_servers(whole_range=True)
    api.do(lambda controller: [controller.emit("monitor"), controller.emit("scan")])
    assert [event["plugin"] for event in client.events()["events"]] == ["monitor", "scan"]
    assert [event["id"] for event in client.events("scan", after=1)["events"]] == [2]
    with pytest.raises(UnknownPlugin):
        client.events("scna")


def test_changes_reach_the_controller_with_their_arguments(client: Any, api: ServedApi) -> None:
    """Names, sources, parameters and the rest arrive as they were given; what was not given is not sent."""
    told = client.add(
        "new", git_url="https://git.example.org/x.git", branch="v1", parameters={"a": 1}, auto_start=False
    )
    assert (told["ok"], told["plugin"]["name"]) == (True, "new")
    _, wanted, kind, wait = api.controller.calls[-1]
    assert wanted.model_dump(exclude_unset=True) == {
        "name": "new",
        "git_url": "https://git.example.org/x.git",
        "branch": "v1",
        "parameters": {"a": 1},
        "auto_start": False,
    }
    assert (kind, wait) == (None, True)
    assert client.add("keyed", local_path="/x", autostart_order=3)["plugin"]["name"] == "keyed"
    assert api.controller.calls[-1][1].autostart_order == 3
    assert client.stop("monitor")["plugin"]["status"] == "stopped"
    assert client.start("monitor")["plugin"]["status"] == "running"
    assert client.restart("monitor")["plugin"]["generation"] == 2
    assert client.rollback("monitor", 1)["plugin"]["generation"] == 3
    assert api.controller.calls[-1] == ("rollback", "monitor", None, 1)
    assert client.rollback("monitor")["ok"] is True
    assert api.controller.calls[-1] == ("rollback", "monitor", None, None)
    assert client.change("monitor", parameters={"interval": None})["ok"] is True
    assert api.controller.calls[-1][3] == PluginChange(parameters={"interval": None})
    assert client.remove("new")["message"] == "plugin 'new' removed"


def test_apply_and_generations(client: Any, api: ServedApi) -> None:
    """A list of entries is applied for its owner; a plugin's generations are listed."""
    told = client.apply("lab.yaml", [{"name": "one", "git_url": "https://git.example.org/x.git"}])
    assert told["results"] == [{"name": "one", "action": "added", "message": ""}]
    assert api.controller.calls[-1][1] == "lab.yaml"
    spec = api.controller.calls[-1][2][0].spec(None)
    api.controller.past["monitor"] = [Generation("monitor", 1, Cause.ADD, 0.0, spec, GenerationResult.STARTED)]
    assert client.generations("monitor")["generations"][0]["result"] == "started"


def test_a_run_is_followed_to_its_end(client: Any, api: ServedApi) -> None:
    """run_job tells of each change and returns the run with its result, also where the job was no success."""
    api.runs.script = [RUNNING | {"progress": 40.0, "message": "half way"}, {}, FAILED | {"result": result_object(3)}]
    seen: list[tuple[str, float]] = []
    run = client.run_job(
        "scan", {"x": 1}, timeout=5, on_change=lambda run: seen.append((run["state"], run["progress"]))
    )
    assert seen == [("queued", 0.0), ("running", 40.0), ("failed", 100.0)]
    assert (run["state"], run["result"]["data"], run["parameters"]) == ("failed", 3, {"x": 1})
    assert api.runs.bodies == [{"wait": "false", "parameters": {"x": 1}, "timeout": 5}]
    assert client.runs("scan", state="failed", limit=5)["count"] == 1


@pytest.mark.parametrize(
    ("state", "code"), [("cancelled", "run-cancelled"), ("timed_out", "timed-out"), ("lost", "plugin-crashed")]
)
def test_a_run_without_a_result_is_an_error(client: Any, api: ServedApi, state: str, code: str) -> None:
    """Cancelled, timed out and lost runs are raised, with their number and the server's words."""
    api.runs.script = [SUCCESS | {"state": state, "message": "because of that"}]
    with pytest.raises(IocmngError, match="run 7 of scan: because of that") as raised:
        client.run_job("scan")
    assert (raised.value.run_id, raised.value.code) == (7, code)
    with pytest.raises(IocmngError):
        client.wait_for_run("scan", 7)


def test_a_run_is_submitted_looked_at_and_cancelled(client: Any, api: ServedApi) -> None:
    """submit_job returns at once; a second cancel is refused by the server's sentence."""
    api.runs.script = [RUNNING]
    run_id = client.submit_job("scan")["run_id"]
    assert client.get_run("scan", run_id)["state"] == "running"
    assert client.cancel_run("scan", run_id)["run"]["state"] == "cancelled"
    with pytest.raises(WrongState, match="has ended already"):
        client.cancel_run("scan", run_id)
    with pytest.raises(IocmngError, match="no run 99"):
        client.get_run("scan", 99)


def test_errors_are_those_of_the_server(client: Any, api: ServedApi) -> None:
    """The class goes by the code, the text is the server's sentence, failed checks have step, file and line."""
    with pytest.raises(UnknownPlugin, match="there is no plugin 'none'"):
        client.get("none")
    with pytest.raises(DuplicatePlugin):
        client.add("monitor", local_path="/x")
    with pytest.raises(WrongKind):
        client.start("scan")
    with pytest.raises(InvalidRequest, match="unknown key 'brnch'"):
        client.add("x", local_path="/x", brnch="main")
    failures = [("syntax", "invalid syntax", "m.py", 3), ("config", "unknown key", None, None)]
    rejected = PluginRejected.because(*(_failure(*failure) for failure in failures))
    api.controller.raises["add"] = rejected
    with pytest.raises(PluginRejected) as raised:
        client.add("x", local_path="/x")
    assert raised.value.failures == rejected.failures
    assert str(raised.value) == str(rejected)
    assert raised.value.problem["status"] == 422


def _failure(*parts: Any) -> Any:
    from iocmng.errors import CheckFailure

    return CheckFailure(*parts)


def test_names_cannot_change_the_call(client: Any) -> None:
    """A name with a slash or a question mark is a name that no plugin has, and not another call."""
    for name in ("monitor/logs", "monitor?x=1", "../health", "%2e%2e", "..", "", "\udcff"):
        with pytest.raises(UnknownPlugin):
            client.get(name)


def test_what_is_no_json_is_refused_before_it_is_sent(client: Any, api: ServedApi) -> None:
    """Parameters that cannot be sent are told in a sentence; nothing is asked of the server."""
    for value in (float("nan"), object(), {1, 2}):
        with pytest.raises(InvalidRequest, match="cannot be sent as JSON"):
            client.submit_job("scan", {"x": value})
    assert api.runs.bodies == []


@pytest.mark.parametrize("token", ["two words", "line\nend", "\x00"])
def test_a_token_that_is_none(token: str) -> None:
    """It is refused without being shown; a line's end after it does no harm."""
    with pytest.raises(InvalidRequest) as refused:
        Client("http://localhost:8080", token)
    assert token not in str(refused.value)
    with Client("http://localhost:8080", "secret\n") as client:
        assert client._http.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_the_token_is_sent(kind: str) -> None:
    """Changes carry it; without it the server's refusal is raised."""
    with served(FakeController(plugin_object("monitor")), token="secret") as api:
        with opened(kind, api.url, "secret") as client:
            assert client.restart("monitor")["ok"] is True
        with opened(kind, api.url) as client, pytest.raises(Unauthorized):
            client.restart("monitor")


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_server_that_does_not_answer(kind: str) -> None:
    """It is told in one sentence with the address."""
    port = free_port()
    with opened(kind, f"http://127.0.0.1:{port}") as client, pytest.raises(ServerUnreachable, match=str(port)):
        client.health()


def test_the_environment_is_read_where_no_url_is_given(api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Client() and from_environment() take IOCMNG_URL and IOCMNG_TOKEN; a given URL never gets that token."""
    monkeypatch.setenv("IOCMNG_URL", api.url)
    monkeypatch.setenv("IOCMNG_TOKEN", "secret")
    for client in (Client(), Client.from_environment(), Client(None)):
        with client:
            assert client.url == api.url
            assert client.health()["status"] == "ok"
            assert client._http.headers["Authorization"] == "Bearer secret"
    with Client(api.url) as client:
        assert "Authorization" not in client._http.headers
    assert AsyncClient.from_environment().url == api.url


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080",
        "ftp://x",
        "",
        "http://[::1",
        "http://[bad",
        "http://",
        "http://a b",
        "http://x:99999",
        "http:///x",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    """It is refused when the client is made, with the address in the sentence."""
    with pytest.raises(InvalidRequest, match="address"):
        Client(url)


def test_both_clients_have_the_same_methods() -> None:
    """What one can do, the other can, with the same arguments, and help() shows them; nothing else is exported."""
    assert iocmng.client.__all__ == ["AsyncClient", "Client"]
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            other = getattr(AsyncClient, name)
            assert list(inspect.signature(method).parameters) == list(inspect.signature(other).parameters), name
            assert method.__doc__, name
            assert other.__doc__, name
    assert str(inspect.signature(Client.get)) == "(self, /, name: 'str') -> 'Plugin'"
