"""GET /pvs/name-servers: the lists for clients that no broadcast reaches."""

from __future__ import annotations

import shlex

import httpx
import pytest
from api_fakes import FakeController, Serving, plugin_object

from iocmng.api.pv_schemas import NameServers

PATH = "/pvs/name-servers"


def endpoint(ca_port: int, host: str = "10.0.0.1", public_host: str | None = None) -> dict[str, object]:
    """Return where an IOC answers."""
    return {"host": host, "ca_port": ca_port, "pva_port": ca_port + 1, "public_host": public_host}


@pytest.fixture
def controller() -> FakeController:
    """A Controller with plugins on two nodes, one of which clients reach under another name, and one that is down."""
    return FakeController(
        plugin_object("a", endpoint=endpoint(5100)),
        plugin_object("b", endpoint=endpoint(5102), status="stopped"),
        plugin_object("c", "job", node="node-2", endpoint=endpoint(5100, "10.0.0.2", "iocs-2.example.org")),
        plugin_object("down", endpoint=None, node=None, status="crashed"),
    )


async def test_what_clients_set(client: httpx.AsyncClient, controller: FakeController) -> None:
    """Both lists, and whose the addresses are; a plugin that has crashed leaves them, one that is stopped serves."""
    told = (await client.get(PATH)).json()
    NameServers.model_validate(told)
    assert told["EPICS_CA_NAME_SERVERS"] == "10.0.0.1:5100 10.0.0.1:5102 iocs-2.example.org:5100"
    assert told["EPICS_PVA_NAME_SERVERS"] == "10.0.0.1:5101 10.0.0.1:5103 iocs-2.example.org:5101"
    assert [(one["plugin"], one["node"]) for one in told["servers"]] == [
        ("a", "node-1"),
        ("b", "node-1"),
        ("c", "node-2"),
    ]
    assert told["count"] == 3
    controller.put(plugin_object("a", endpoint=None, status="crashed"))
    await controller.seen()
    assert (await client.get(PATH)).json()["EPICS_CA_NAME_SERVERS"] == "10.0.0.1:5102 iocs-2.example.org:5100"


async def test_one_plugin(client: httpx.AsyncClient) -> None:
    """?plugin= chooses one; a name that no plugin has is 404."""
    assert (await client.get(f"{PATH}?plugin=b")).json()["EPICS_CA_NAME_SERVERS"] == "10.0.0.1:5102"
    assert (await client.get(f"{PATH}?plugin=down")).json()["count"] == 0
    assert (await client.get(f"{PATH}?plugin=none")).status_code == 404


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "application/json"),
        ("", "text/plain", "text/plain; charset=utf-8"),
        ("", "text/plain, application/json", "application/json"),
        ("?format=env", "application/json", "text/plain; charset=utf-8"),
        ("?format=json", "text/plain", "application/json"),
    ],
)
async def test_the_client_chooses_the_form(client: httpx.AsyncClient, query: str, accept: str, kind: str) -> None:
    """?format= decides, else Accept; who asks for nothing gets JSON."""
    response = await client.get(f"{PATH}{query}", headers={"Accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, kind)


async def test_a_shell_reads_the_text(client: httpx.AsyncClient) -> None:
    """The text is assignments that a shell takes word for word."""
    text = (await client.get(f"{PATH}?format=env")).text
    told = (await client.get(PATH)).json()
    assert [shlex.split(line) for line in text.splitlines()] == [
        [f"{name}={told[name]}"] for name in ("EPICS_CA_NAME_SERVERS", "EPICS_PVA_NAME_SERVERS")
    ]


@pytest.mark.parametrize("query", ["format=yaml", "whole_range=some"])
async def test_a_query_that_is_none(client: httpx.AsyncClient, query: str) -> None:
    """Another form, or another word than true and false, is 422 and names the query."""
    response = await client.get(f"{PATH}?{query}")
    assert response.status_code == 422
    assert response.json()["detail"].startswith(query.partition("=")[0])


async def test_the_sites_public_host(serving: Serving, controller: FakeController) -> None:
    """IOCMNG_EPICS_PUBLIC_HOST stands for the nodes that say nothing of themselves; ?inside=true for none."""
    async with serving(controller, epics_public_host="iocs.example.org") as client:
        told = (await client.get(PATH)).json()
        inside = (await client.get(f"{PATH}?inside=true")).json()
    assert inside["EPICS_CA_NAME_SERVERS"] == "10.0.0.1:5100 10.0.0.1:5102 10.0.0.2:5100"
    assert told["EPICS_CA_NAME_SERVERS"] == "iocs.example.org:5100 iocs.example.org:5102 iocs-2.example.org:5100"


async def test_the_whole_range(serving: Serving, controller: FakeController) -> None:
    """?whole_range=true lists the range of the site for each node; without a range it says how to get one."""
    async with serving(controller, epics_ports="5100-5105") as client:
        told = (await client.get(f"{PATH}?whole_range=true")).json()
        refused = await client.get(f"{PATH}?whole_range=true&plugin=none")
    assert set(told["EPICS_CA_NAME_SERVERS"].split()) == {
        f"{host}:{port}" for host in ("10.0.0.1", "iocs-2.example.org") for port in (5100, 5102, 5104)
    }
    assert refused.status_code == 404
    async with serving(controller) as client:
        without = await client.get(f"{PATH}?whole_range=true")
    assert without.status_code == 422
    assert "set IOCMNG_EPICS_PORTS" in without.json()["detail"]
