"""GET: lists, one plugin, start-up data, logs, PVs, health."""

from __future__ import annotations

import httpx
import pytest
from api_fakes import FakeController, Serving, plugin_object

from iocmng._version import __version__
from iocmng.api import create_app
from iocmng.api.pv_schemas import PvList
from iocmng.api.schemas import Health, PluginList, PluginObject
from iocmng.errors import ServerUnavailable
from iocmng.settings import Settings

BAD_NAMES = ["%2e%2e", "..%2f..", "a b", "-rf", "a%0a", "%00", "n" * 129, "caf%C3%A9", "%ff", "a:b"]


def names(response: httpx.Response) -> list[str]:
    body = response.json()
    assert response.status_code == 200
    assert body["count"] == len(body["plugins"])
    return [plugin["name"] for plugin in body["plugins"]]


async def test_lists_by_kind(client: httpx.AsyncClient) -> None:
    """/plugins lists all, /tasks and /jobs their kind, ?type= the same."""
    assert names(await client.get("/plugins")) == ["monitor", "scan"]
    assert names(await client.get("/tasks")) == ["monitor"]
    assert names(await client.get("/jobs")) == ["scan"]
    assert names(await client.get("/plugins?type=task")) == ["monitor"]
    assert names(await client.get("/plugins?type=job")) == ["scan"]


async def test_an_object_is_shown_as_the_controller_made_it(
    client: httpx.AsyncClient, controller: FakeController
) -> None:
    """Nothing is added, dropped or renamed, in the list and alone; and it is what the documentation says."""
    shown = (await client.get("/plugins/monitor")).json()
    assert shown == controller.plugins["monitor"]
    assert (await client.get("/tasks")).json()["plugins"] == [shown]
    assert PluginObject.model_validate(shown).model_dump(mode="json") == shown
    PluginList.model_validate((await client.get("/plugins")).json())


async def test_answers_are_json(client: httpx.AsyncClient) -> None:
    """Bodies made ahead carry their content type."""
    for path in ("/plugins", "/tasks", "/plugins/monitor", "/pvs", "/health"):
        assert (await client.get(path)).headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", ["type=x", "type=", "type=TASK"])
async def test_an_unknown_type_is_an_error(client: httpx.AsyncClient, query: str) -> None:
    """?type= takes task and job only, and says so."""
    response = await client.get(f"/plugins?{query}")
    assert response.status_code == 422
    assert response.json()["detail"] == "type: must be 'task' or 'job'"


async def test_a_repeated_query_is_no_error(client: httpx.AsyncClient) -> None:
    """Of a query given twice one is taken."""
    assert (await client.get("/plugins?type=job&type=task")).status_code == 200


@pytest.mark.parametrize("path", ["/plugins/monitor", "/tasks/monitor", "/tasks/monitor/startup", "/jobs/scan/startup"])
async def test_one_plugin(client: httpx.AsyncClient, path: str) -> None:
    """A plugin is shown under /plugins and under its kind; start-up data are the same object."""
    response = await client.get(path)
    assert response.status_code == 200
    assert response.json()["name"] == path.split("/")[2]


@pytest.mark.parametrize(
    "path", ["/plugins/none", "/tasks/none", "/jobs/none", "/tasks/none/startup", "/jobs/none/logs"]
)
async def test_an_unknown_name_is_404(client: httpx.AsyncClient, path: str) -> None:
    """An unknown name is named in the answer."""
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:iocmng:problem:unknown-plugin"
    assert "'none'" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/tasks/scan", "/jobs/monitor", "/tasks/scan/startup", "/jobs/monitor/logs"])
async def test_the_other_kind_is_400(client: httpx.AsyncClient, path: str) -> None:
    """A job asked for as a task is the wrong kind, and the reverse."""
    response = await client.get(path)
    assert response.status_code == 400
    assert response.json()["type"] == "urn:iocmng:problem:wrong-kind"


