"""What is known of the cluster's nodes, and calls that run on a given one."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iocmng.cluster.lease import CLEANUP_LIMIT
from iocmng.core.pv_access import check_host
from iocmng.errors import ServerUnavailable
from iocmng.settings import Settings, is_loopback

MARGIN = 2.0
"""Seconds on top of the lease, for clocks that run differently and for the end of a process."""

ANSWER_TIMEOUT = 5.0
"""Seconds after which a node that is asked for a trifle counts as unreachable."""

SOMEWHERE = ("192.0.2.1", 9)
"""An address of no machine (RFC 5737): the way to it tells the own one. Nothing is sent there."""

HEAD = {"node:__internal_head__": 0.001}
"""A resource that only the head node has, whatever its name."""

PUBLIC_HOST_LABEL = "iocmng/epics-public-host"
"""Ray's label of a node that clients of EPICS reach under another host than IOCMNG_EPICS_PUBLIC_HOST."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def lease_bound(settings: Settings) -> float:
    """Return the seconds after the last call to a process on another node when its PVs are gone for certain."""
    return settings.lease + CLEANUP_LIMIT + MARGIN


def own_node() -> str:
    """Return the id of the node on which this process runs."""
    return ray.get_runtime_context().get_node_id()


def machine_address() -> str:
    """Return the address at which other machines reach this one; a Ray that takes no further nodes does not know it."""
    address = ray.util.get_node_ip_address()
    if not is_loopback(address):
        return address
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(SOMEWHERE)
        return probe.getsockname()[0]
    return address


def public_host() -> str | None:
    """Return where clients reach this node, by its label in Ray; None where it has none that is a host."""
    with contextlib.suppress(ValueError):
        return check_host(str(ray.get_runtime_context().get_node_labels().get(PUBLIC_HOST_LABEL, "")))
    return None


def living_nodes() -> set[str]:
    """Return the ids of the nodes that Ray sees. It asks the GCS, and blocks."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


async def is_alive(node: str) -> bool:
    """Tell whether Ray sees a node; one that was cut off a moment ago still counts."""
    return node in await asyncio.to_thread(living_nodes)


async def is_reachable(node: str) -> bool:
    """Tell whether a node answers now."""
    with contextlib.suppress(ServerUnavailable):
        return await is_alive(node) and await run_on(node, ANSWER_TIMEOUT, own_node) == node
    return False


async def run_on(node: str, within: float, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a function of iocmng on a node.

    Raises:
        ServerUnavailable: If the node does not answer within so many seconds, or is no more.
    """
    pinned = NodeAffinitySchedulingStrategy(node, soft=False)
    call: Any = _remote(function).options(scheduling_strategy=pinned).remote(*args, **kwargs)
    try:
        return await asyncio.wait_for(call, within)
    except TimeoutError:
        ray.cancel(call)
        raise ServerUnavailable(f"node {node} does not answer") from None
    except RayError as error:
        raise ServerUnavailable(f"node {node} does not do what it is asked: {type(error).__name__}") from None


@functools.cache
def _remote(function: Callable[..., Any]) -> Any:
    return ray.remote(num_cpus=0, max_retries=0)(function)
