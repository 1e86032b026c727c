"""Plugins on several nodes of one cluster: where they run, and what a node's death costs.

The nodes are raylets on this machine, made by Ray's own test cluster; they share the state directory. Nodes that do
not, and nodes that are cut off from the network, are in test_node_cut_off.py.
"""

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from faults import iocs_of, kill, lives
from log_follower import followed
from ray.cluster_utils import Cluster
from support import Server, caget, caput, is_gone, wait_for

pytestmark = pytest.mark.timeout(240)

RAY_ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
    # A node's death is found within two seconds instead of twenty.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}

LEASE = 5
BOUND = LEASE + 5 + 2

TASK = """\
import ctypes
from iocmng import TaskBase


class Placed(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        if self.get_pv("CRASH"):
            self.logger.error("about to crash")
            ctypes.string_at(0)

    def cleanup(self):
        pass
"""

PVS = "pvs: {inputs: {SETPOINT: {type: float}, CRASH: {type: bool, autosave: false}}}\n"


class Nodes:
    """A head and whatever nodes are added."""

    def __init__(self, head_cpus=2):
        self.directory = tempfile.mkdtemp(prefix="iocmng-nodes-", dir="/tmp")
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": head_cpus, "temp_dir": self.directory, "include_dashboard": False},
        )

    def add(self, resources=None, **labels):
        return self.cluster.add_node(num_cpus=1, resources=resources or {}, labels=labels)

    def kill(self, node):
        """Kill -9 a node's raylet and everything that it has started, as a machine's death does."""
        raylets = [one.process.pid for one in node.all_processes["raylet"]]
        pids = [*raylets, *(child for pid in raylets for child in descendants(pid))]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        moment = time.monotonic()
        self.cluster.worker_nodes.discard(node)
        wait_for(lambda: not any(map(lives, pids)), "the node's processes are gone")
        return moment

    def end(self):
        self.cluster.shutdown()
        shutil.rmtree(self.directory, ignore_errors=True)


def descendants(pid):
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield int(child)
                yield from descendants(int(child))


@pytest.fixture(scope="module")
def nodes():
    """A cluster of a head and two nodes: `camera` in zone a, and zone b."""
    before = dict(os.environ)
    os.environ.update(RAY_ENVIRONMENT)
    made = Nodes()
    try:
        made.camera = made.add({"camera": 1}, zone="a")
        made.zone_b = made.add(zone="b")
        yield made
    finally:
        made.end()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def start(nodes, tmp_path_factory):
    """Return a function that starts a server which joins the cluster."""

    def begin(**environment):
        return Server(
            tmp_path_factory.mktemp("joined"),
            "NOD",
            **RAY_ENVIRONMENT,
            **environment,
            IOCMNG_RAY_ADDRESS=nodes.cluster.address,
            IOCMNG_LEASE=str(LEASE),
            IOCMNG_CRASH_BACKOFF="0.5",
            IOCMNG_CRASH_BACKOFF_LIMIT="1",
        )

    return begin


@pytest.fixture(scope="module")
def joined(start):
    """A server that has joined the cluster; it leaves plugins behind, so they are removed before."""
    server = start().wait_until_ready()
    yield server
    assert server.stop() == 0, server.log.read_text()


@pytest.fixture
def server(joined):
    yield joined
    for name in joined.names():
        assert joined.http.delete(f"/plugins/{name}").status_code == 200
    assert joined.leftovers() == []


def add(server, name, config="", **body):
    answer = server.add(name, {"placed.py": TASK, "config.yaml": PVS + config}, **body)
    assert answer.status_code == 201, answer.text
    return server.get(name)


@pytest.mark.slow
def test_a_plugin_runs_where_its_wish_is_met(server, nodes, capsys):
    """Resources of config.yaml and labels of the body choose the node; a restart stays, beside the old process."""
    with_camera = add(server, "with-camera", "resources: {camera: 1}\n")
    assert with_camera["node"] == nodes.camera.node_id
    assert with_camera["resources"] == {"camera": 1}
    in_b = add(server, "in-b", node={"zone": "b"})
    assert in_b["node"] == nodes.zone_b.node_id
    assert in_b["node_labels"] == {"zone": "b"}
    not_in_a = add(server, "not-in-a", node={"zone": "!a"})
    assert not_in_a["node"] != nodes.camera.node_id
    for name in ("WITH-CAMERA", "IN-B", "NOT-IN-A"):
        assert caget(f"NOD:{name}:SETPOINT") == "0"
    begun = time.monotonic()
    assert server.http.post("/plugins/with-camera/restart").status_code == 200
    tell(capsys, f"restart on another node: {time.monotonic() - begun:.2f} s")
    again = server.get("with-camera")
    assert (again["node"], again["generation"]) == (nodes.camera.node_id, 2)
    assert again["pid"] != with_camera["pid"]


@pytest.mark.slow
def test_a_wish_that_no_node_meets_is_refused_at_once(server):
    """503 within a second, with what is asked for and what the nodes have; nothing of the plugin stays."""
    server.repository("far", {"placed.py": TASK})
    url = str(server.repositories / "far")
    begun = time.monotonic()
    for wish, words in (({"resources": {"robot": 2}}, "2 robot"), ({"node": {"zone": "c"}}, "label zone=c")):
        answer = server.add("far", git_url=url, **wish)
        assert answer.status_code == 503
        assert f"no node of the cluster has {words}" in answer.json()["detail"]
        assert "camera" in answer.json()["detail"]
        assert "zone=b" in answer.json()["detail"]
    assert time.monotonic() - begun < 3
    assert server.names() == set()


