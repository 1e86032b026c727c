#!/usr/bin/env python3
"""Write this component for another range of ports, or the Service of a further group of workers.

A Service of Kubernetes has no ranges: each port stands in it by itself. The files beside this script are what it writes
for 5100-5119. It needs Python and nothing else:

    python3 generate.py 5200-5239 epics-ports
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

GROUP = "iocs"
NODE_PORTS = range(30000, 32768)

KUSTOMIZATION = """\
# IOCs listen in one range of TCP ports, and one Service leads there from outside of the cluster. There is one worker:
# of two behind a port, a client would meet either. Written by generate.py.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources:
  - service.yaml
  - network-policy.yaml
patches:
  - target: {kind: ConfigMap, name: iocmng-settings}
    patch: |
      - op: add
        path: /data/IOCMNG_EPICS_PORTS
        value: FIRST-LAST
  - target:
      group: ray.io
      kind: RayService
    patch: |
      - op: test
        path: /spec/rayClusterConfig/workerGroupSpecs/0/groupName
        value: iocs
      - op: replace
        path: /spec/rayClusterConfig/workerGroupSpecs/0/replicas
        value: 1
      - op: replace
        path: /spec/rayClusterConfig/workerGroupSpecs/0/minReplicas
        value: 1
      - op: replace
        path: /spec/rayClusterConfig/workerGroupSpecs/0/maxReplicas
        value: 1
  # It would hold up the drain of the one worker's machine for ever.
  - target: {kind: PodDisruptionBudget, name: iocmng-iocs}
    patch: |
      $patch: delete
      apiVersion: policy/v1
      kind: PodDisruptionBudget
      metadata: {name: iocmng-iocs}
"""

FURTHER = """\
# The Service of the worker group GROUP, which has one worker and is in your own directory. Written by generate.py.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources:
  - service.yaml
"""

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: NAME
spec:
  type: TYPE
  # The client's address stays what it is, so that IOCMNG_ACCESS_HOSTS means what it says.
  externalTrafficPolicy: Local
  selector:
    app.kubernetes.io/name: iocmng
    app.kubernetes.io/component: ioc
    ray.io/group: GROUP  # KubeRay marks each pod with its group
  ports:
"""

POLICY = """\
# From everywhere. Narrow it with `from`, which sees the addresses of clients.
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: iocmng-epics-ports
spec:
  podSelector:
    matchLabels:
      app.kubernetes.io/name: iocmng
      app.kubernetes.io/component: ioc
  policyTypes: [Ingress]
  ingress:
    - ports:
        - {protocol: TCP, port: FIRST, endPort: LAST}
"""


def component(first: int, last: int, group: str = GROUP) -> dict[str, str]:
    """Return the files of the component by name.

    Args:
        first: The lowest port.
        last: The highest.
        group: The group of workers, of which there is one.
    """
    node_ports = first in NODE_PORTS and last in NODE_PORTS
    words = {
        "FIRST": str(first),
        "LAST": str(last),
        "GROUP": group,
        "NAME": "iocmng-epics" if group == GROUP else f"iocmng-epics-{group}",
        "TYPE": "NodePort" if node_ports else "LoadBalancer",
    }
    ports = "".join(_port(number, node_ports) for number in range(first, last + 1))
    texts = {"kustomization.yaml": KUSTOMIZATION, "service.yaml": SERVICE + ports, "network-policy.yaml": POLICY}
    if group != GROUP:
        texts = {"kustomization.yaml": FURTHER, "service.yaml": SERVICE + ports}
    for word, value in words.items():
        texts = {name: text.replace(word, value) for name, text in texts.items()}
    return texts


def _port(number: int, node_port: bool) -> str:
    """Return the entry of a port; clients and IOCs must mean the same number, on the nodes too."""
    end = f", nodePort: {number}" if node_port else ""
    return f"    - {{name: epics-{number}, port: {number}, targetPort: {number}{end}}}\n"


def ports_of(text: str) -> tuple[int, int]:
    """Return the first and the last port of a range."""
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) < int(last) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of ports; write FIRST-LAST, such as 5100-5119")
    return int(first), int(last)


def group_of(text: str) -> str:
    """Return the name of a worker group, which becomes part of a name in Kubernetes."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a worker group: lower-case letters, digits and '-'")
    return text


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("ports", metavar="FIRST-LAST", type=ports_of, help="the range; within 30000-32767: NodePort")
    parser.add_argument("directory", type=Path, help="where the component is written")
    parser.add_argument(
        "--group", type=group_of, default=GROUP, help="a further worker group: only its Service is written"
    )
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    files = component(*given.ports, given.group)
    for name, text in files.items():
        (given.directory / name).write_text(text, encoding="utf-8")
    sys.stdout.write(f"{given.directory}: {', '.join(files)}\n")


if __name__ == "__main__":
    main()
