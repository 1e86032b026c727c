"""The emulation of KubeRay makes the pods that the operator would make; no pod runs here."""

from __future__ import annotations

import shlex

import click
import pytest
from emulation.kuberay import NotEmulated, RayService
from emulation.kubernetes import Namespace, chooses, names_of, service_links, target_port
from emulation.sandbox import Sandbox, image_environment
from manifests import CLUSTERS, groups_of, manifests, named, of_kind, pods_of
from ray.scripts.scripts import start

from iocmng.settings import load_settings

SECRETS = {"iocmng": {"token": "t", "auth_token": "a", "redis_password": "r"}}
EMULATED = [
    target
    for target in CLUSTERS
    if target not in ("examples/ray-cluster", "overlays/hostnetwork", "components/postgresql")
]


def words_of(pod) -> list[str]:
    """Return what a pod's shell makes of its `ray start`, after `ulimit ...;`."""
    (line,) = pod["spec"]["containers"][0]["args"]
    before, _, command = line.partition("; ")
    assert before == "ulimit -n 65536"
    return shlex.split(command)


def pods_of_the_operator(target: str):
    service = RayService(manifests(target))
    return service.head("head-1"), [service.worker("worker-1", group) for group in service.spec["workerGroupSpecs"]]


@pytest.mark.parametrize("target", EMULATED)
def test_ray_understands_its_command_lines(target):
    """Each `ray start` that the operator would make of our manifests is one that Ray takes, with all its values."""
    head, workers = pods_of_the_operator(target)
    for pod in (head, *workers):
        ray, verb, *options = words_of(pod)
        assert (ray, verb) == ("ray", "start")
        context = click.Context(start)
        start.parse_args(context, list(options))
        assert context.params["block"]
        assert context.params["labels"]
    assert words_of(head)[2] == "--head"
    assert all("--address=iocmng-abcde-head-svc.iocmng.svc.cluster.local:6379" in words_of(one) for one in workers)


def test_what_the_operator_adds():
    """The command line of base/'s head, word by word: ports and labels, the limit of memory, the password of Redis."""
    head, (worker,) = pods_of_the_operator("base")
    first = ["--head", "--block", "--dashboard-agent-grpc-port=6383", "--dashboard-agent-listen-port=52365"]
    assert words_of(head)[2:6] == first
    others = {"--labels=iocmng/role=head", "--memory=4294967296", "--num-cpus=0", "--redis-password=$REDIS_PASSWORD"}
    assert others < set(words_of(head))
    assert {"--labels=iocmng/role=ioc", '--resources={"ioc": 1}', "--num-cpus=4"} < set(words_of(worker))
    (waiting,) = worker["spec"]["initContainers"]
    assert "ray health-check --address iocmng-abcde-head-svc.iocmng.svc.cluster.local:6379" in waiting["args"][0]


def test_environments():
    """The operator's variables, our ConfigMaps, and the Secret; the server's token is on the head alone."""
    objects = manifests("base")
    namespace = Namespace(objects, SECRETS)
    services = of_kind(objects, "Service")
    head, (worker,) = pods_of_the_operator("base")
    on_head = namespace.environment(head, head["spec"]["containers"][0], services)
    on_worker = namespace.environment(worker, worker["spec"]["containers"][0], services)
    waiting = namespace.environment(worker, worker["spec"]["initContainers"][0], services)
    assert on_head.items() >= {
        "RAY_REDIS_ADDRESS": "iocmng-redis:6379", "REDIS_PASSWORD": "r", "RAY_AUTH_TOKEN": "a", "IOCMNG_TOKEN": "t"
    }.items()  # fmt: skip
    assert on_worker["RAY_gcs_rpc_server_reconnect_timeout_s"] == "600"
    assert on_worker["RAY_AUTH_TOKEN"] == waiting["RAY_AUTH_TOKEN"] == "a"
    assert not {name for name in (*on_worker, *waiting) if name.startswith(("IOCMNG_", "REDIS_"))}


