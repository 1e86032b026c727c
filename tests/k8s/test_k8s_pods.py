"""What holds for every pod, and what has to agree: ports, selectors, volumes, images, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from manifests import CLUSTERS, K8S, TARGETS, Manifest, groups_of, manifests, named, of_kind, pods_of

IMAGES = {"ghcr.io/infn-epics/epik8s-beamline-controller", "redis"}

EPICS_PORTS = {("TCP", 5064), ("UDP", 5064), ("TCP", 5075), ("UDP", 5076)}

PORT_PARAMETERS = (
    "port",
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
)


def containers(target: str) -> list[Manifest]:
    return [container for pods in pods_of(manifests(target)) for container in pods.containers]


# --- each pod by itself


@pytest.mark.parametrize("target", TARGETS)
def test_each_container_has_requests_and_limits(target):
    """CPU and memory of both kinds; a container without a limit can starve the IOCs of its machine."""
    for container in containers(target):
        for kind in ("requests", "limits"):
            assert container["resources"][kind].keys() == {"cpu", "memory"}, container["name"]


@pytest.mark.parametrize("target", TARGETS)
def test_each_pod_is_locked_down(target):
    """No root, no capabilities, a read-only root, seccomp, and no token of Kubernetes but for the autoscaler."""
    for pods in pods_of(manifests(target)):
        outside = pods.spec["securityContext"]
        assert outside["runAsNonRoot"]
        assert outside["runAsUser"] == (999 if pods.place == "iocmng-redis" else 1000)
        assert outside["seccompProfile"] == {"type": "RuntimeDefault"}
        needs_token = target == "components/autoscaler" and pods.place == "head"
        assert pods.spec["automountServiceAccountToken"] == needs_token
        for container in pods.containers:
            inside = container["securityContext"]
            assert (inside["allowPrivilegeEscalation"], inside["readOnlyRootFilesystem"]) == (False, True)
            assert inside["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("target", TARGETS)
def test_no_service_is_taken_for_a_setting(target):
    """Kubernetes would tell each pod of the Service `iocmng` as IOCMNG_PORT, which the server could not read."""
    assert all(pods.spec["enableServiceLinks"] is False for pods in pods_of(manifests(target)))


def test_an_autoscaler_is_locked_down_too():
    """The container that the operator adds gets limits and the same context from autoscalerOptions."""
    spec = named(manifests("components/autoscaler"), "RayService", "iocmng")["spec"]["rayClusterConfig"]
    options = spec["autoscalerOptions"]
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert options["securityContext"] == head["securityContext"]
    assert options["resources"]["limits"].keys() == {"cpu", "memory"}
    assert {mount["name"] for mount in options["volumeMounts"]} <= {mount["name"] for mount in head["volumeMounts"]}


@pytest.mark.parametrize("target", CLUSTERS)
def test_what_ray_writes_to_can_be_written(target):
    """Where the root is read-only, /tmp, the home and the plugins directory are volumes."""
    for group in groups_of(manifests(target)):
        (container,) = group["template"]["spec"]["containers"]
        mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        assert [mounts[path] for path in ("/tmp", "/home/iocmng", "/data/plugins")] == [False] * 3


# --- images


@pytest.mark.parametrize("target", TARGETS)
def test_each_image_is_one_of_ours_with_a_tag(target):
    """No image without a tag, and none that the list of images does not know."""
    for container in containers(target):
        name, _, tag = container["image"].rpartition(":")
        assert name in IMAGES
        assert tag


def test_each_image_is_named_once():
    """Names and tags stand in components/images; everything else uses the short name."""
    listed = yaml.safe_load((K8S / "components/images/kustomization.yaml").read_text(encoding="utf-8"))["images"]
    short = [one["name"] for one in listed]
    assert len(short) == len(set(short))
    for file in K8S.rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"^\s*(?:- )?image: (\S+)", text, re.MULTILINE)) <= set(short), file
        if file.parent.name != "images":
            assert "newTag" not in text, file


# --- what has to agree


def selectors(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Return all selectors of pods, with where they stand."""
    for one in objects:
        spec = one.get("spec", {})
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Service":
            yield name, {"matchLabels": spec["selector"]}
        if one["kind"] in ("PodDisruptionBudget", "PodMonitor", "StatefulSet"):
            yield name, spec["selector"]
        if one["kind"] == "NetworkPolicy":
            yield name, spec["podSelector"]


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Tell whether a selector chooses pods with these labels; those that the operator sets count as there."""
    wanted = {key: value for key, value in selector.get("matchLabels", {}).items() if not key.startswith("ray.io/")}
    chosen = all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ()))
    return chosen and wanted.items() <= labels.items()


@pytest.mark.parametrize("target", CLUSTERS)
def test_each_selector_chooses_pods(target):
    """A service, policy or budget that chooses nothing is a mistake that nobody would see."""
    objects = manifests(target)
    labels = [dict(pods.labels) for pods in pods_of(objects)]
    assert [name for name, selector in selectors(objects) if not any(matches(selector, one) for one in labels)] == []


@pytest.mark.parametrize("target", CLUSTERS)
def test_each_pod_is_behind_the_default_policy(target):
    """Every pod of the cluster is chosen by the policy that lets nothing in."""
    objects = manifests(target)
    default = named(objects, "NetworkPolicy", "iocmng-default")["spec"]
    assert "ingress" not in default
    assert all(matches(default["podSelector"], dict(pods.labels)) for pods in pods_of(objects))


@pytest.mark.parametrize("target", CLUSTERS)
def test_ports_agree(target):
    """Services, probes, policies, `ray start` and Serve mean the same ports."""
    objects = manifests(target)
    open_ports = {pods.place: opened(pods.spec["containers"]) for pods in pods_of(objects)}
    for service in of_kind(objects, "Service"):
        chosen = [
            pods
            for pods in pods_of(objects)
            if matches({"matchLabels": service["spec"]["selector"]}, dict(pods.labels))
        ]
        for port in service["spec"]["ports"]:
            # A number is a port of the range for IOCs: test_k8s_epics_ports.py.
            if not isinstance(port["targetPort"], int):
                assert all(port["targetPort"] in open_ports[pods.place] for pods in chosen), service["metadata"]["name"]
    for group in groups_of(objects):
        parameters = group["rayStartParams"]
        name = group.get("groupName", "head")
        (container,) = group["template"]["spec"]["containers"]
        agent = int(parameters["dashboard-agent-listen-port"])
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/api/healthz", "port": agent}
        assert open_ports[name]["agent"] == ("TCP", agent)
        assert open_ports[name]["metrics"] == ("TCP", int(parameters["metrics-export-port"]))
        if name != "head":
            assert {port for key, port in open_ports[name].items() if key.startswith(("ca", "pva"))} == EPICS_PORTS
    for service in of_kind(objects, "RayService"):
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        assert open_ports["head"]["serve"] == ("TCP", config["http_options"]["port"])
        assert config["http_options"]["host"] == "0.0.0.0"
    if of_kind(objects, "StatefulSet"):
        (service,) = [one for one in of_kind(objects, "Service") if one["metadata"]["name"] == "iocmng-redis"]
        options = named(objects, *_cluster(objects))
        spec = options["spec"].get("rayClusterConfig", options["spec"])
        assert spec["gcsFaultToleranceOptions"]["redisAddress"] == f"iocmng-redis:{service['spec']['ports'][0]['port']}"


def _cluster(objects: list[Manifest]) -> tuple[str, str]:
    (found,) = of_kind(objects, "RayService", "RayCluster")
    return found["kind"], found["metadata"]["name"]


def opened(all_containers: list[Manifest]) -> dict[str, tuple[str, int]]:
    """Return the ports of containers by name, with their protocol."""
    return {
        port["name"]: (port.get("protocol", "TCP"), port["containerPort"])
        for container in all_containers
        for port in container.get("ports", ())
    }


def let_in(policy: Manifest) -> set[tuple[str, int]]:
    """Return all ports that a policy opens."""
    return {
        (port["protocol"], number)
        for rule in policy["spec"]["ingress"]
        for port in rule["ports"]
        for number in range(port["port"], port.get("endPort", port["port"]) + 1)
    }


def ports_of_ray(parameters: dict[str, Any]) -> set[int]:
    """Return the ports on which Ray itself listens."""
    fixed = {int(parameters[key]) for key in PORT_PARAMETERS if key in parameters} | {6379, 8265, 10001}
    return fixed | set(range(int(parameters["min-worker-port"]), int(parameters["max-worker-port"]) + 1))


def test_clients_of_epics_reach_iocs_and_nothing_of_ray():
    """The policy opens EPICS's ports and those that further IOCs take by the pod's sysctl; none of Ray's."""
    objects = manifests("base")
    ports = let_in(named(objects, "NetworkPolicy", "iocmng-epics"))
    worker = groups_of(objects)[1]
    (sysctl,) = worker["template"]["spec"]["securityContext"]["sysctls"]
    assert sysctl["name"] == "net.ipv4.ip_local_port_range"
    low, high = map(int, sysctl["value"].split())
    taken = {(protocol, number) for protocol in ("TCP", "UDP") for number in range(low, high + 1)}
    assert ports == EPICS_PORTS | taken
    assert not {number for _, number in ports} & ports_of_ray(worker["rayStartParams"])


