"""Brings bundles to the nodes that do not share the state directory, and removes there what nothing needs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Set
from pathlib import Path

from iocmng.cluster.nodes import ANSWER_TIMEOUT, living_nodes, own_node, run_on
from iocmng.core.ports.processes import Bundle
from iocmng.errors import ServerUnavailable
from iocmng.loading.bundles import bundle_is_here, forget_bundles, pack_bundle, staging, unpack_bundle
from iocmng.loading.values import forget_values
from iocmng.settings import Settings

SHIP_TIMEOUT = 120.0
"""Seconds in which a bundle must have reached another node."""

_log = logging.getLogger(__name__)


class Shipping:
    """What lies on other nodes. One thing is done at a time, so that nothing that has just arrived is removed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._in_use: Counter[str] = Counter()
        self._shares: dict[str, bool] = {}
        self._tidied: dict[str, set[str]] = {}
        self._kept: dict[str, frozenset[str]] = {}
        self._is_news = False
        self._work: asyncio.Task[None] | None = None

    async def bring(self, bundle: Bundle, node: str) -> None:
        """Lay a bundle into a node's store, unless it is there; it stays there at least until `release`.

        Raises:
            ServerUnavailable: If the node does not answer.
        """
        self._in_use[bundle.digest] += 1
        async with self._lock:
            if await run_on(node, SHIP_TIMEOUT, bundle_is_here, bundle):
                return
            packed = await asyncio.to_thread(pack_bundle, bundle, self._settings)
            await run_on(node, SHIP_TIMEOUT, unpack_bundle, packed, self._settings)
            self._shares[node] = False

    def release(self, digest: str) -> None:
        """Note that a process no longer needs what was brought for it."""
        self._in_use[digest] -= 1
        self._in_use += Counter()

    def tidy(self, what: str, keep: frozenset[str]) -> None:
        """Have everything removed from other nodes that is not to be kept, soon.

        Args:
            what: "bundles", named by digest, or "values", by plugin name.
            keep: What is still needed.
        """
        self._kept[what] = keep
        self._is_news = True
        if len(self._kept) == 2 and (self._work is None or self._work.done()):
            self._work = asyncio.create_task(self._tidy_all(), name="tidy other nodes")

    async def _tidy_all(self) -> None:
        while self._is_news:
            self._is_news = False
            nodes = await asyncio.to_thread(living_nodes) - {own_node()}
            for gone in self._tidied.keys() - nodes:  # what comes back gets another id
                del self._tidied[gone]
                self._shares.pop(gone, None)
            for node in nodes:
                with contextlib.suppress(ServerUnavailable):
                    await self._tidy(node)

    async def _tidy(self, node: str) -> None:
        async with self._lock:
            bundles, values = self._kept["bundles"].union(self._in_use), self._kept["values"]
            needed = {*bundles, *values}
            if self._tidied.get(node, {""}) <= needed:  # nothing has become superfluous
                self._tidied[node] |= needed
                return
            if node not in self._shares:
                self._shares[node] = await self._find_out(node)
            if not self._shares[node]:
                await run_on(node, ANSWER_TIMEOUT, forget_all, self._settings, frozenset(bundles), values)
            self._tidied[node] = needed

    async def _find_out(self, node: str) -> bool:
        """Tell whether a node has the same state directory as this one."""
        with staging(self._settings) as mark:
            return await run_on(node, ANSWER_TIMEOUT, is_here, str(mark))


def is_here(directory: str) -> bool:
    """Tell whether a directory of another node can be seen on this one."""
    return Path(directory).is_dir()


def forget_all(settings: Settings, bundles: Set[str], values: Set[str]) -> None:
    """Remove everything on this node except what is to be kept."""
    if not settings.state.is_dir():
        return
    forget_bundles(settings, frozenset(bundles))
    forget_values(settings, frozenset(values))
