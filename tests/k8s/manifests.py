"""Renders k8s/ as `kubectl apply -k` would, and finds things in what comes out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
BASE = "base"

Manifest = dict[str, Any]


def names(folder: str) -> list[str]:
    """Return the directories with a kustomization in a folder of k8s/."""
    return sorted(f"{folder}/{file.parent.name}" for file in (K8S / folder).glob("*/kustomization.yaml"))


COMPONENTS = [name for name in names("components") if name != "components/images"]
TARGETS = [BASE, *names("overlays"), *COMPONENTS, *names("examples")]
CLUSTERS = [name for name in TARGETS if name not in ("examples/ray-job", "examples/cron-job")]


def tool() -> list[str]:
    """Return the command that renders a directory; skip the test where there is none."""
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    pytest.skip("neither kubectl nor kustomize is installed, one of which renders the manifests")


@cache
def _rendered(name: str) -> str:
    return laid_over(BASE, K8S / name) if name.startswith("components/") else render(K8S / name)


def laid_over(name: str, *components: Path) -> str:
    """Return what a directory prints that begins at k8s/NAME and adds components."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory).resolve()
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "iocmng",
            "resources": [os.path.relpath(K8S / name, place)],
            "components": [os.path.relpath(one.resolve(), place) for one in components],
        }
        (place / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return render(place)


def render(directory: Path) -> str:
    """Return what `kubectl kustomize DIRECTORY` prints."""
    done = subprocess.run([*tool(), str(directory)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(name: str) -> str:
    """Return what `kubectl kustomize k8s/NAME` prints; a component is laid over base/."""
    return _rendered(name)


def manifests(name: str) -> list[Manifest]:
    """Return the objects of a rendered directory, anew for each caller."""
    return [one for one in yaml.safe_load_all(rendered(name)) if one]


def of_kind(objects: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the objects of these kinds."""
    return [one for one in objects if one["kind"] in kinds]


def named(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the object of this kind and name."""
    (found,) = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


def cluster_of(objects: list[Manifest]) -> Manifest:
    """Return the description of the Ray cluster."""
    (found,) = of_kind(objects, "RayService", "RayCluster")
    return found["spec"]["rayClusterConfig"] if found["kind"] == "RayService" else found["spec"]


@dataclass(frozen=True)
class Pods:
    """A template of pods, and where it stands."""

    place: str
    template: Manifest

    @property
    def spec(self) -> Manifest:
        return self.template["spec"]

    @property
    def labels(self) -> Mapping[str, str]:
        return self.template["metadata"]["labels"]

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


def groups_of(objects: list[Manifest]) -> list[Manifest]:
    """Return the head group and the worker groups."""
    cluster = cluster_of(objects)
    return [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", ())]


def pods_of(objects: list[Manifest]) -> Iterator[Pods]:
    """Return all templates of pods, also those inside of custom resources."""
    if of_kind(objects, "RayService", "RayCluster"):
        for group in groups_of(objects):
            yield Pods(group.get("groupName", "head"), group["template"])
    for one in of_kind(objects, "StatefulSet", "Deployment"):
        yield Pods(one["metadata"]["name"], one["spec"]["template"])
    for one in of_kind(objects, "CronJob"):
        yield Pods(one["metadata"]["name"], one["spec"]["jobTemplate"]["spec"]["template"])


def environment_of(objects: list[Manifest], container: Manifest) -> dict[str, Manifest | str]:
    """Return the variables of a container, with those of its ConfigMaps; one from a Secret is its reference."""
    found: dict[str, Manifest | str] = {}
    for source in container.get("envFrom", ()):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", ()):
        found[variable["name"]] = variable.get("valueFrom", variable.get("value", ""))
    return found


def in_bytes(quantity: str) -> int:
    """Return a Kubernetes quantity such as 512Mi in bytes."""
    number, unit = re.fullmatch(r"(\d+)([KMG]i)?", quantity).groups()  # type: ignore[union-attr]
    return int(number) * 1024 ** " KMG".index((unit or " ")[0])


def strings_of(value: Any) -> Iterator[str]:
    """Return all strings in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from strings_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_of(one)
