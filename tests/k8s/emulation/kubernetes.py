"""What Kubernetes makes of pods: the environment of a container, the volumes of a pod, the pods of a service."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from manifests import Manifest, named

from .kuberay import NotEmulated


@dataclass(frozen=True)
class Namespace:
    """The objects of a namespace that pods refer to.

    Args:
        objects: What was applied.
        secrets: Keys and values of each Secret.
    """

    objects: list[Manifest]
    secrets: Mapping[str, Mapping[str, str]]

    def environment(self, pod: Manifest, container: Manifest, services: list[Manifest]) -> dict[str, str]:
        """Return the variables of a container whose pod begins when these services are there."""
        found: dict[str, str] = {}
        if pod["spec"].get("enableServiceLinks", True):
            for service in services:
                found.update(service_links(service))
        for source in container.get("envFrom", ()):
            found.update(self._all_of(source))
        for variable in container.get("env", ()):
            text = self._value_of(pod, variable)
            found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found.get(match[1], match[0]), text)
        return found

    def files(self, config_map: str) -> dict[str, str]:
        """Return the files of a ConfigMap that is mounted."""
        return named(self.objects, "ConfigMap", config_map)["data"]

    def _secret(self, name: str, *keys: str) -> Mapping[str, str]:
        if name not in self.secrets or not self.secrets[name].keys() >= set(keys):
            raise NotEmulated(f"the manifests want {' '.join((name, *keys))}, a Secret that is not emulated")
        return self.secrets[name]

    def _all_of(self, source: Manifest) -> Mapping[str, str]:
        if "configMapRef" in source:
            return self.files(source["configMapRef"]["name"])
        return self._secret(source["secretRef"]["name"])

    def _value_of(self, pod: Manifest, variable: Manifest) -> str:
        match variable.get("valueFrom", {}):
            case {"secretKeyRef": key}:
                return self._secret(key["name"], key["key"])[key["key"]]
            case {"configMapKeyRef": key}:
                return self.files(key["name"])[key["key"]]
            case {"fieldRef": {"fieldPath": path}}:
                return _field(pod, path)
        return variable.get("value", "")


def _field(pod: Manifest, path: str) -> str:
    value: Any = pod
    for part in path.split("."):
        value = value[part]
    return str(value)


def service_links(service: Manifest) -> Iterator[tuple[str, str]]:
    """Return the variables by which each container is told of a service, unless its pod does not want them."""
    if service["spec"].get("clusterIP") == "None":
        return
    name = service["metadata"]["name"].upper().replace("-", "_")
    address, ports = service["spec"].get("clusterIP", "10.96.0.1"), service["spec"]["ports"]
    yield f"{name}_SERVICE_HOST", address
    yield f"{name}_SERVICE_PORT", str(ports[0]["port"])
    yield f"{name}_PORT", f"tcp://{address}:{ports[0]['port']}"
    for port in ports:
        number, protocol = str(port["port"]), port.get("protocol", "TCP")
        if "name" in port:
            yield f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}", number
        begin = f"{name}_PORT_{number}_{protocol}"
        yield begin, f"{protocol.lower()}://{address}:{number}"
        yield from ((f"{begin}_PROTO", protocol.lower()), (f"{begin}_PORT", number), (f"{begin}_ADDR", address))


def chooses(service: Manifest, pod: Manifest) -> bool:
    """Tell whether a service leads to a pod when that is ready."""
    return service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def target_port(service: Manifest, pod: Manifest) -> int:
    """Return the port of a pod to which the first port of a service leads."""
    port = service["spec"]["ports"][0]
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    (number,) = [
        one["containerPort"]
        for container in pod["spec"]["containers"]
        for one in container.get("ports", ())
        if one.get("name") == target
    ]
    return number


def opened(policy: Manifest) -> set[tuple[str, int]]:
    """Return the protocols and ports that a network policy opens to everybody."""
    return {
        (port["protocol"], number)
        for rule in policy["spec"]["ingress"]
        if "from" not in rule
        for port in rule["ports"]
        for number in range(port["port"], port.get("endPort", port["port"]) + 1)
    }


def names_of(service: Manifest) -> list[str]:
    """Return the names by which pods of the same namespace find a headless service."""
    name, namespace = service["metadata"]["name"], service["metadata"].get("namespace", "default")
    return [name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"]