async def test_a_loading_plugin_of_unknown_kind_is_shown(client: httpx.AsyncClient, controller: FakeController) -> None:
    """While the kind is not known, the plugin is found under both kinds, and listed under /plugins only."""
    controller.put(plugin_object("young", None, status="loading"))
    await controller.seen()
    assert (await client.get("/tasks/young")).status_code == 200
    assert (await client.get("/jobs/young")).status_code == 200
    assert "young" in names(await client.get("/plugins"))
    assert "young" not in names(await client.get("/tasks"))


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("call", ["GET", "DELETE", "POST restart", "POST start", "POST run"])
async def test_a_name_that_cannot_be_one_is_unknown(
    client: httpx.AsyncClient, controller: FakeController, name: str, call: str
) -> None:
    """A name that breaks the rule is 404 and never reaches the Controller."""
    method, _, action = call.partition(" ")
    # The URL is put together by hand: a client would resolve the dots itself.
    url = httpx.URL(f"http://iocmng.localhost/api/v1/plugins/{name}{'/' if action else ''}{action}")
    response = await client.send(client.build_request(method, url))
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert controller.calls == []


async def test_reads_never_call_the_controller(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Every GET but the log is answered from the copy."""
    for path in ("/plugins", "/tasks", "/jobs", "/plugins/monitor", "/tasks/monitor/startup", "/pvs", "/health"):
        assert (await client.get(path)).status_code == 200
    assert controller.calls == []


async def test_reads_go_on_while_the_controller_is_lost(client: httpx.AsyncClient, controller: FakeController) -> None:
    """The last known state is shown while watch fails."""
    controller.fail_watch(ConnectionError("gone"))
    assert names(await client.get("/tasks")) == ["monitor"]
    assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("path", ["/plugins", "/tasks/monitor", "/pvs", "/health", "/readyz"])
async def test_nothing_is_claimed_before_the_first_snapshot(serving: Serving, path: str) -> None:
    """An empty list or a 404 would be a lie while the Controller has not answered: 503."""
    controller = FakeController(plugin_object("monitor"))
    controller.publishing.clear()
    async with serving(controller) as client:
        response = await client.get(path)
        assert response.status_code == 503
        assert response.json()["type"] == "urn:iocmng:problem:server-unavailable"
        assert (await client.get("/livez")).status_code == 200


@pytest.mark.parametrize("path", ["/plugins/monitor/logs", "/tasks/monitor/logs"])
async def test_logs(client: httpx.AsyncClient, controller: FakeController, path: str) -> None:
    """The newest lines, a hundred unless told otherwise."""
    assert (await client.get(path)).json() == {
        "name": "monitor",
        "lines": ["one", "two"],
        "generations": [1, 1],
        "next": 102,
        "missed": False,
    }
    assert (await client.get(f"{path}?tail=1")).json()["lines"] == ["two"]
    assert controller.calls == [("logs", "monitor", 100, None), ("logs", "monitor", 1, None)]


async def test_logs_are_followed_by_number(client: httpx.AsyncClient, controller: FakeController) -> None:
    """What `next` tells brings the lines that follow, the oldest first, each once."""
    page = (await client.get("/plugins/monitor/logs?tail=1")).json()
    controller.log_lines += ["three", "four", "five"]
    page = (await client.get(f"/plugins/monitor/logs?tail=2&after={page['next']}")).json()
    assert (page["lines"], page["missed"]) == (["three", "four"], False)
    page = (await client.get(f"/plugins/monitor/logs?after={page['next']}")).json()
    assert page["lines"] == ["five"]
    nothing = {"lines": [], "generations": []}
    assert (await client.get(f"/plugins/monitor/logs?after={page['next']}")).json() == page | nothing


@pytest.mark.parametrize("tail", ["0", "10001", "-1", "many", "", "1.5", "NaN"])
async def test_tail_has_limits(client: httpx.AsyncClient, controller: FakeController, tail: str) -> None:
    """From 1 to 10000 lines."""
    response = await client.get(f"/plugins/monitor/logs?tail={tail}")
    assert response.status_code == 422
    assert response.json()["detail"].startswith("tail: ")
    assert controller.calls == []


async def test_pvs_of_all_plugins(client: httpx.AsyncClient) -> None:
    """Each record is listed with its plugin, its type and where it is served."""
    body = (await client.get("/pvs")).json()
    PvList.model_validate(body)
    assert body["count"] == 4
    assert body["pvs"][0] == {
        "name": "BL:NS:MONITOR:STATUS",
        "plugin": "monitor",
        "type": "mbbi",
        "direction": "output",
        "alias": None,
        "host": "10.0.0.1",
        "ca_port": 5064,
        "pva_port": 5075,
    }


async def test_pvs_of_one_plugin(client: httpx.AsyncClient, controller: FakeController) -> None:
    """?plugin= chooses one; the answer follows its changes."""
    body = (await client.get("/pvs?plugin=scan")).json()
    assert {pv["plugin"] for pv in body["pvs"]} == {"scan"}
    controller.put(plugin_object("scan", "job", endpoint=None))
    await controller.seen()
    down = (await client.get("/pvs?plugin=scan")).json()["pvs"]
    assert {(pv["host"], pv["ca_port"], pv["pva_port"]) for pv in down} == {(None, None, None)}
    controller.put(plugin_object("scan", "job", endpoint=None, records=[]))
    await controller.seen()
    assert (await client.get("/pvs?plugin=scan")).json() == {"pvs": [], "count": 0}


@pytest.mark.parametrize("name", ["none", "", "%2e%2e", "x" * 5000])
async def test_pvs_of_an_unknown_plugin(client: httpx.AsyncClient, name: str) -> None:
    """?plugin= with a name that no plugin has is 404."""
    response = await client.get(f"/pvs?plugin={name}")
    assert response.status_code == 404
    assert len(response.content) < 1500


@pytest.mark.parametrize("root", ["/api/v1", ""])
async def test_health(client: httpx.AsyncClient, root: str) -> None:
    """/health tells the version and the numbers, under the base and at the root."""
    body = (await client.get(f"http://iocmng.localhost{root}/health")).json()
    assert body == {"status": "ok", "version": __version__, "tasks_count": 1, "jobs_count": 1}
    Health.model_validate(body)


async def test_health_counts_follow_changes(client: httpx.AsyncClient, controller: FakeController) -> None:
    """The numbers are those of now."""
    await client.get("/health")
    controller.put(plugin_object("third", "task"))
    await controller.seen()
    assert (await client.get("/health")).json()["tasks_count"] == 2


@pytest.mark.parametrize("root", ["/api/v1", ""])
async def test_ready_only_when_the_plugins_file_is_loaded(serving: Serving, root: str) -> None:
    """/readyz is 503 until the Controller is ready; /livez is 200 all the time."""
    controller = FakeController(ready=False)
    async with serving(controller) as client:
        waiting = await client.get(f"http://iocmng.localhost{root}/readyz")
        assert waiting.status_code == 503
        assert waiting.headers["content-type"] == "application/problem+json"
        assert (await client.get(f"http://iocmng.localhost{root}/livez")).json() == {"status": "ok"}
        controller.become_ready()
        await controller.seen()
        ready = await client.get(f"http://iocmng.localhost{root}/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})


async def test_one_plugins_odd_value_does_not_spoil_the_list(
    client: httpx.AsyncClient, controller: FakeController
) -> None:
    """NaN and half surrogate pairs in one plugin leave every answer readable."""
    controller.put(plugin_object("odd", parameters={"x": float("nan"), "y": "\ud800"}, message="\udcff"))
    await controller.seen()
    for path in ("/plugins", "/tasks", "/plugins/odd", "/health"):
        response = await client.get(path)
        assert response.status_code == 200
        assert "NaN" not in response.text
    assert (await client.get("/plugins/odd")).json()["parameters"] == {"x": None, "y": "?"}


async def test_a_failed_connection_ends_the_start() -> None:
    """What connect raises is not hidden: the replica does not start half."""

    async def connect() -> FakeController:
        raise ServerUnavailable("no Controller")

    app = create_app(Settings(), connect)
    with pytest.raises(ServerUnavailable):
        async with app.router.lifespan_context(app):
            pass


async def test_a_call_before_the_start_is_503() -> None:
    """Without its lifespan the application says that it is starting."""

    async def connect() -> FakeController:
        return FakeController()

    transport = httpx.ASGITransport(app=create_app(Settings(), connect))
    async with httpx.AsyncClient(transport=transport, base_url="http://iocmng.localhost") as client:
        assert (await client.get("/api/v1/tasks")).status_code == 503