def test_a_service_is_told_of_unless_the_pod_does_not_want_it(monkeypatch):
    """What the kubelet would set for the Service `iocmng` is what no head could read; ours are not told of it."""
    objects = manifests("base")
    service = named(objects, "Service", "iocmng")
    assert dict(service_links(service)).items() >= {
        "IOCMNG_PORT": "tcp://10.96.0.1:8080", "IOCMNG_SERVICE_HOST": "10.96.0.1", "IOCMNG_SERVICE_PORT_HTTP": "8080"
    }.items()  # fmt: skip
    assert list(service_links(named(objects, "Service", "iocmng-iocs"))) == []
    head, _ = pods_of_the_operator("base")
    namespace, container = Namespace(objects, SECRETS), head["spec"]["containers"][0]
    for name, value in namespace.environment(head, container, [service]).items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 8080
    head["spec"].pop("enableServiceLinks")
    assert namespace.environment(head, container, [service])["IOCMNG_PORT"].startswith("tcp:")


def test_probes_that_are_left_out_come_from_the_operator():
    """A worker without a readiness probe of its own would wait for a replica of the API, as the operator wants it."""
    objects = manifests("base")
    for group in groups_of(objects):
        for probe in ("livenessProbe", "readinessProbe"):
            group["template"]["spec"]["containers"][0].pop(probe)
    service = RayService(objects)
    head, worker = service.head("h"), service.worker("w", service.spec["workerGroupSpecs"][0])
    assert head["spec"]["containers"][0]["readinessProbe"]["httpGet"] == {"path": "/api/healthz", "port": 52365}
    assert "http://localhost:8000/-/healthz" in worker["spec"]["containers"][0]["readinessProbe"]["exec"]["command"][2]


def test_services_choose_pods():
    """Our Service leads to Serve's port of the head, the one of the IOCs to workers, the operator's to the head."""
    objects = manifests("base")
    head, (worker,) = pods_of_the_operator("base")
    api, iocs = named(objects, "Service", "iocmng"), named(objects, "Service", "iocmng-iocs")
    own = RayService(objects).head_service()
    assert [chooses(one, head) for one in (api, iocs, own)] == [True, False, True]
    assert [chooses(one, worker) for one in (api, iocs, own)] == [False, True, False]
    assert target_port(api, head) == 8000
    assert names_of(own)[-1] == RayService(objects).head_name


@pytest.mark.parametrize("target", EMULATED)
def test_containers_have_no_rights(target):
    """The sandbox of each container has an ordinary user, no capabilities and a read-only root, as manifests say."""
    head, workers = pods_of_the_operator(target)
    redis = [
        {"metadata": {"name": one.place}, "spec": one.spec}
        for one in pods_of(manifests(target))
        if "redis" in one.place
    ]
    for pod in (head, *workers, *redis):
        for container in (*pod["spec"].get("initContainers", ()), pod["spec"]["containers"][0]):
            words = Sandbox(pod, container).command()
            user = 999 if pod in redis else 1000
            assert {f"--reuid={user}", "--bounding-set=-all", "--no-new-privs", "--clear-groups"} < set(words)
            assert words[words.index("--remount-ro") + 1] == "/"


def test_the_variables_of_the_image_are_those_of_the_dockerfile():
    """The sandbox has the image's variables; its programs are those of this checkout."""
    found = image_environment()
    assert found["IOCMNG_PLUGINS_DIR"] == "/data/plugins"
    assert found["IOCMNG_HOST"] == "0.0.0.0"
    assert "$" not in found["PATH"]


def test_what_cannot_be_emulated_says_so():
    """The network of the machine, and a directory without a RayService, are refused with a sentence."""
    with pytest.raises(NotEmulated, match="hostNetwork"):
        RayService(manifests("overlays/hostnetwork"))
    with pytest.raises(NotEmulated, match="one RayService is emulated, and here are 0"):
        RayService(manifests("examples/ray-cluster"))
