"""Which node can take a plugin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray._private.state import available_resources_per_node  # no public call tells it by node
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iocmng.core.ports.processes import Placement
from iocmng.errors import ServerUnavailable

FREE_TIMEOUT = 3.0
"""Seconds in which Ray must have noticed what a process that has just ended gives back."""

_Node = Mapping[str, Any]


async def place(placement: Placement) -> dict[str, Any]:
    """Return the options of an actor that meet a plugin's wishes; Ray alone would wait for a fitting node for ever.

    Raises:
        ServerUnavailable: If no node has the resources and labels, or all of them are in use.
    """
    deadline = time.monotonic() + FREE_TIMEOUT
    while True:
        options = await asyncio.to_thread(_options, placement)
        if options is not None:
            return options
        if time.monotonic() > deadline:
            raise ServerUnavailable(
                f"every node that has {_wanted(placement)} has given it to other plugins; remove one of them first"
            )
        await asyncio.sleep(0.2)


def _options(placement: Placement) -> dict[str, Any] | None:
    """Return the options, or None while all nodes that fit are full."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    fitting = {node["NodeID"] for node in nodes if _fits(node, placement)}
    if not fitting:
        raise ServerUnavailable(f"no node of the cluster has {_wanted(placement)}; {_offered(nodes)}")
    free: Mapping[str, Mapping[str, float]] = available_resources_per_node()
    if any(_offers(free.get(node, {}), placement) for node in fitting):
        return {"resources": dict(placement.resources), "label_selector": dict(placement.labels)}
    if placement.beside is not None and placement.beside in fitting:
        # The plugin's own old process holds what its new one needs; it is about to give it back.
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(placement.beside, soft=False)}
    return None


def _fits(node: _Node, placement: Placement) -> bool:
    return _offers(node["Resources"], placement) and all(
        _has_label(node["Labels"], *label) for label in placement.labels.items()
    )


def _offers(resources: Mapping[str, float], placement: Placement) -> bool:
    return all(resources.get(name, 0) >= amount for name, amount in placement.resources.items())


def _has_label(labels: Mapping[str, str], key: str, wanted: str) -> bool:
    if wanted.startswith("!"):
        return labels.get(key) != wanted[1:]
    return labels.get(key) == wanted


def _wanted(placement: Placement) -> str:
    resources = [f"{amount:g} {name}" for name, amount in placement.resources.items()]
    return ", ".join(resources + [f"label {key}={value}" for key, value in placement.labels.items()])


def _offered(nodes: list[_Node]) -> str:
    resources = sorted({name for node in nodes for name in node["Resources"] if ":" not in name})
    labels = sorted({f"{key}={value}" for node in nodes for key, value in node["Labels"].items()})
    return f"its nodes have the resources {', '.join(resources)} and the labels {', '.join(labels)}"
