"""What is known of the cluster's nodes. These calls ask Ray's GCS and block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray

from iocmng.cluster.lease import CLEANUP_LIMIT
from iocmng.core.ports import Placement
from iocmng.errors import ServerUnavailable
from iocmng.settings import Settings

MARGIN = 2.0
"""Seconds on top of the lease, for clocks that run differently and for the end of a process."""


def lease_bound(settings: Settings) -> float:
    """Return the seconds after the last call to a process on another node when its PVs are gone for certain."""
    return settings.lease + CLEANUP_LIMIT + MARGIN


def node_is_alive(node: str) -> bool:
    """Tell whether Ray sees a node of this id."""
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())


def check_placement(placement: Placement) -> None:
    """Find out early, and in one sentence, that no node can take a plugin; Ray would wait for one for ever.

    Raises:
        ServerUnavailable: If no node has the resources and labels.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not any(_fits(node, placement) for node in nodes):
        resources = sorted({name for node in nodes for name in node["Resources"] if ":" not in name})
        labels = sorted({f"{key}={value}" for node in nodes for key, value in node["Labels"].items()})
        wanted = [f"{amount:g} {name}" for name, amount in placement.resources.items()]
        wanted += [f"label {key}={value}" for key, value in placement.labels.items()]
        raise ServerUnavailable(
            f"no node of the cluster has {', '.join(wanted)}; its nodes have the resources {', '.join(resources)} "
            f"and the labels {', '.join(labels)}"
        )


def _fits(node: Mapping[str, Any], placement: Placement) -> bool:
    has_resources = all(node["Resources"].get(name, 0) >= amount for name, amount in placement.resources.items())
    return has_resources and all(_has_label(node["Labels"], *label) for label in placement.labels.items())


def _has_label(labels: Mapping[str, str], key: str, wanted: str) -> bool:
    if wanted.startswith("!"):
        return labels.get(key) != wanted[1:]
    return labels.get(key) == wanted
