"""Redis, a head and workers on one bridge, with what the operator and DNS do for them."""

from __future__ import annotations

import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import yaml
from manifests import K8S, Manifest, groups_of, of_kind
from namespaces import Network
from support import wait_for

from .epics_client import EpicsClient
from .kuberay import CLIENT_TIMEOUT, DASHBOARD_PORT, RayService
from .kubernetes import Namespace, chooses, names_of, target_port
from .pod import Pod

APPLICATION_LIMIT = 180.0


class Cluster:
    """A namespace of Kubernetes in which one RayService was applied.

    Args:
        objects: What `kubectl kustomize` printed.
        root: Directory for volumes and logs.

    Attributes:
        puts: How often the application was deployed, or tried to be.
        empty_answers: How often the dashboard said that there is none. The operator then deploys it anew.
    """

    def __init__(self, objects: list[Manifest], root: Path) -> None:
        self.service = RayService(objects, suffix=secrets.token_hex(3)[:5])
        self.objects, self.root = objects, root
        self.secret = {key: secrets.token_hex(32) for key in _keys_of_the_secret()}
        self.namespace = Namespace(objects, {"iocmng": self.secret})
        self.claims = root / "claims"
        self.claims.mkdir(parents=True)
        self.hosts = root / "hosts"
        self.network = Network()
        self.client = self.network.machine()
        self.pods: list[Pod] = []
        self.puts = 0
        self.empty_answers = 0
        self._numbers: dict[str, int] = {}
        self._services = [*of_kind(objects, "Service"), self.service.head_service()]
        self.publish()

    def end(self) -> None:
        """Leave nothing: no process, no namespace, no link, no file."""
        for pod in self.pods:
            pod.end()
        self.network.end()
        shutil.rmtree(self.root, ignore_errors=True)

    # --- pods

    @property
    def head(self) -> Pod:
        (pod,) = [pod for pod in self.pods if pod.manifest["metadata"]["labels"].get("ray.io/node-type") == "head"]
        return pod

    @property
    def workers(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.manifest["metadata"]["labels"].get("ray.io/node-type") == "worker"]

    def start_stateful_sets(self) -> None:
        """Start what keeps its name and its claims: Redis."""
        for one in of_kind(self.objects, "StatefulSet"):
            name, template = f"{one['metadata']['name']}-0", one["spec"]["template"]
            for claim in one["spec"].get("volumeClaimTemplates", ()):
                own = f"{claim['metadata']['name']}-{name}"
                volume = {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": own}}
                template["spec"].setdefault("volumes", []).append(volume)
            metadata = {"name": name, "labels": template["metadata"]["labels"]}
            self._start({"metadata": metadata, "spec": template["spec"]})

    def start_head(self) -> float:
        """Start a head; return the seconds until it was ready."""
        return self._start(self.service.head(self._name("head")))

    def start_worker(self, group: Manifest) -> float:
        """Start a worker of a group; return the seconds until it was ready."""
        return self._start(self.service.worker(self._name(f"{group['groupName']}-worker"), group))

    def start_workers(self) -> None:
        """Start as many workers as the groups have replicas."""
        _, *groups = groups_of(self.objects)
        for group in groups:
            for _ in range(group["replicas"]):
                self.start_worker(group)

    def group_of(self, worker: Pod) -> Manifest:
        """Return the group that a worker belongs to."""
        name = worker.manifest["metadata"]["labels"]["ray.io/group"]
        (group,) = [group for group in groups_of(self.objects) if group.get("groupName") == name]
        return group

    def remove(self, pod: Pod) -> None:
        """Take away what is left of a pod that has ended; its address is not used again."""
        pod.end()
        self.pods.remove(pod)
        self.publish()

    def _name(self, role: str) -> str:
        self._numbers[role] = self._numbers.get(role, 0) + 1
        return f"{self.service.cluster_name}-{role}-{self._numbers[role]}"

    def _start(self, manifest: Manifest) -> float:
        directory, files = self.root / manifest["metadata"]["name"], self.namespace.files
        machine = self.network.machine()
        made = Pod(manifest, machine, directory, self.claims, files, self._environment, self.hosts)
        self.pods.append(made)
        made.start()
        return self.ready(made)

    def _environment(self, pod: Manifest, container: Manifest) -> dict[str, str]:
        return self.namespace.environment(pod, container, self._services)

    def ready(self, pod: Pod) -> float:
        """Wait for a pod's probes, and let its names lead to it; return how many seconds it took."""
        seconds = pod.wait_until_ready()
        self.publish()
        return seconds

    # --- names and addresses

    def publish(self) -> None:
        """Let the names of headless services lead to the pods that are ready."""
        lines = ["127.0.0.1 localhost"]
        for service in self._services:
            if service["spec"].get("clusterIP") == "None":
                lines += [f"{pod.address} {' '.join(names_of(service))}" for pod in self._behind(service)]
        self.hosts.write_text("\n".join(lines) + "\n", encoding="ascii")

    def endpoint(self, name: str) -> tuple[str, int]:
        """Return the address and the port to which a service leads now."""
        (service,) = [one for one in self._services if one["metadata"]["name"] == name]
        (pod,) = self._behind(service)
        return pod.address, target_port(service, pod.manifest)

    def _behind(self, service: Manifest) -> list[Pod]:
        return [pod for pod in self.pods if pod.is_published and chooses(service, pod.manifest)]

    def api(self) -> httpx.Client:
        """Return a client of the REST API, by the Service `iocmng` and with its token."""
        host, port = self.endpoint("iocmng")
        headers = {"Authorization": f"Bearer {self.secret['token']}"}
        return httpx.Client(base_url=f"http://{host}:{port}/api/v1", headers=headers, timeout=120)

    # --- what the operator does with the application

    def deploy(self) -> float:
        """PUT serveConfigV2 until the dashboard takes it, and wait until it runs; return the seconds."""
        begin = time.monotonic()
        wait_for(self._put, "the dashboard takes the application", APPLICATION_LIMIT, 2)
        self.wait_until_running()
        return time.monotonic() - begin

    def wait_until_running(self) -> None:
        """Wait until the dashboard says that all applications run, and the API answers."""
        wait_for(self._runs, "the application runs", APPLICATION_LIMIT, 0.5)
        self._services.append(self.service.serve_service())

    def applications(self) -> dict[str, Any] | None:
        """Return what the dashboard tells of applications, or None where it does not answer in time."""
        answer = self._dashboard("GET", None)
        return answer.json()["applications"] if answer is not None and answer.is_success else None

    def _put(self) -> bool:
        self.puts += 1
        answer = self._dashboard("PUT", self.service.application)
        return answer is not None and answer.is_success

    def _runs(self) -> bool:
        found = self.applications()
        self.empty_answers += found == {}
        for application in (found or {}).values():
            assert application["status"] != "DEPLOY_FAILED", application["message"]
        return bool(found) and all(one["status"] == "RUNNING" for one in found.values()) and self._answers()

    def _answers(self) -> bool:
        try:
            with self.api() as http:
                return http.get("/readyz", timeout=CLIENT_TIMEOUT).is_success
        except httpx.TransportError:
            return False

    def _dashboard(self, method: str, body: Any) -> httpx.Response | None:
        url = f"http://{self.head.address}:{DASHBOARD_PORT}/api/serve/applications/"
        headers = {"x-ray-authorization": f"Bearer {self.secret['auth_token']}"}
        try:
            return httpx.request(method, url, json=body, headers=headers, timeout=CLIENT_TIMEOUT)
        except httpx.TransportError:
            return None

    # --- a client of EPICS in another pod

    def epics_client(self) -> EpicsClient:
        """Return a client inside the cluster that knows where IOCs are now, in the way of the how-to page."""
        with self.api() as http:
            told = http.get("/pvs/name-servers", params={"inside": True}).raise_for_status().json()
        return EpicsClient(self.client, told, f"{self.network.net}.255", self.root / "monitor.log")


def _keys_of_the_secret() -> list[str]:
    return list(yaml.safe_load((K8S / "secret.example.yaml").read_text(encoding="utf-8"))["stringData"])
