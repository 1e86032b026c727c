"""serve_config/ha.yaml on a Ray cluster of two nodes: both answer, both agree, and each can be lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from faults import kill, tell
from serve_support import Reader, answers, do_the_main_job, make_plugins, serve
from support import caget, wait_for
from two_nodes import TwoNodes, plugins

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AGREED = 1.0
"""Seconds after which what was changed through one replica must show at the other; measured are some 10 ms."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    """The cluster."""
    before = dict(os.environ)
    made = None
    try:
        made = TwoNodes(tmp_path_factory.mktemp("ha"))
        made.deploy()
        made.wait_until_ready()
        yield made
    finally:
        if made is not None:
            made.end()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def task(nodes: TwoNodes) -> Iterator[str]:
    """A task that runs, added through the worker's replica."""
    body = {"name": "one", "git_url": make_plugins(nodes.root), "path": "task"}
    answer = nodes.worker.post("/tasks", json=body)
    assert answer.status_code == 201, answer.text
    yield "one"
    assert nodes.head.delete("/tasks/one").status_code == 200


def test_the_main_job_through_both_nodes(nodes: TwoNodes):
    """A replica runs on each node, and each node's address does the main job."""
    assert nodes.replicas().keys() == {nodes.cluster.head_node.node_id, nodes.worker_node.node_id}
    for client in (nodes.worker, nodes.head):
        do_the_main_job(client, nodes.root)


def test_both_replicas_ask_who_is_calling(nodes: TwoNodes):
    """The token of the head node's environment counts on each node, though the other's environment has none."""
    for client in (nodes.head, nodes.worker):
        url = f"{client.base_url}plugins"
        assert httpx.post(url, json={}).status_code == 401
        assert httpx.post(url, json={}, headers={"Authorization": "Bearer another"}).status_code == 401
        assert client.post("/plugins", json={}).status_code == 422


def agree(nodes: TwoNodes) -> None:
    """Fail if the replicas do not show the same plugins, in the same words, within the bound."""
    wait_for(lambda: plugins(nodes.worker) == plugins(nodes.head), "both replicas agree", AGREED)


def shows(client: httpx.Client, task: str, running: bool) -> bool:
    """Tell whether a replica shows a task as running or not."""
    return client.get(f"/tasks/{task}").json()["running"] is running


def test_a_change_shows_at_the_other_replica(nodes: TwoNodes, task: str, capsys: pytest.CaptureFixture[str]):
    """Who changes something through one replica reads it at once there, and within a second at the other."""
    late = []
    for changes, looks in [(nodes.head, nodes.worker), (nodes.worker, nodes.head)] * 5:
        for word, running in (("stop", False), ("start", True)):
            assert changes.post(f"/tasks/{task}/{word}").status_code == 200
            answered = time.monotonic()
            assert shows(changes, task, running)
            wait_for(partial(shows, looks, task, running), f"{word} shows", AGREED, 0)
            late.append(time.monotonic() - answered)
    tell(capsys, f"after a change both replicas had shown it within {max(late) * 1000:.0f} ms")


