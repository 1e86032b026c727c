"""Every directory of k8s/ renders, and what comes out is what Kubernetes and KubeRay's operator take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from manifests import K8S, ROOT, TARGETS, Manifest, manifests, named, of_kind, pods_of, rendered

KUBERAY = ROOT.parent / "shared" / "kuberay"

FOREIGN = {
    ("ray.io/v1", "RayService"),
    ("ray.io/v1", "RayCluster"),
    ("ray.io/v1", "RayJob"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition"),
}
"""Kinds that are not Kubernetes' own."""

KUBERNETES = "1.36"


def refusals(one: Manifest) -> list[str]:
    """Return why Kubernetes would not take an object, unknown fields included."""
    try:
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{one['kind']}: {'.'.join(map(str, error.path))}: {error.message}"]
    return []


@pytest.mark.parametrize("target", TARGETS)
def test_kubernetes_takes_it(target):
    """Each object fits the strict schema of its kind, and so do the pods inside of custom resources."""
    objects = manifests(target)
    assert objects
    own = [one for one in objects if (one["apiVersion"], one["kind"]) not in FOREIGN]
    pods = [{"apiVersion": "v1", "kind": "Pod", **pods.template} for pods in pods_of(objects)]
    for pod in pods:
        pod["metadata"]["name"] = "pod"
    assert [sentence for one in (*own, *pods) for sentence in refusals(one)] == []


def test_an_unknown_field_is_seen():
    """The check of this file is strict: a misspelt field of a pod is refused."""
    (pods, *_) = pods_of(manifests("base"))
    pods.spec["restartPolice"] = "Never"
    pod = {"apiVersion": "v1", "kind": "Pod", **pods.template}
    assert "restartPolice" in refusals(pod)[0]


@pytest.mark.skipif(not KUBERAY.is_dir(), reason="the schemas of KubeRay's custom resources are not beside the project")
def test_kuberay_takes_it(tmp_path):
    """Each RayService, RayCluster and RayJob fits the strict schema of KubeRay."""
    files = []
    for number, target in enumerate(TARGETS):
        files.append(tmp_path / f"{number}.yaml")
        files[-1].write_text(rendered(target), encoding="utf-8")
    done = kuberay_check(files)
    assert done.returncode == 0, done.stdout
    clusters = [one for target in TARGETS for one in of_kind(manifests(target), "RayService", "RayCluster", "RayJob")]
    assert f"{len(clusters)} custom resources, 0 errors" in done.stdout
    broken = manifests("base")
    named(broken, "RayService", "iocmng")["spec"]["upgradeStrategie"] = {}
    (tmp_path / "broken.yaml").write_text(yaml.safe_dump_all(broken), encoding="utf-8")
    assert kuberay_check([tmp_path / "broken.yaml"]).returncode == 1


def kuberay_check(files: list[Path]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, KUBERAY / "crdcheck.py", KUBERAY / "crds", *files]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_example_of_the_secret_is_one():
    """It fits the schema, and holds nothing."""
    secret = yaml.safe_load((K8S / "secret.example.yaml").read_text(encoding="utf-8"))
    assert refusals(secret) == []
    assert set(secret["stringData"].values()) == {""}


def test_the_objects_of_others_are_well_formed():
    """PodMonitor and NetworkAttachmentDefinition, for which no schema is here: ports by name, JSON that can be read."""
    (monitor,) = of_kind(manifests("components/pod-monitor"), "PodMonitor")
    assert [one["port"] for one in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]
    objects = manifests("overlays/multus")
    (network,) = of_kind(objects, "NetworkAttachmentDefinition")
    assert json.loads(network["spec"]["config"]).keys() >= {"cniVersion", "type", "ipam"}
    (annotations,) = [one.template["metadata"]["annotations"] for one in pods_of(objects) if one.place == "iocs"]
    (asked,) = json.loads(annotations["k8s.v1.cni.cncf.io/networks"])
    assert asked["name"] == network["metadata"]["name"]
