"""Which bundles are in use: fetches them, opens kept ones, and has the others removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from iocmng.cluster.keeper import Keeper
from iocmng.core.ports.processes import Bundle, PluginLauncher
from iocmng.core.source import GitSource, Source
from iocmng.core.spec import PluginSpec

_log = logging.getLogger(__name__)


class BundleBook:
    """Hands out bundles; one that is handed out, runs, or may be rolled back to is not removed."""

    def __init__(self, launcher: PluginLauncher, keeper: Keeper) -> None:
        self._launcher = launcher
        self._keeper = keeper
        self._running: dict[str, str] = {}
        self._lent: list[str] = []
        self._fetching = 0
        self._collecting = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def of(self, spec: PluginSpec) -> AsyncIterator[Bundle]:
        """Lend the files that a spec asks for: the kept ones that it names, else what its source holds now.

        Raises:
            IocmngError: Why there are none.
        """
        async with self._collecting:  # what is being removed must not be found by a fetch
            self._fetching += 1
        try:
            try:
                bundle = await self._open(spec)
                self._lent.append(bundle.digest)
            finally:
                self._fetching -= 1
            try:
                yield bundle
            finally:
                self._lent.remove(bundle.digest)
        finally:
            await self.collect()

    def use(self, name: str, bundle: Bundle) -> None:
        """Note what a plugin runs from."""
        self._running[name] = bundle.digest

    def release(self, name: str) -> None:
        """Note that a plugin is gone."""
        self._running.pop(name, None)

    async def collect(self) -> None:
        """Remove the files that nothing needs, unless a fetch is under way that could be about to use them."""
        async with self._collecting:
            if self._fetching == 0:
                needed = self._keeper.kept_digests().union(self._running.values(), self._lent)
                await self._launcher.forget_bundles(frozenset(needed))

    async def _open(self, spec: PluginSpec) -> Bundle:
        files = spec.files
        if files is None:
            return await self._fetch(spec, spec.source)
        if bundle := await self._launcher.reopen(spec.source, files):
            return bundle
        _log.warning("%s: its kept files are gone, damaged or not verified; they are fetched again", spec.name)
        if isinstance(spec.source, GitSource) and files.commit:
            bundle = await self._fetch(spec, replace(spec.source, commit=files.commit))
            return replace(bundle, branch=files.branch)
        return await self._fetch(spec, spec.source)

    async def _fetch(self, spec: PluginSpec, source: Source) -> Bundle:
        secret = None
        if isinstance(source, GitSource) and source.has_credential and source.credential_file is None:
            secret = await self._keeper.credential(spec.name)
        return await self._launcher.fetch(source, secret)
