"""The component epics-ports: one Service that leads to every port of the range on which IOCs listen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from manifests import K8S, Manifest, groups_of, laid_over, manifests, named, of_kind
from test_k8s_pods import let_in, ports_of_ray
from test_k8s_schemas import refusals

from iocmng.core.port_range import PortRange

COMPONENT = K8S / "components" / "epics-ports"
SCRIPT = COMPONENT / "generate.py"


def generate(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script as a site does that has nothing of ours installed."""
    command = [sys.executable, "-I", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def with_range(ports: str, place: Path, *options: str) -> Path:
    """Return the directory of a component that the script has written."""
    done = generate(ports, place, *options)
    assert done.returncode == 0, done.stderr
    return place


def check(objects: list[Manifest], ports: str, kind: str) -> None:
    """Fail unless IOCs, Service and policy mean the same ports, and one worker is behind them."""
    wanted = PortRange.of(ports)
    numbers = set(range(wanted.first, wanted.last + 1))
    assert named(objects, "ConfigMap", "iocmng-settings")["data"]["IOCMNG_EPICS_PORTS"] == ports
    spec = named(objects, "Service", "iocmng-epics")["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == (kind, "Local")
    assert [(port["port"], port["targetPort"]) for port in spec["ports"]] == [(one, one) for one in sorted(numbers)]
    assert {port.get("nodePort", port["port"]) for port in spec["ports"]} == numbers
    assert let_in(named(objects, "NetworkPolicy", "iocmng-epics-ports")) == {("TCP", number) for number in numbers}
    workers = groups_of(objects)[1:]
    (behind,) = [group for group in workers if group["groupName"] == spec["selector"]["ray.io/group"]]
    assert (behind["minReplicas"], behind["replicas"], behind["maxReplicas"]) == (1, 1, 1)
    assert spec["selector"].items() - {("ray.io/group", "iocs")} <= behind["template"]["metadata"]["labels"].items()
    assert not numbers & ports_of_ray(behind["rayStartParams"])
    assert [one for one in of_kind(objects, "PodDisruptionBudget") if one["metadata"]["name"] == "iocmng-iocs"] == []


def test_iocs_service_and_policy_mean_the_same_ports():
    """Each port of IOCMNG_EPICS_PORTS is in the Service and open in the policy, and no other; none is Ray's.

    The pod's system hands out none of them to others.
    """
    objects = manifests("components/epics-ports")
    check(objects, "5100-5119", "LoadBalancer")
    (sysctl,) = groups_of(objects)[1]["template"]["spec"]["securityContext"]["sysctls"]
    low, high = map(int, sysctl["value"].split())
    assert not set(range(5100, 5120)) & set(range(low, high + 1))


def test_the_files_are_what_the_script_writes(tmp_path):
    """The component is the script's output for its range, so that another range differs in the numbers alone."""
    written = with_range("5100-5119", tmp_path / "made")
    assert {file.name: file.read_text() for file in written.iterdir()} == {
        file.name: file.read_text() for file in COMPONENT.glob("*.yaml")
    }


@pytest.mark.parametrize(
    ("base", "ports", "kind"),
    [("base", "5200-5203", "LoadBalancer"), ("overlays/dev", "30100-30139", "NodePort")],
)
def test_another_range(tmp_path, base, ports, kind):
    """Kubernetes takes what the script writes; a range of node ports becomes such, with the same numbers."""
    objects = [one for one in yaml.safe_load_all(laid_over(base, with_range(ports, tmp_path / "made"))) if one]
    check(objects, ports, kind)
    assert [text for one in objects if one["kind"] in ("Service", "NetworkPolicy") for text in refusals(one)] == []


def test_the_service_of_a_further_group(tmp_path):
    """--group writes a Service of its own for one more worker, and leaves the rest as it is."""
    written = with_range("5100-5103", tmp_path / "made", "--group", "hall-b")
    assert {file.name for file in written.iterdir()} == {"kustomization.yaml", "service.yaml"}
    objects = [one for one in yaml.safe_load_all(laid_over("base", COMPONENT, written)) if one]
    check(objects, "5100-5119", "LoadBalancer")
    further = named(objects, "Service", "iocmng-epics-hall-b")
    assert further["spec"]["selector"]["ray.io/group"] == "hall-b"
    assert refusals(further) == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("5100",), "'5100' is no range of ports"),
        (("5119-5100",), "FIRST-LAST"),
        (("80-90",), "no range"),
        (("5100-70000",), "no range"),
        (("5100-5119", "--group", "Hall B"), "no name of a worker group"),
    ],
)
def test_what_is_no_range(tmp_path, arguments, part):
    """The script says what it wants, and writes nothing."""
    ports, *options = arguments
    done = generate(ports, tmp_path / "made", *options)
    assert done.returncode == 2
    assert part in done.stderr
    assert not (tmp_path / "made").exists()
