"""What KubeRay's operator makes of a RayService. A model of its version 1.6, as far as our manifests reach."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import yaml
from manifests import Manifest, cluster_of, in_bytes, of_kind

GCS_PORT = 6379
DASHBOARD_PORT = 8265
AGENT_PORT = 52365
CLIENT_TIMEOUT = 2.0
"""Seconds after which the operator takes a call of the dashboard for failed; it calls again later."""

_BASH = ["/bin/bash", "-c", "--"]
_WAIT_FOR_HEAD = """
SECONDS=0
while true; do
  if ray health-check --address {address} > /dev/null 2>&1; then
    echo "GCS is ready."
    break
  fi
  echo "$SECONDS seconds elapsed: Waiting for GCS to be ready."
  sleep 5
done
"""


class NotEmulated(Exception):
    """The manifests ask for something that this emulation has not; the text says what."""


@dataclass(frozen=True)
class RayService:
    """The RayService among rendered objects, as the operator sees it.

    Args:
        objects: What `kubectl kustomize` printed.
        suffix: What the operator appends to the name of the Ray cluster that it makes.
    """

    objects: list[Manifest]
    suffix: str = "abcde"
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        found = of_kind(self.objects, "RayService")
        if len(found) != 1:
            raise NotEmulated(f"one RayService is emulated, and here are {len(found)}")
        object.__setattr__(self, "manifest", found[0])
        for group in (self.spec["headGroupSpec"], *self.spec["workerGroupSpecs"]):
            if group["template"]["spec"].get("hostNetwork"):
                raise NotEmulated("hostNetwork: pods in the network of their machine cannot be emulated on one machine")

    @property
    def spec(self) -> Manifest:
        """The description of the Ray cluster."""
        return cluster_of(self.objects)

    @property
    def namespace(self) -> str:
        return self.manifest["metadata"].get("namespace", "default")

    @property
    def cluster_name(self) -> str:
        return f"{self.manifest['metadata']['name']}-{self.suffix}"

    @property
    def head_name(self) -> str:
        """The name under which workers find the head; it stays the same when the head's pod does not."""
        return f"{self.cluster_name}-head-svc.{self.namespace}.svc.cluster.local"

    @property
    def outlives_its_head(self) -> bool:
        """Whether what the GCS knows is kept in Redis."""
        return "gcsFaultToleranceOptions" in self.spec

    @property
    def application(self) -> dict[str, Any]:
        """What is PUT to the dashboard."""
        return yaml.safe_load(self.manifest["spec"]["serveConfigV2"])

    def head_service(self) -> Manifest:
        """Return the headless Service by which the head is found."""
        selector = {"ray.io/cluster": self.cluster_name, "ray.io/node-type": "head"}
        metadata = {"name": f"{self.cluster_name}-head-svc", "namespace": self.namespace}
        return {"kind": "Service", "metadata": metadata, "spec": {"clusterIP": "None", "selector": selector}}

    def serve_service(self) -> Manifest:
        """Return the Service that the operator makes when the application answers; pods made later know of it."""
        name = f"{self.manifest['metadata']['name']}-serve-svc"
        selector = {"ray.io/cluster": self.cluster_name, "ray.io/serve": "true"}
        spec = {"selector": selector, "ports": [{"name": "serve", "port": 8000}]}
        return {"kind": "Service", "metadata": {"name": name, "namespace": self.namespace}, "spec": spec}

    def head(self, name: str) -> Manifest:
        """Return the head's pod."""
        return self._pod(name, self.spec["headGroupSpec"], "head", "headgroup")

    def worker(self, name: str, group: Manifest) -> Manifest:
        """Return a worker's pod, which waits for the head before it starts."""
        pod = self._pod(name, group, "worker", group["groupName"])
        ray = pod["spec"]["containers"][0]
        waiting = {
            "name": "wait-gcs-ready",
            "image": ray["image"],
            "command": _BASH,
            "args": [_WAIT_FOR_HEAD.format(address=f"{self.head_name}:{GCS_PORT}")],
            # Not what comes by envFrom: the operator copies these two, and no more.
            "env": [*group["template"]["spec"]["containers"][0].get("env", ()), *self._token(), *self._head_address()],
            "volumeMounts": copy.deepcopy(ray.get("volumeMounts", [])),
            "securityContext": copy.deepcopy(ray.get("securityContext", {})),
        }
        pod["spec"].setdefault("initContainers", []).append(waiting)
        return pod

    def _pod(self, name: str, group: Manifest, role: str, group_name: str) -> Manifest:
        template = copy.deepcopy(group["template"])
        spec, container = template["spec"], template["spec"]["containers"][0]
        labels = {
            "ray.io/is-ray-node": "yes",
            "ray.io/cluster": self.cluster_name,
            "ray.io/node-type": role,
            "ray.io/group": group_name,
            "ray.io/serve": "false" if role == "head" else "true",
        }
        merged = {**template["metadata"].get("labels", {}), **group.get("labels", {}), **labels}
        command = self.ray_start(group, role)
        _add_variables(container, self._variables(name, role, group_name, command))
        own = " ".join([*container.pop("command", ()), *container.pop("args", ())])
        container["command"] = _BASH
        container["args"] = [f"{own} && ulimit -n 65536; {command}" if own else f"ulimit -n 65536; {command}"]
        _add_probes(container, role, group["rayStartParams"])
        _add_shared_memory(spec, container)
        return {"metadata": {"name": name, "namespace": self.namespace, "labels": merged}, "spec": spec}

    def ray_start(self, group: Manifest, role: str) -> str:
        """Return the command line that starts Ray in a pod of this group."""
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        parameters = dict(group["rayStartParams"])
        if labels := group.get("labels"):
            parameters["labels"] = ",".join(f"{key}={labels[key]}" for key in sorted(labels))
        defaults = {
            "metrics-export-port": "8080",
            "dashboard-agent-listen-port": str(AGENT_PORT),
            "num-cpus": str(_cores(limits["cpu"])),
            "memory": str(in_bytes(limits["memory"])),
        }
        if role == "head":
            defaults["dashboard-host"] = "0.0.0.0"
            if "redisPassword" in self.spec.get("gcsFaultToleranceOptions", {}):
                parameters["redis-password"] = "$REDIS_PASSWORD"
            if self.spec.get("enableInTreeAutoscaling"):
                parameters["no-monitor"] = "true"
        else:
            defaults["address"] = f"{self.head_name}:{GCS_PORT}"
        words = [_option(key, value) for key, value in sorted({**defaults, **parameters, "block": "true"}.items())]
        return " ".join(["ray start", *(["--head"] if role == "head" else []), *filter(None, words)])

    def _variables(self, name: str, role: str, group_name: str, command: str) -> list[Manifest]:
        address = f"127.0.0.1:{GCS_PORT}" if role == "head" else f"{self.head_name}:{GCS_PORT}"
        values = {
            "RAY_CLUSTER_NAME": self.cluster_name,
            "RAY_CLUSTER_NAMESPACE": self.namespace,
            "RAY_CLOUD_INSTANCE_ID": name,
            "RAY_NODE_TYPE_NAME": group_name,
            "KUBERAY_GEN_RAY_START_CMD": command,
            "RAY_PORT": str(GCS_PORT),
            "RAY_timeout_ms_task_wait_for_death_info": "0",
            "RAY_gcs_server_request_timeout_seconds": "5",
            "RAY_SERVE_KV_TIMEOUT_S": "5",
            "RAY_ADDRESS": address,
            "RAY_USAGE_STATS_KUBERAY_IN_USE": "1",
            "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE": "1",
        }
        plain = [{"name": key, "value": value} for key, value in values.items()]
        where = [] if role == "head" else self._head_address()
        return [*self._fault_tolerance(role), *self._token(), *where, *plain]

    def _fault_tolerance(self, role: str) -> list[Manifest]:
        options = self.spec.get("gcsFaultToleranceOptions")
        if options is None:
            return []
        if role == "worker":
            return [{"name": "RAY_gcs_rpc_server_reconnect_timeout_s", "value": "600"}]
        return [
            {"name": "RAY_external_storage_namespace", "value": f"uid-of-{self.cluster_name}"},
            {"name": "RAY_REDIS_ADDRESS", "value": options["redisAddress"]},
            *([{"name": "REDIS_PASSWORD", **options["redisPassword"]}] if "redisPassword" in options else []),
        ]

    def _token(self) -> list[Manifest]:
        options = self.spec.get("authOptions", {})
        if options.get("mode") != "token":
            return []
        key = {"name": options.get("secretName") or self.cluster_name, "key": "auth_token"}
        return [
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": key}},
        ]

    def _head_address(self) -> list[Manifest]:
        return [
            {"name": "FQ_RAY_IP", "value": self.head_name},
            {"name": "RAY_IP", "value": self.head_name.partition(".")[0]},
        ]


