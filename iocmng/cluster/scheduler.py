"""Starts the runs of jobs that have a schedule, each at its time or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from iocmng.cluster.registry import Registry
from iocmng.cluster.view import schedule_in_force
from iocmng.core.lifecycle import Phase
from iocmng.core.schedule import Schedule
from iocmng.errors import IocmngError

LATE = 60.0
"""Seconds after its time in which a run is still started; what is later is skipped."""

LOOK_EVERY = 10.0
"""Seconds after which the clock is looked at again in any case: somebody may have set it."""

CLOCK_WAS_WRONG = 3 * 3600.0
"""Seconds by which a clock is put back that was wrong before; what is less is a correction, and repeats no run."""

_HAS_SCHEDULE = frozenset({Phase.ACTIVE, Phase.REPLACING, Phase.CRASHED})

_log = logging.getLogger(__name__)


class RunsToSchedule(Protocol):
    """What the scheduler needs of the runs of jobs."""

    async def open_scheduled_run(self, job: str) -> int | None:
        """Return a run of a job that a schedule has started and that has not ended, or None."""
        ...

    async def start_scheduled_run(self, job: str, parameters: Mapping[str, Any]) -> int:
        """Start a run of a job; return its number, without waiting for its end.

        Raises:
            IocmngError: Why it cannot be started.
        """
        ...


@dataclass(slots=True)
class _Entry:
    """A schedule that is in force, and when it is due next."""

    schedule: Schedule
    due: datetime | None


class Scheduler:
    """Knows when which job is due. What was due while nobody was there to start it is never made up for.

    Args:
        registry: Where the schedules stand; it tells of each change.
        runs: Starts the runs.
        now: Seconds since 1970-01-01 UTC; it may jump.
    """

    def __init__(self, registry: Registry, runs: RunsToSchedule, now: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._runs = runs
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._last_due: dict[str, datetime] = {}
        self._latest = now()
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._has_told: set[str] = set()
        self._wake = asyncio.Event()

    def next_run(self, name: str) -> float | None:
        """Return when a job is due next, in seconds since 1970-01-01 UTC."""
        entry = self._entries.get(name)
        return entry.due.timestamp() if entry is not None and entry.due is not None else None

    def note(self, name: str) -> None:
        """Take note that something about a plugin may have changed; called often, so it is quick."""
        spec, status = self._registry.desired.get(name), self._registry.observed.get(name)
        known = self._entries.get(name)
        if spec is None or status is None or status.phase not in _HAS_SCHEDULE:
            self._entries.pop(name, None)
            if spec is None:
                self._last_due.pop(name, None)
                self._has_told.discard(name)
            return
        schedule = schedule_in_force(spec, status.facts)
        if schedule == (known.schedule if known is not None else None):
            return
        self._entries.pop(name, None)
        if schedule is not None:
            self._entries[name] = _Entry(schedule, self._due_after(name, schedule))
        self._wake.set()

    async def run(self) -> None:
        """Start what is due, until cancelled."""
        try:
            while True:
                self.look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._pause())
                self._wake.clear()
        finally:
            for task in self._starting.values():
                task.cancel()

    def look(self) -> None:
        """Begin to start all runs that are due now."""
        now = self._now()
        if now < self._latest - CLOCK_WAS_WRONG:
            _log.warning("the clock was put back by %.0f s: all schedules begin anew", self._latest - now)
            self._latest = now
            self._last_due.clear()
            for name, entry in self._entries.items():
                entry.due = self._due_after(name, entry.schedule)
            self._registry.refresh(list(self._entries))
        self._latest = max(self._latest, now)
        for name, entry in list(self._entries.items()):
            if entry.due is not None and entry.due.timestamp() <= now:
                self._take(name, entry, entry.due, now)

    def _take(self, name: str, entry: _Entry, due: datetime, now: float) -> None:
        self._last_due[name] = due
        entry.due = self._due_after(name, entry.schedule)
        self._registry.refresh([name])
        if now - due.timestamp() > LATE:
            self._skip(name, due, "its time has passed: the server was held up, or its clock was put forward")
        elif name in self._starting:
            self._skip(name, due, "the run before is still being started")
        else:
            task = asyncio.create_task(self._start(name, entry.schedule, due), name=f"scheduled run of {name}")
            self._starting[name] = task
            task.add_done_callback(lambda _: self._starting.pop(name, None))

    async def _start(self, name: str, schedule: Schedule, due: datetime) -> None:
        try:
            before = await self._runs.open_scheduled_run(name)
            if before is not None:
                self._skip(name, due, f"run {before}, which the schedule has started before, has not ended")
                return
            run = await self._runs.start_scheduled_run(name, schedule.parameters)
        except IocmngError as error:
            self._skip(name, due, str(error))
        except Exception:  # noqa: BLE001  boundary: a loop's step
            _log.exception("an error of iocmng itself while the scheduled run of %s was started", name)
        else:
            self._has_told.discard(name)
            _log.info("%s: run %d was started, as scheduled for %s", name, run, due.isoformat())

    def _skip(self, name: str, due: datetime, reason: str) -> None:
        """Tell of a run that is not started; of several in a row one event is enough: they would fill the store."""
        text = f"the run scheduled for {due.isoformat()} was skipped: {reason}"
        _log.warning("%s: %s", name, text)
        if name not in self._has_told:
            self._has_told.add(name)
            self._registry.tell(name, text)

    def _due_after(self, name: str, schedule: Schedule) -> datetime | None:
        """Return when a schedule is due next: after this moment, and after the last time that it was due."""
        moment = datetime.fromtimestamp(self._now(), UTC)
        return schedule.next_run(max(moment, self._last_due.get(name, moment)))

    def _pause(self) -> float:
        due = [entry.due.timestamp() for entry in self._entries.values() if entry.due is not None]
        return max(0.0, min(LOOK_EVERY, min(due, default=float("inf")) - self._now()))
