"""What must be gone with a cluster."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from namespaces import run

from .cluster import Cluster


def leftovers_of(cluster: Cluster) -> list[str]:
    """Return what is still there of a cluster that has ended: namespaces, links, files, processes."""
    machines = cluster.network.machines
    namespaces = run("ip", "netns").stdout.split()
    links = [line.split()[1].partition("@")[0].rstrip(":") for line in run("ip", "-o", "link").stdout.splitlines()]
    files = [cluster.root, *(Path(f"/dev/shm/iocmng-{machine.name}") for machine in machines)]
    return [
        *(machine.name for machine in machines if machine.name in namespaces),
        *(name for name in (cluster.network.bridge, *(machine.link for machine in machines)) if name in links),
        *(str(path) for path in files if path.exists()),
        *(f"process {pid}" for pid in _processes_of(cluster)),
    ]


def _processes_of(cluster: Cluster) -> list[str]:
    """Return the processes in a network of the cluster that are in a process namespace of a pod, too.

    Not by their variables: a process that gives itself a title has lost them.
    """
    namespaces = {machine.inode for machine in cluster.network.machines}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is gone
            ids = re.search(r"^NSpid:\t(.*)$", (process / "status").read_text(encoding="utf-8"), re.MULTILINE)
            if (process / "ns/net").stat().st_ino in namespaces and ids and len(ids[1].split()) > 1:
                found.append(process.name)
    return found
