"""The manifests run: Redis, a head and a worker as KubeRay starts them, each pod in namespaces of its own.

One walk, in the order of these tests, each of which begins where the one before it has ended.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from emulation.cluster import Cluster
from emulation.leftovers import leftovers_of
from emulation.sandbox import missing as no_sandbox
from emulation.walk import Walk
from manifests import K8S, render
from namespaces import missing as no_namespaces

REASON = no_namespaces() or no_sandbox()
pytestmark = [
    pytest.mark.skipif(REASON is not None, reason=f"pods cannot be emulated: {REASON}"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

# base/ with one worker, because this machine is one. The lease is as short as the loss of a head allows.
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: iocmng
resources: [{base}]
patches:
  - target: {{kind: ConfigMap, name: iocmng-settings}}
    patch: |
      - {{op: replace, path: /data/IOCMNG_LEASE, value: "75"}}
  - target: {{group: ray.io, kind: RayService}}
    patch: |
      - {{op: replace, path: /spec/rayClusterConfig/workerGroupSpecs/0/replicas, value: 1}}
      - {{op: replace, path: /spec/rayClusterConfig/workerGroupSpecs/0/minReplicas, value: 1}}
      - {{op: replace, path: /spec/rayClusterConfig/workerGroupSpecs/0/maxReplicas, value: 1}}
"""


@pytest.fixture(scope="module")
def walk():
    """The walk through a cluster that has come up; after it nothing is left of the cluster."""
    root = Path(tempfile.mkdtemp(prefix="iocmng-emulation-"))
    overlay = root / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(OVERLAY.format(base=os.path.relpath(K8S / "base", overlay.resolve())))
    objects = [one for one in yaml.safe_load_all(render(overlay.resolve())) if one]
    cluster = Cluster(objects, root)
    made = Walk(cluster)
    try:
        print(f"\n{made.come_up()}")  # noqa: T201
        yield made
    finally:
        cluster.end()
    assert leftovers_of(cluster) == []


@pytest.fixture
def tell(capsys):
    """Show what a step has found, also where output is captured."""

    def show(sentence: str) -> None:
        with capsys.disabled():
            print(f"\n{sentence}")  # noqa: T201

    return show


def test_the_main_job_runs_on_workers(walk, tell):
    """A plugin from a repository becomes an IOC on a worker, which a client in another pod reads and writes."""
    tell(walk.do_the_main_job())


def test_clients_reach_iocs_and_nothing_else(walk, tell):
    """All ports of the IOCs are open to clients of EPICS, and nothing of Ray listens at an open port."""
    tell(walk.look_at_the_doors())


def test_a_heads_container_ends(walk, tell):
    """IOCs outlive the head's container; it starts again in its pod, and finds everything in Redis."""
    tell(walk.end_the_heads_container())


def test_a_heads_machine_is_lost(walk, tell):
    """IOCs outlive the head's pod; the new one has another address, and nobody deploys the application again."""
    tell(walk.lose_the_heads_machine())


def test_a_heads_pod_is_deleted(walk, tell):
    """A drain ends the head in good order, and not the IOCs on workers."""
    tell(walk.delete_the_heads_pod())


def test_a_workers_pod_is_deleted(walk, tell):
    """The plugins of a drained worker run on the one that takes its place, after the lease."""
    tell(walk.delete_a_workers_pod())


def test_a_workers_machine_is_lost(walk, tell):
    """Plugins of a lost worker run on the one that takes its place, after the lease, with the values of config.yaml."""
    tell(walk.lose_a_workers_machine())
