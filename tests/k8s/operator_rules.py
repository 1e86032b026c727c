"""What KubeRay's operator refuses although its schema allows it, and what would put two IOCs on one device."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import click
from manifests import Manifest, cluster_of, environment_of, groups_of, in_bytes, of_kind
from ray.scripts.scripts import start

RAY_START = {
    option.removeprefix("--")
    for parameter in start.params
    if isinstance(parameter, click.Option)
    for option in parameter.opts
}

FORBIDDEN_VARIABLES = ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
FORBIDDEN_PARAMETERS = ("redis-password", "redis-username", "labels", "head", "address", "block")


def problems(objects: list[Manifest]) -> list[str]:
    """Return a sentence for everything in the Ray cluster of these objects that the operator would not take."""
    cluster = cluster_of(objects)
    return [
        *_service(objects),
        *_authentication(cluster),
        *_memory(cluster),
        *_scaling(cluster),
        *(sentence for group in groups_of(objects) for sentence in _group(objects, group)),
    ]


def _service(objects: list[Manifest]) -> Iterator[str]:
    for service in of_kind(objects, "RayService"):
        if service["spec"].get("upgradeStrategy") != {"type": "None"}:
            yield "an upgrade would start a second cluster with the same PVs"
    for gated in ("networkPolicy", "tlsOptions"):
        if gated in cluster_of(objects):
            yield f"{gated} is refused while its feature gate is off"


def _authentication(cluster: Manifest) -> Iterator[str]:
    if cluster.get("authOptions", {}).get("mode") != "token":
        yield "whoever reaches Ray can run code: no token"
    if tuple(map(int, cluster.get("rayVersion", "0.0").split(".")[:2])) < (2, 52):
        yield "a token needs rayVersion 2.52 or later"


def _memory(cluster: Manifest) -> Iterator[str]:
    options = cluster.get("gcsFaultToleranceOptions")
    if options is None:
        return
    if "externalStorageNamespace" in options:
        yield "externalStorageNamespace is the operator's to choose"
    if "value" in options.get("redisPassword", {}):
        yield "the password of Redis stands in the manifest"
    annotations = cluster["headGroupSpec"]["template"]["metadata"].get("annotations", {})
    if any(name.startswith("ray.io/") for name in annotations):
        yield "annotations of ray.io do not go together with gcsFaultToleranceOptions"


def _scaling(cluster: Manifest) -> Iterator[str]:
    scales = cluster.get("enableInTreeAutoscaling", False)
    for group in cluster.get("workerGroupSpecs", ()):
        low, now, high = (group.get(key) for key in ("minReplicas", "replicas", "maxReplicas"))
        if low is None or high is None or now is None or not low <= now <= high:
            yield f"{group['groupName']} needs minReplicas <= replicas <= maxReplicas, all of them given"
        elif not scales and low != high:
            yield f"{group['groupName']} has a range of replicas, and nobody who scales it"
    if scales and cluster.get("autoscalerOptions", {}).get("version") == "v2":
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            if group["template"]["spec"].get("restartPolicy", "Never") != "Never":
                yield "pods of autoscaler v2 need restartPolicy Never, or none"


def _group(objects: list[Manifest], group: Manifest) -> Iterator[str]:
    name = group.get("groupName", "head")
    parameters: dict[str, Any] = group["rayStartParams"]
    if "name" in group.get("headService", {}).get("metadata", {}):
        yield "headService.metadata.name must not be set"
    if group.get("resources") and parameters.keys() & {"num-cpus", "num-gpus", "memory", "resources"}:
        yield f"{name}: resources both in the group and in rayStartParams"
    yield from (f"{name}: rayStartParams must not have {key}" for key in FORBIDDEN_PARAMETERS if key in parameters)
    yield from (f"{name}: `ray start` has no option {key}" for key in parameters if key not in RAY_START)
    yield from (f"{name}: {key} must be a string" for key, value in parameters.items() if not isinstance(value, str))
    for key, value in group.get("labels", {}).items():
        if not re.fullmatch(r"(?:[a-z0-9.-]+/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", key) or not re.fullmatch(
            r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", value
        ):
            yield f"{name}: label {key}={value} is not one of Kubernetes"
    for container in group["template"]["spec"]["containers"]:
        found = environment_of(objects, container).keys()
        yield from (f"{name}: {one} is the operator's to set" for one in FORBIDDEN_VARIABLES if one in found)
    yield from _object_store(name, group)


def _object_store(name: str, group: Manifest) -> Iterator[str]:
    store = int(group["rayStartParams"].get("object-store-memory", 0))
    requested = group["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"]
    if store > in_bytes(requested):
        yield f"{name}: the object store is larger than the memory that the pod asks for"


def custom_resources(group: Manifest) -> dict[str, float]:
    """Return the resources that a group's `ray start` offers, read as the shell and Ray read them."""
    text = group["rayStartParams"].get("resources", "{}")
    (argument,) = shlex.split(text)
    return json.loads(argument)
