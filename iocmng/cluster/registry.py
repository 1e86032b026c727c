"""The book of the Controller: what is desired, what is observed, and the snapshot that the API follows."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from iocmng.cluster.plugin_logs import PluginLogs
from iocmng.cluster.view import plugin_view, shown_status
from iocmng.core.client_puts import ClientPut
from iocmng.core.devices import CreatedDevice, DeviceTable
from iocmng.core.lifecycle import Phase, check_transition
from iocmng.core.runs import Run, RunState
from iocmng.core.spec import FilesRef, PluginSpec, PluginStatus, Report
from iocmng.core.state import Event, Snapshot
from iocmng.core.tally import Tally
from iocmng.errors import CheckFailure, PluginRejected

WATCH_TIMEOUT = 20.0
"""Seconds after which a long poll without news is answered with nothing."""

WATCH_PAUSE = 0.01
"""Seconds in which changes are gathered into one answer."""

COUNTERS_PAUSE = 0.5
"""Seconds for which those who watch wait while only counters change: with fifty plugins they always do."""

REMOVED_NAMES = 500
"""Removed plugins of which it is remembered when they went."""

RECENT_RUNS = 1000
"""Changes of runs that those who watch may have missed and still get with their next answer."""

RECENT_EVENTS = 1000
"""Events that those who watch may have missed and still get with their next answer."""


class Registry:
    """Desired and observed state by plugin name.

    Every change raises the version. `announced` is the version of the last change that woke those who watch: who waits
    for a change of his own waits for that one, and not for a counter that another plugin has reported since.
    """

    def __init__(self) -> None:
        self.desired: dict[str, PluginSpec] = {}
        self.observed: dict[str, PluginStatus] = {}
        self.logs = PluginLogs()
        self.epoch = uuid.uuid4().hex
        # Versions of a later life are higher, so that a replica that missed the change cannot mistake one for another.
        self.version = time.time_ns() // 1_000_000
        self.ready = False
        self.devices = DeviceTable()
        self.tally = Tally()
        self.last_event = 0
        self.on_event: Callable[[Event], None] = lambda _: None
        self.owner_of: Callable[[str], str | None] = lambda _: None
        self.on_touch: Callable[[str], None] = lambda _: None
        self.next_run_of: Callable[[str], float | None] = lambda _: None
        self.runs_of: Callable[[str], dict[str, Any]] = lambda _: {}
        self.on_report: Callable[[str, Report], None] = lambda name, report: None
        self.on_change: Callable[[str], None] = lambda _: None
        self.on_write: Callable[[str, ClientPut], None] = lambda name, put: None
        self._fallback: dict[str, PluginSpec] = {}
        self._recent: deque[tuple[int, Event]] = deque(maxlen=RECENT_EVENTS)
        self._recent_runs: dict[tuple[int, RunState], tuple[int, Run]] = {}
        self._shown: dict[str, str] = {}
        self._changed_at: dict[str, int] = {}
        self._forgotten_at = 0
        self._record_owner: dict[str, str] = {}
        self._news = asyncio.Event()
        self.announced = self.version

    def desire(self, spec: PluginSpec) -> None:
        """Set what is desired under the spec's name."""
        self.desired[spec.name] = spec
        self._touch(spec.name)

    def desire_instead(self, spec: PluginSpec, before: PluginSpec | None = None) -> None:
        """Desire another generation of a plugin; `fall_back` returns to the one before."""
        self._fallback[spec.name] = before or self.desired[spec.name]
        self.desire(spec)

    def accept(self, name: str, files: FilesRef) -> PluginSpec | None:
        """Note the files that a plugin runs from; return its spec with them, or None if it is no longer desired."""
        self._fallback.pop(name, None)
        spec = self.desired.get(name)
        if spec is not None:
            spec = self.desired[name] = replace(spec, files=files)
        return spec

    def fall_back(self, name: str) -> None:
        """Desire again what was desired before the last `desire_instead`, and no new start of it."""
        spec, status = self.desired.get(name), self.observed.get(name)
        before = self._fallback.pop(name, spec)
        if before is not None and spec is not None and status is not None:
            self.desire(replace(before, generation=status.generation, running=spec.running))

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
        self._note_event(name, changes.get("reason") or changes.get("message") or status.reason)
        self.on_change(name)
        return status

    def secrets_of(self, name: str) -> frozenset[str] | None:
        """Return the names of a plugin's parameters whose values are never shown; None where that is not known."""
        status = self.observed.get(name)
        return status.facts.secrets if status is not None and status.facts is not None else None

    def report(self, name: str, report: Report, *, urgent: bool = False) -> None:
        """Note what a plugin's process says of itself.

        Args:
            name: Name of the plugin.
            report: What it says.
            urgent: Whether somebody waits for the snapshot to show it, even if only counters changed.
        """
        self.log(name, report.log)
        for put in report.writes:
            self.on_write(name, put)
        status = self.observed.get(name)
        # Reports come by more than one way, so an older one may come later.
        before = status.report if status is not None else None
        if status is not None and (before is None or before.version <= report.version):
            self.observed[name] = replace(status, report=report.kept())
            self._touch(name, urgent=urgent or before is None or _words(before) != _words(report))
            self._note_event(name, report.message)
        self.on_report(name, report)

    def log(self, name: str, lines: Iterable[str], generation: int | None = None) -> None:
        """Keep log lines of a plugin, by the generation that is observed if no other one is named."""
        if generation is None:
            generation = status.generation if (status := self.observed.get(name)) else 0
        self.logs.add(name, lines, generation)

    def note_run(self, run: Run, *, urgent: bool = True) -> None:
        """Tell those who watch of a run as it is now; of its progress they get the newest only."""
        brief = replace(run, parameters={}, result=None, log=())
        key = (run.id, run.state)
        self._recent_runs.pop(key, None)
        self._recent_runs[key] = (self.version + 1, brief)
        if len(self._recent_runs) > RECENT_RUNS:
            del self._recent_runs[next(iter(self._recent_runs))]
        self._touch(run.job if run.job in self.desired else None, urgent=urgent)

    def forget(self, name: str, reason: str = "") -> None:
        """Drop everything about a plugin."""
        if name in self._shown:
            self._emit(name, "removed", reason, self.observed.get(name))
            del self._shown[name]
        for table in (self.desired, self.observed, self._fallback):
            table.pop(name, None)
        self.logs.forget(name)
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
            has_aliases = any("-" in plugin for plugin in (name, *owners))
            hint = "; IOCMNG_UNDERSCORE_ALIASES=false takes the names with '_' for '-' away" if has_aliases else ""
            raise PluginRejected.because(
                CheckFailure(
                    "config",
                    f"record {example} is served by plugin {', '.join(sorted(owners))} already; "
                    f"choose another name, or another `prefix` in config.yaml{hint}",
                )
            )
        self.release_records(name)
        self._record_owner |= dict.fromkeys(records, name)

    def release_records(self, name: str) -> None:
        """Give a plugin's record names back."""
        self._record_owner = {record: owner for record, owner in self._record_owner.items() if owner != name}

    def refresh(self, names: Iterable[str]) -> None:
        """Have the objects of these plugins shown anew."""
        for name in names:
            self._touch(name)

    def set_ready(self) -> None:
        """Note that the plugins file has been loaded."""
        self.ready = True
        self._touch(None)

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until there is something newer than `after`, or a while; return what changed."""
        complete = epoch != self.epoch or after > self.version or after < self._forgotten_at
        if not complete:
            await self._wait_for_news(after)
        names = self.desired if complete else [name for name, at in self._changed_at.items() if at > after]
        plugins = {name: self.view(name) for name in names}
        events = () if complete else tuple(event for version, event in self._recent if version > after)
        runs = () if complete else tuple(run for version, run in self._recent_runs.values() if version > after)
        devices = self.devices if complete else None
        return Snapshot(self.epoch, self.version, complete, plugins, self.ready, events, runs, devices)

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
        status = self.observed.get(name) or PluginStatus(Phase.FETCHING)
        return plugin_view(spec, status, self.owner_of(name), self.runs_of(name), self.next_run_of(name))

    def tell(self, name: str, reason: str) -> None:
        """Tell of something that leaves the status as it is."""
        if name in self._shown:
            self._emit(name, self._shown[name], reason, self.observed.get(name))

    def _note_event(self, name: str, reason: str) -> None:
        """Tell of a change of the status that the REST API shows."""
        status = self.observed[name]
        shown = shown_status(status)
        if shown != self._shown.get(name):
            self._emit(name, shown, reason, status)
            self._shown[name] = shown

    def _emit(self, name: str, shown: str, reason: str, status: PluginStatus | None) -> None:
        self.last_event += 1
        event = Event(
            id=self.last_event,
            at=time.time(),
            plugin=name,
            status=shown,
            previous=self._shown.get(name),
            reason=reason,
            generation=status.generation if status else 0,
            node=status.endpoint.node if status and status.endpoint else None,
        )
        self._recent.append((self.version + 1, event))
        self._touch(name)
        self.on_event(event)

    def _touch(self, name: str | None, *, urgent: bool = True) -> None:
        self.version += 1
        if name is not None:
            self.on_touch(name)
            self._changed_at[name] = self.version
            if len(self._changed_at) > len(self.desired) + REMOVED_NAMES:
                self._forget_removed()
        if urgent:
            self.announced = self.version
            news, self._news = self._news, asyncio.Event()
            news.set()

    def _forget_removed(self) -> None:
        """Drop the notes of removed plugins; who has not seen their removal yet gets everything anew."""
        gone = [name for name in self._changed_at if name not in self.desired]
        self._forgotten_at = max(self._changed_at.pop(name) for name in gone)


def _words(report: Report) -> tuple[str, str, str, bool, tuple[CreatedDevice, ...]]:
    """Return what of a report is more than a counter."""
    return report.status, report.state, report.message, report.running, report.devices
