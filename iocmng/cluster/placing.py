"""Which node can take a plugin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray._private.state import available_resources_per_node  # no public call tells it by node
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iocmng.core.ports.processes import Placement
from iocmng.errors import ServerUnavailable

FREE_TIMEOUT = 3.0
"""Seconds in which Ray must have noticed what a process that has just ended gives back."""

SHARE = 0.0001
"""What a plugin takes of the resource that all plugins need; the least that Ray counts. Ten thousand share one unit."""

LOOK_EVERY = 0.5

_Node = Mapping[str, Any]


def share_of(resource: str | None) -> dict[str, float]:
    """Return the resources that every plugin needs because its site wants plugins only where `resource` is."""
    return {resource: SHARE} if resource else {}


async def place_with_share(placement: Placement, resource: str | None, within: float) -> dict[str, Any] | None:
    """Do what place() does, for a site that wants plugins only on nodes with a resource.

    Nodes of a cluster that has just begun join one after the other: for the first one with the resource it waits.

    Args:
        placement: What the plugin itself asks for.
        resource: The resource; None where every node will do.
        within: Seconds to wait.

    Returns:
        The options of the actor; None if the plugin has no wishes of its own.

    Raises:
        ServerUnavailable: If no such node has joined in time, or none can take the plugin.
    """
    if resource is not None:
        await _wait_for_node(resource, within)
    if placement.is_anywhere:
        return None
    return await place(with_share(placement, resource))


def with_share(placement: Placement, resource: str | None) -> Placement:
    """Return the placement that asks for the plugins' resource, too; an amount that the plugin itself names stays."""
    return replace(placement, resources={**share_of(resource), **placement.resources})


async def _wait_for_node(resource: str, within: float) -> None:
    deadline = time.monotonic() + within
    while True:
        nodes = await asyncio.to_thread(ray.nodes)
        if any_offers(nodes, resource):
            return
        if time.monotonic() > deadline:
            raise ServerUnavailable(
                f"no node of the cluster has the resource {resource}, which IOCMNG_PLUGIN_RESOURCE asks for, and none "
                f"joined within {within:g} s; {_offered([node for node in nodes if node['Alive']])}"
            )
        await asyncio.sleep(LOOK_EVERY)


def any_offers(nodes: Sequence[_Node], resource: str) -> bool:
    """Tell whether a node that lives offers a resource."""
    return any(node["Alive"] and node["Resources"].get(resource, 0) >= SHARE for node in nodes)


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
