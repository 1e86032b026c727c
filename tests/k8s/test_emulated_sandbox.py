"""A pod of the emulation is kept apart as its manifest says. Redis is the pod here, which is ready in a moment."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from emulation.__main__ import main
from emulation.cluster import Cluster
from emulation.kuberay import NotEmulated
from emulation.leftovers import leftovers_of
from emulation.sandbox import missing as no_sandbox
from manifests import ROOT, manifests, named
from namespaces import missing as no_namespaces

REASON = no_namespaces() or no_sandbox()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"pods cannot be emulated: {REASON}")


@pytest.mark.parametrize(
    ("directory", "sentence"),
    [
        ("k8s/nowhere", "k8s/nowhere cannot be rendered"),
        ("k8s/examples/ray-job", "one RayService is emulated, and here are 0"),
        ("k8s/overlays/hostnetwork", "hostNetwork: pods in the network of their machine cannot be emulated"),
    ],
)
def test_what_cannot_be_emulated_is_told(directory, sentence, capsys):
    """`k8s/emulate` ends with status 2 and a sentence, before anything is started."""
    before = set(Path(tempfile.gettempdir()).glob("iocmng-emulation-*"))
    with pytest.raises(SystemExit) as caught:
        main([str(ROOT / directory)])
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err
    assert set(Path(tempfile.gettempdir()).glob("iocmng-emulation-*")) <= before


def test_a_secret_that_is_not_there_is_told(tmp_path):
    """A Secret of the site's own is none of ours: a sentence names it, and nothing is left."""
    objects = manifests("base")
    redis = named(objects, "StatefulSet", "iocmng-redis")["spec"]["template"]["spec"]["containers"][0]
    redis["env"][0]["valueFrom"]["secretKeyRef"]["name"] = "vault"
    made = Cluster(objects, tmp_path / "cluster")
    try:
        with pytest.raises(NotEmulated, match="vault redis_password, a Secret that is not emulated"):
            made.start_stateful_sets()
    finally:
        made.end()
    assert leftovers_of(made) == []


@pytest.fixture
def cluster():
    """A cluster in which Redis alone runs; nothing is left of it."""
    made = Cluster(manifests("base"), Path(tempfile.mkdtemp(prefix="iocmng-emulation-")))
    try:
        made.start_stateful_sets()
        yield made
    finally:
        made.end()
    assert leftovers_of(made) == []


def test_a_pod_is_kept_apart(cluster):
    """It has its own process 1, user and address, a root that it cannot write to, volumes, and its secret."""
    (redis,) = cluster.pods

    def says(command: str) -> str:
        return redis.execute(["/bin/sh", "-c", command], 10).stdout.strip()

    assert says("id -u") == "999"
    assert says("grep CapBnd /proc/self/status").endswith("0000000000000000")
    assert says("cat /proc/1/comm") == "redis-server"
    assert says("hostname") == "iocmng-redis-0"
    assert says("touch /x 2>/dev/null || echo refused") == "refused"
    assert says("stat -c %a /run/redis/redis.conf") == "600"
    assert says("redis-cli ping") == "PONG"
    assert says("env -u REDISCLI_AUTH redis-cli ping").startswith("NOAUTH")
    assert cluster.hosts.read_text(encoding="ascii").splitlines()[1].startswith(f"{redis.address} iocmng-redis ")
    assert redis.host_pid(1) == redis.first_process()
    assert redis.listeners() == {6379: "redis-server"}


def test_a_pod_that_ends_is_not_published(cluster):
    """A name leads to ready pods only; what a claim keeps is there for the pod that comes after."""
    (redis,) = cluster.pods
    redis.execute(["/usr/bin/redis-cli", "set", "kept", "yes"], 10)
    redis.kill()
    cluster.publish()
    assert cluster.hosts.read_text(encoding="ascii") == "127.0.0.1 localhost\n"
    redis.start_container()
    cluster.ready(redis)
    assert redis.execute(["/usr/bin/redis-cli", "get", "kept"], 10).stdout == "yes\n"


def test_a_pod_that_cannot_start_shows_its_log(cluster):
    """A container that ends at once is an error with the end of its log, and no wait."""
    (redis,) = cluster.pods
    redis.delete()
    redis.container["command"] = ["/bin/sh", "-c", "echo no room at the beamline; exit 3"]
    redis.start_container()
    with pytest.raises(AssertionError, match="no room at the beamline"):
        redis.wait_until_ready()


def test_what_is_left_is_seen(cluster):
    """The check for leftovers names what is there of a cluster that has not ended."""
    (redis,) = cluster.pods
    found = leftovers_of(cluster)
    assert {redis.machine.name, redis.machine.link, cluster.network.bridge, str(cluster.root)} < set(found)
    assert f"process {redis.first_process()}" in found