@pytest.mark.slow
def test_a_process_that_dies_on_another_node(server, capsys):
    """It is replaced there with its setpoint; where its code met a fatal signal is told from the other node, too.

    So are its log, which can be followed here, and what it wrote last.
    """
    before = add(server, "in-b", node={"zone": "b"})
    caput("NOD:IN-B:SETPOINT", 4.5)
    wait_for(lambda: server.get("in-b")["cycle_count"] > 1, "a second, so that the value is saved")
    time.sleep(1.2)
    begun = time.monotonic()
    with followed(server, "in-b") as (lines, _):
        caput("NOD:IN-B:CRASH", 1)
        wait_for(lambda: any("its process has ended" in line for line in lines), "the end is in the log", 40)
        assert sum(line.endswith("ERROR about to crash") for line in lines) == 1
    after = wait_for(lambda: (now := server.get("in-b"))["pid"] not in (None, before["pid"]) and now, "replaced", 40)
    tell(capsys, f"crash on another node to replacement: {time.monotonic() - begun:.2f} s")
    assert "segmentation fault in execute (placed.py, line 12)" in after["last_exit"]
    assert after["node"] == before["node"]
    assert caget("NOD:IN-B:SETPOINT") == "4.5"


@pytest.mark.slow
def test_a_new_controller_takes_over_processes_on_other_nodes(server, nodes):
    """Kill -9 of the Controller: it comes back on the head node, and the other nodes' processes go on."""
    before = {name: add(server, name, node={"zone": zone}) for name, zone in (("in-a", "a"), ("in-b", "b"))}
    on_head = descendants(nodes.cluster.head_node.all_processes["raylet"][0].process.pid)
    (controller,) = [pid for pid in on_head if b"ControllerActor" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    kill(controller)
    wait_for(lambda: answered(server) == before.keys(), "the new Controller knows its plugins", 40)
    time.sleep(LEASE + 2)  # it renews their leases
    for name, plugin in before.items():
        assert {key: server.get(name)[key] for key in ("pid", "node")} == {key: plugin[key] for key in ("pid", "node")}
        assert len(iocs_of(f"NOD:{name.upper()}:SETPOINT")) == 1


def tell(capsys, sentence):
    with capsys.disabled():
        print(f"\n{sentence}")  # noqa: T201


def answered(server):
    with contextlib.suppress(httpx.HTTPError, KeyError):
        return server.names()
    return set()


@pytest.mark.slow
def test_the_death_of_a_node_moves_its_plugins(server, nodes, capsys):
    """They start on another node that meets their wish, with their setpoints, others are not touched.

    Where no node does, the plugin stays `crashed` and says why, until one joins.
    """
    dying = nodes.add({"pair": 1, "alone": 1})
    mover = add(server, "mover", "resources: {pair: 1}\n")
    stays = add(server, "stays", "resources: {alone: 1}\n")
    other = add(server, "other", node={"zone": "b"})
    assert mover["node"] == stays["node"] == dying.node_id
    caput("NOD:MOVER:SETPOINT", 7.5)
    time.sleep(2.5)  # saved once a second
    target = nodes.add({"pair": 1})

    killed = nodes.kill(dying)
    wait_for(lambda: server.get("mover")["status"] == "crashed", "the death is found")
    found = time.monotonic() - killed
    assert "node is lost" in server.get("mover")["message"]
    assert is_gone("NOD:MOVER:SETPOINT")
    moved = wait_for(lambda: (now := server.get("mover"))["node"] == target.node_id and now, "moved", 60)
    tell(capsys, f"death of a node: found after {found:.1f} s, PVs again after {time.monotonic() - killed:.1f} s")
    assert moved["last_exit"]
    assert caget("NOD:MOVER:SETPOINT") == "7.5"
    assert time.monotonic() - killed > BOUND - 1  # the last call to it was a second ago, at the most
    assert server.get("other")["pid"] == other["pid"]

    wait_for(lambda: "no node of the cluster has 1 alone" in server.get("stays")["message"], "why it stays", 40)
    assert server.get("stays")["status"] == "crashed"
    joined = nodes.add({"alone": 1})
    back = wait_for(lambda: (now := server.get("stays"))["node"] == joined.node_id and now, "it is back", 40)
    assert back["status"] == "running"
    assert caget("NOD:STAYS:SETPOINT") == "0"


def is_ready(way):
    with contextlib.suppress(httpx.TransportError):
        return way.get("/readyz").status_code == 200
    return False


@pytest.mark.slow
def test_a_server_that_joins_again_finds_the_living_controller(server, start):
    """The plugins run on while there is no server, longer than a lease, and the next one shows them."""
    before = add(server, "in-b", node={"zone": "b"})
    assert server.stop() == 0
    time.sleep(LEASE + 2)
    assert len(iocs_of("NOD:IN-B:SETPOINT")) == 1
    again = start(IOCMNG_PLUGINS_DIR=str(server.plugins_dir))
    # Ray Serve runs in the cluster and may still listen on the port of the first server.
    first = httpx.Client(base_url=server.http.base_url, timeout=120)
    ways = {again.http: again.port, first: server.port}
    way = wait_for(lambda: next((one for one in ways if is_ready(one)), None), f"ready; log: {again.log}", 90, 0.2)
    vars(server).update(vars(again), plugins_dir=server.plugins_dir, http=way, port=ways[way])
    assert {key: server.get("in-b")[key] for key in ("pid", "status")} == {"pid": before["pid"], "status": "running"}
    caput("NOD:IN-B:SETPOINT", 2)
    assert caget("NOD:IN-B:SETPOINT") == "2"
