"""A site that wants plugins only on nodes with a resource: on Kubernetes, on the worker groups for IOCs."""

import pytest
from support import MINIMAL_TASK, Server, caget, wait_for
from test_nodes import RAY_ENVIRONMENT, Nodes

from iocmng.cluster.placing import SHARE, any_offers, share_of, with_share
from iocmng.core.ports.processes import ANYWHERE, Placement
from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings

pytestmark = pytest.mark.thorough

SERVING = "pvs: {outputs: {A: {type: int, value: 7}}}\n"


def node(alive=True, **resources):
    return {"Alive": alive, "Resources": resources}


def test_a_plugin_asks_for_a_tiny_share_beside_its_own_wishes():
    """So that thousands of plugins fit on one unit; an amount that the plugin names itself stays."""
    assert share_of("ioc") == {"ioc": SHARE}
    assert with_share(ANYWHERE, "ioc").resources == {"ioc": SHARE}
    own = Placement({"camera": 1}, {"zone": "hall"}, "node 7")
    assert with_share(own, "ioc") == Placement({"ioc": SHARE, "camera": 1}, {"zone": "hall"}, "node 7")
    assert with_share(Placement({"ioc": 0.5}), "ioc").resources == {"ioc": 0.5}
    assert SHARE * 10_000 <= 1


def test_without_the_setting_nothing_is_asked_for():
    """Plugins run on any node, as they do on one machine."""
    assert load_settings().plugin_resource is None
    assert share_of(None) == {}
    assert with_share(Placement({"camera": 1}), None).resources == {"camera": 1}


def test_only_a_node_that_lives_counts():
    """A node that is gone offers nothing."""
    assert any_offers([node(CPU=2), node(CPU=2, ioc=1)], "ioc")
    assert not any_offers([node(CPU=2), node(alive=False, ioc=1)], "ioc")
    assert not any_offers([node(ioc=0)], "ioc")
    assert not any_offers([], "ioc")


@pytest.mark.parametrize("name", ["2 ioc", "node:ioc", "ioc;"])
def test_a_name_that_ray_would_not_take_is_refused(name):
    """The setting is checked when the server starts, not when the first plugin is added."""
    with pytest.raises(InvalidRequest, match="plugin_resource"):
        load_settings(plugin_resource=name)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_plugins_run_only_where_the_resource_is(tmp_path, monkeypatch):
    """On a head without CPUs and a cluster without the resource the add is refused; later it waits for the node."""
    for name, value in RAY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    nodes = Nodes(head_cpus=0)
    try:
        batch = nodes.add()
        server = Server(
            tmp_path,
            "RES",
            **RAY_ENVIRONMENT,
            IOCMNG_RAY_ADDRESS=nodes.cluster.address,
            IOCMNG_PLUGIN_RESOURCE="ioc",
            IOCMNG_PLUGIN_NODE_TIMEOUT="2",
        ).wait_until_ready()
        files = {"m.py": MINIMAL_TASK, "config.yaml": SERVING}
        answer = server.add("one", files)
        assert answer.status_code == 503, answer.text
        assert "the resource ioc, which IOCMNG_PLUGIN_RESOURCE asks for" in answer.json()["detail"]
        assert server.names() == set()

        serving = nodes.add({"ioc": 1, "camera": 1})
        wait_for(lambda: server.add("one", git_url=str(server.repositories / "one")).status_code == 201, "added", 60)
        with_wish = server.add("two", files, resources={"camera": 1})
        assert with_wish.status_code == 201, with_wish.text
        for name in ("one", "two"):
            assert server.get(name)["node"] == serving.node_id != batch.node_id
            assert caget(f"RES:{name.upper()}:A") == "7"
        for name in server.names():
            assert server.http.delete(f"/plugins/{name}").status_code == 200
        assert server.stop() == 0, server.log.read_text()
    finally:
        nodes.end()