def _option(key: str, value: str) -> str:
    if value.lower() in ("true", "false") and key not in ("log-color", "include-dashboard"):
        return f"--{key}" if value.lower() == "true" else ""
    return f"--{key}={value}"


def _cores(quantity: str) -> int:
    """Return a CPU quantity such as 250m in whole cores, rounded up."""
    return math.ceil(int(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity))


def _add_variables(container: Manifest, variables: list[Manifest]) -> None:
    own = container.setdefault("env", [])
    names = {one["name"] for one in own}
    own.extend(one for one in variables if one["name"] not in names)


def _add_probes(container: Manifest, role: str, parameters: dict[str, str]) -> None:
    """Add the probes that the manifest leaves out; a worker's readiness then depends on a replica of the API."""
    port = int(parameters.get("dashboard-agent-listen-port", AGENT_PORT))
    get = {"httpGet": {"path": "/api/healthz", "port": port}}
    often = {"periodSeconds": 5, "timeoutSeconds": 5 if role == "head" else 2}
    container.setdefault("livenessProbe", {**get, **often, "initialDelaySeconds": 30, "failureThreshold": 120})
    ready = {**get, **often, "initialDelaySeconds": 10, "failureThreshold": 10}
    if role == "worker":
        asks = "wget --tries 1 -T {} -q -O- http://localhost:{}/{} | grep success"
        both = f"{asks.format(2, port, 'api/local_raylet_healthz')} && {asks.format(10, 8000, '-/healthz')}"
        ready = {"exec": {"command": ["bash", "-c", both]}, **often, "initialDelaySeconds": 10, "failureThreshold": 1}
    container.setdefault("readinessProbe", ready)


def _add_shared_memory(spec: Manifest, container: Manifest) -> None:
    mounts = container.setdefault("volumeMounts", [])
    if all(mount["mountPath"] != "/dev/shm" for mount in mounts):
        mounts.append({"name": "shared-mem", "mountPath": "/dev/shm"})
        spec.setdefault("volumes", []).append({"name": "shared-mem", "emptyDir": {"medium": "Memory"}})