def test_the_fixed_ports_of_ray_do_not_meet():
    """No two parts of Ray, and none of Ray and Serve, want the same port."""
    for group in groups_of(manifests("base")):
        fixed = [int(group["rayStartParams"][key]) for key in PORT_PARAMETERS if key in group["rayStartParams"]]
        assert len(set(fixed)) == len(fixed)
        assert 8000 not in ports_of_ray(group["rayStartParams"])


def test_workers_in_the_network_of_their_machines_reach_the_head():
    """The overlay's policy opens the ports of Ray on the head, which those of base/ open to pods alone."""
    objects = manifests("overlays/hostnetwork")
    ports = {number for _, number in let_in(named(objects, "NetworkPolicy", "iocmng-machines"))}
    head = groups_of(objects)[0]["rayStartParams"]
    # The dashboard and the Ray client stay closed, and metrics are for Prometheus.
    assert ports == ports_of_ray(head) - {8265, 10001, int(head["metrics-export-port"])}
    worker = groups_of(objects)[1]["template"]["spec"]
    assert worker["hostNetwork"]
    assert "sysctls" not in worker["securityContext"]


@pytest.mark.parametrize("target", TARGETS)
def test_volumes_are_there_and_used(target):
    """Each mount has its volume, each volume a mount, and each claim and ConfigMap is made by the same directory."""
    objects = manifests(target)
    made = {(one["kind"], one["metadata"]["name"]) for one in objects}
    for pods in pods_of(objects):
        volumes = {volume["name"]: volume for volume in pods.spec.get("volumes", ())}
        (owner,) = [one for one in of_kind(objects, "StatefulSet") if one["metadata"]["name"] == pods.place] or [
            {"spec": {}}
        ]
        claimed = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", ())}
        mounted = {mount["name"] for container in pods.containers for mount in container.get("volumeMounts", ())}
        assert mounted == volumes.keys() | claimed
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in made


@pytest.mark.parametrize("target", TARGETS)
def test_everything_is_in_one_namespace(target):
    """Nothing lands in whatever namespace kubectl stands in."""
    for one in manifests(target):
        assert one["metadata"].get("namespace", one["metadata"]["name"]) == "iocmng", one["kind"]
