"""The book of the Controller: what is desired, what is observed, and the snapshot that the API follows."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from dataclasses import replace
from typing import Any

from iocmng.cluster.view import plugin_view
from iocmng.core.lifecycle import Phase, check_transition
from iocmng.core.ports import Snapshot
from iocmng.core.spec import PluginSpec, PluginStatus, Report
from iocmng.errors import CheckFailure, PluginRejected

WATCH_TIMEOUT = 20.0
"""Seconds after which a long poll without news is answered with nothing."""

WATCH_PAUSE = 0.01
"""Seconds in which changes are gathered into one answer."""

COUNTERS_PAUSE = 0.5
"""Seconds for which those who watch wait while only counters change: with fifty plugins they always do."""

LOG_LINES = 2000
"""Log lines kept for each plugin."""


class Registry:
    """Desired and observed state by plugin name.

    Every change raises the version. `announced` is the version of the last change that woke those who watch: who waits
    for a change of his own waits for that one, and not for a counter that another plugin has reported since.
    """

    def __init__(self) -> None:
        self.desired: dict[str, PluginSpec] = {}
        self.observed: dict[str, PluginStatus] = {}
        self.logs: dict[str, deque[str]] = {}
        self.epoch = uuid.uuid4().hex
        # Versions of a later life are higher, so that a replica that missed the change cannot mistake one for another.
        self.version = time.time_ns() // 1_000_000
        self.ready = False
        self._changed_at: dict[str, int] = {}
        self._record_owner: dict[str, str] = {}
        self._news = asyncio.Event()
        self.announced = self.version

    def desire(self, spec: PluginSpec) -> None:
        """Set what is desired under the spec's name."""
        self.desired[spec.name] = spec
        self._touch(spec.name)

    def observe(self, name: str, phase: Phase, **changes: Any) -> PluginStatus:
        """Note a plugin's phase and whatever else changed.

        Raises:
            WrongState: If the phase may not follow the one before.
        """
        before = self.observed.get(name)
        if before is None:
            status = PluginStatus(phase=phase, **changes)
        else:
            status = replace(before, phase=check_transition(before.phase, phase), **changes)
        self.observed[name] = status
        self._touch(name)
        return status

    def report(self, name: str, report: Report, *, urgent: bool = False) -> None:
        """Note what a plugin's process says of itself.

        Args:
            name: Name of the plugin.
            report: What it says.
            urgent: Whether somebody waits for the snapshot to show it, even if only counters changed.
        """
        self.logs.setdefault(name, deque(maxlen=LOG_LINES)).extend(report.log)
        status = self.observed.get(name)
        # Reports come by more than one way, so an older one may come later.
        before = status.report if status is not None else None
        if status is not None and (before is None or before.version <= report.version):
            self.observed[name] = replace(status, report=replace(report, log=()))
            self._touch(name, urgent=urgent or before is None or _words(before) != _words(report))

    def forget(self, name: str) -> None:
        """Drop everything about a plugin."""
        for table in (self.desired, self.observed, self.logs):
            table.pop(name, None)
        self.release_records(name)
        self._touch(name)

    def claim_records(self, name: str, records: set[str]) -> None:
        """Reserve record names for a plugin, in place of those it had.

        Raises:
            PluginRejected: If one belongs to another plugin: two IOCs must never serve the same PV.
        """
        owners = {self._record_owner[record] for record in records if record in self._record_owner} - {name}
        if owners:
            example = min(record for record in records if self._record_owner.get(record, name) != name)
            raise PluginRejected.because(
                CheckFailure(
                    "config",
                    f"record {example} is served by plugin {', '.join(sorted(owners))} already; "
                    "choose another name, or another `prefix` in config.yaml",
                )
            )
        self.release_records(name)
        self._record_owner |= dict.fromkeys(records, name)

    def release_records(self, name: str) -> None:
        """Give a plugin's record names back."""
        self._record_owner = {record: owner for record, owner in self._record_owner.items() if owner != name}

    def set_ready(self) -> None:
        """Note that the plugins file has been loaded."""
        self.ready = True
        self._touch(None)

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until there is something newer than `after`, or a while; return what changed."""
        complete = epoch != self.epoch or after > self.version
        if not complete:
            await self._wait_for_news(after)
        names = self.desired if complete else [name for name, at in self._changed_at.items() if at > after]
        plugins = {name: self.view(name) for name in names}
        return Snapshot(self.epoch, self.version, complete, plugins, self.ready)

    async def _wait_for_news(self, after: int) -> None:
        end = time.monotonic() + WATCH_TIMEOUT
        while self.announced <= after and time.monotonic() < end:
            try:
                async with asyncio.timeout(COUNTERS_PAUSE):
                    await self._news.wait()
            except TimeoutError:
                if self.version > after:  # counters only, and they have waited long enough
                    return
        await asyncio.sleep(WATCH_PAUSE)

    def view(self, name: str) -> dict[str, Any] | None:
        """Return the plugin object, or None where there is no such plugin."""
        spec = self.desired.get(name)
        if spec is None:
            return None
        return plugin_view(spec, self.observed.get(name) or PluginStatus(Phase.FETCHING))

    def _touch(self, name: str | None, *, urgent: bool = True) -> None:
        self.version += 1
        if name is not None:
            self._changed_at[name] = self.version
        if urgent:
            self.announced = self.version
            news, self._news = self._news, asyncio.Event()
            news.set()


def _words(report: Report) -> tuple[str, str, str, bool]:
    """Return what of a report is more than a counter."""
    return report.status, report.state, report.message, report.running