def test_a_stream_goes_on_at_the_other_replica(nodes: TwoNodes, task: str):
    """A client whose stream of events was cut reads on at another replica: each event once, none missing."""
    assert nodes.head.post(f"/tasks/{task}/restart").status_code == 200
    told = [event["id"] for event in nodes.head.get("/events?stream=false&limit=1000").json()["events"]]
    last, *expected = told[len(told) // 2 :]
    heard = []
    with nodes.worker.stream("GET", "/events", headers={"Last-Event-ID": str(last)}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and "id" in (event := json.loads(line.removeprefix("data: "))):
                heard.append(event["id"])
            if len(heard) == len(expected):
                break
    assert heard == expected


def test_a_killed_replica(nodes: TwoNodes, task: str, capsys: pytest.CaptureFixture[str]):
    """Kill -9 of one: the other answers all the time, a new one comes on the same node, and agrees."""
    node = nodes.worker_node.node_id
    victim = nodes.replicas()[node]
    readers = [Reader(nodes.head), Reader(nodes.worker)]
    killed = kill(victim)
    wait_for(lambda: nodes.replicas().get(node, victim) != victim, "a new replica on its node", 60, 0.2)
    back = time.monotonic() - killed
    for reader in readers:
        reader.end()
    at_head, at_worker = readers
    tell(
        capsys,
        f"a killed replica was back after {back:.1f} s; its node answered {at_worker.answered} reads meanwhile, not "
        f"{len(at_worker.failed)}",
    )
    assert at_head.failed == []
    assert at_head.answered > 10
    # What it was answering when it died is lost; its proxy asks the other replica from then on.
    assert len(at_worker.failed) <= 1, at_worker.failed
    agree(nodes)
    assert nodes.worker.post(f"/tasks/{task}/restart").status_code == 200
    agree(nodes)
    assert caget("SERVED:ONE:A") == "7"


def test_new_arguments_take_over_without_a_gap(nodes: TwoNodes, task: str, capsys: pytest.CaptureFixture[str]):
    """`serve deploy` with another argument replaces one replica after the other; plugins do not notice."""
    before = nodes.replicas()
    process = nodes.head.get(f"/tasks/{task}").json()["pid"]
    readers = [Reader(nodes.head), Reader(nodes.worker)]
    begun = time.monotonic()
    nodes.config["applications"][0]["args"] = {"max_body_bytes": 2048}
    nodes.deploy()

    def are_new() -> bool:
        now = nodes.replicas()
        return len(now) == 2 and not set(now.values()) & set(before.values())

    wait_for(are_new, "two new replicas", 120, 0.2)
    tell(capsys, f"two replicas were replaced within {time.monotonic() - begun:.1f} s")
    for reader in readers:
        reader.end()
        assert reader.failed == []
    for client in (nodes.head, nodes.worker):
        assert client.post("/plugins", json={"name": "x" * 3000}).status_code == 413
    assert nodes.head.get(f"/tasks/{task}").json()["pid"] == process


def test_a_misspelt_argument_changes_nothing(nodes: TwoNodes, task: str):
    """`serve status` says which argument is none; the replicas before go on."""
    before = nodes.replicas()
    good = nodes.config["applications"][0]["args"]
    nodes.config["applications"][0]["args"] = {"log_levle": "debug"}
    try:
        nodes.deploy()
        status = wait_for(lambda: "DEPLOY_FAILED" in (told := serve(nodes.dashboard, "status")) and told, "refused", 60)
        assert "log_levle" in status
        agree(nodes)
    finally:
        nodes.config["applications"][0]["args"] = good
        nodes.deploy()
    # While it is refused, the dashboard tells of no replica.
    wait_for(lambda: len(nodes.replicas()) == 2, "good again", 60, 0.5)
    assert nodes.replicas() == before


def test_a_user_config_is_refused(nodes: TwoNodes, task: str):
    """`serve status` says where settings stand; one replica is lost by it, and the other answers meanwhile."""
    (deployment,) = nodes.config["applications"][0]["deployments"]
    reader = Reader(nodes.head)
    deployment["user_config"] = {"log_level": "debug"}
    try:
        nodes.deploy()
        wait_for(lambda: "settings stand under args" in serve(nodes.dashboard, "status"), "it is told", 60, 0.5)
    finally:
        del deployment["user_config"]
        nodes.deploy()
    nodes.wait_until_ready()
    reader.end()
    assert reader.failed == []
    agree(nodes)


def test_calls_are_logged_without_a_new_replica(nodes: TwoNodes, task: str):
    """Another logging_config of the deployment takes effect in the processes that run."""
    before = nodes.replicas()
    (deployment,) = nodes.config["applications"][0]["deployments"]
    deployment["logging_config"] = {"enable_access_log": True, "log_level": "INFO"}
    nodes.deploy()

    def is_logged() -> bool:
        nodes.worker.get("/tasks").raise_for_status()
        return "GET /api/v1/tasks 200" in nodes.serve_logs()

    wait_for(is_logged, "a line for a call", 60, 0.5)
    assert nodes.replicas() == before


def test_a_lost_node(nodes: TwoNodes, task: str, capsys: pytest.CaptureFixture[str]):
    """The other node answers and takes changes; one that joins instead gets a replica, which agrees."""
    reader = Reader(nodes.head)
    nodes.cluster.remove_node(nodes.worker_node, allow_graceful=False)
    assert nodes.head.post(f"/tasks/{task}/restart").status_code == 200
    wait_for(lambda: len(nodes.replicas()) == 1, "the loss is noticed", 90, 0.5)
    assert not answers(f"{nodes.worker.base_url}readyz")
    reader.end()
    assert reader.failed == []
    begun = time.monotonic()
    nodes.worker_node = nodes.cluster.add_node(num_cpus=1)
    nodes.wait_until_ready()
    tell(capsys, f"a new node answered {time.monotonic() - begun:.1f} s after it had joined")
    assert nodes.worker_node.node_id in nodes.replicas()
    agree(nodes)
