"""The runs that have not ended: what is known of each, kept in the store before it is told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from iocmng.cluster.keeper import Keeper
from iocmng.cluster.registry import Registry
from iocmng.core.metrics import RUN_SECONDS, RUNS
from iocmng.core.runs import RUN_LOG_LINES, Run, RunReport, RunRequest, RunState
from iocmng.core.secrets import without_secrets
from iocmng.core.trace_context import current
from iocmng.errors import StateUnavailable, UnknownRun

SAVE_AGAIN = 1.0
"""Seconds between two tries to keep how a run ended, while the store cannot be written."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class OpenRun:
    """A run that has not ended.

    Attributes:
        run: What is known of it.
        asked: CANCELLED or TIMED_OUT once it has been told to end.
        why: Why, in a sentence.
        asking: Set with `asked`.
        is_leaving: Whether its process is being ended, so that somebody else sees to its end.
        is_killed: Whether its process was killed because of it.
        is_kept: Whether the store is to keep it; not once its job has been removed.
        is_stored: Whether the store has it, so that it may be told of and begun.
        ended: Has the run once it has ended.
        log: Its log lines so far.
        traceparent: The request that has asked for it.
        on_end: Called when it has ended, before anybody is told.
    """

    run: Run
    asked: RunState | None = None
    why: str = ""
    asking: asyncio.Event = field(default_factory=asyncio.Event)
    is_leaving: bool = False
    is_killed: bool = False
    is_kept: bool = True
    is_stored: bool = False
    ended: asyncio.Future[Run] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    log: deque[str] = field(default_factory=lambda: deque[str](maxlen=RUN_LOG_LINES))
    traceparent: str | None = field(default_factory=current)
    on_end: Callable[[], object] = lambda: None

    def ask(self, state: RunState, why: str) -> None:
        """Note that it is to end; the first who asks is the one who counts."""
        if self.asked is None:
            self.asked, self.why = state, why
            self.asking.set()

    def take(self, report: RunReport) -> bool:
        """Note what its process says of it; return whether it is more than log lines."""
        self.log.extend(report.log)
        before = self.run
        self.run = replace(before, progress=report.progress, message=report.message)
        return self.run != before

    def whole(self) -> Run:
        """Return the run with its log lines."""
        return replace(self.run, log=tuple(self.log)) if self.log else self.run


class RunBook:
    """All runs that have not ended, and of each job how the newest one that has ended did so."""

    def __init__(self, registry: Registry, keeper: Keeper) -> None:
        self._registry = registry
        self._keeper = keeper
        self._open: dict[int, OpenRun] = {}
        self._last_id = 0
        self._last: dict[str, tuple[int, RunState]] = {}
        self._saving: set[asyncio.Task[None]] = set()

    async def load(self) -> list[OpenRun]:
        """Read the runs that had not ended when an earlier Controller did; return them, oldest first.

        Raises:
            StateUnavailable: If the store cannot be read.
        """
        self._last_id, self._last = self._keeper.last_run, dict(self._keeper.ended_runs)
        self._open = {run.id: OpenRun(run, is_stored=True) for run in await self._keeper.open_runs()}
        return list(self._open.values())

    def new(self, job: str, request: RunRequest, generation: int, timeout: float | None) -> OpenRun:
        """Return a new run, which nothing keeps yet."""
        self._last_id += 1
        run = Run(
            id=self._last_id,
            job=job,
            state=RunState.QUEUED,
            queued_at=time.time(),
            parameters=request.parameters,
            who=request.who,
            cause=request.cause,
            generation=generation,
            timeout=timeout,
        )
        return OpenRun(run)

    def unknown(self, job: str, number: int) -> OpenRun:
        """Return a run that goes on in a process although the store does not know it: it is counted, and not kept."""
        moment = time.time()
        run = Run(number, job, RunState.RUNNING, queued_at=moment, started_at=moment)
        one = self._open[number] = OpenRun(run, is_kept=False, is_stored=True)
        return one

    def find(self, job: str, run: int) -> OpenRun | None:
        """Return a run of this job that has not ended."""
        found = self._open.get(run)
        return found if found is not None and found.run.job == job else None

    async def keep(self, one: OpenRun) -> None:
        """Keep a run as it is now, and tell of it.

        Raises:
            StateUnavailable: If it cannot be kept; nobody is told of it then.
        """
        if one.is_kept:
            await self._keeper.save_run(one.run)
        one.is_stored = True
        if not one.ended.done():
            self._open[one.run.id] = one
            # Not urgent: the report of its process is, a moment later; who does not wait for the end asks for it.
            self._registry.note_run(one.run, urgent=False)

    async def end(self, one: OpenRun, state: RunState, message: str, *, first: bool = False, **changes: Any) -> None:
        """Note how a run has ended, keep it, and tell of it.

        Args:
            one: The run.
            state: How it has ended.
            message: Why, in a sentence.
            first: Whether it ends only if that can be kept. Else it is told also where it cannot, because it has
                happened; it is kept as soon as it can be.
            changes: What else is known of it now.

        Raises:
            StateUnavailable: If it had to be kept first, and cannot be.
        """
        secrets = self._registry.secrets_of(one.run.job)
        if secrets:  # nobody needs them any longer
            changes["parameters"] = without_secrets(one.run.parameters, secrets)
        ended = one.whole().moved(state, message=message, ended_at=time.time(), **changes)
        try:
            if one.is_kept:
                await self._keeper.save_run(ended)
        except StateUnavailable as error:
            if first:
                raise
            _log.error("how run %d of %s ended could not be kept yet: %s", ended.id, ended.job, error)
            one.run = ended
            self._save_later(one)
        else:
            one.run = ended
            self._open.pop(ended.id, None)
        one.on_end()
        self._count(ended)
        if one.is_kept and ended.id > self._last.get(ended.job, (0, state))[0]:
            self._last[ended.job] = (ended.id, state)
        self._registry.note_run(ended)
        if not one.ended.done():
            one.ended.set_result(ended)

    def _count(self, ended: Run) -> None:
        tally = self._registry.tally
        tally.count(RUNS, ended.job, ended.state.value)
        # How long a lost one went on, nobody knows; and the clock of the machine may have been set back meanwhile.
        if ended.started_at is not None and ended.ended_at is not None and ended.state is not RunState.LOST:
            tally.observe(RUN_SECONDS, max(0.0, ended.ended_at - ended.started_at), ended.job)

    def report(self, one: OpenRun, report: RunReport) -> None:
        """Note what a process says of a run that goes on."""
        if one.take(report):
            self._registry.note_run(one.run, urgent=False)

    def last(self, job: str) -> tuple[int, RunState] | None:
        """Return the newest run of a job that has ended, and how."""
        return self._last.get(job)

    def forget(self, job: str) -> None:
        """Keep nothing more of a job's runs."""
        self._last.pop(job, None)
        for one in self._open.values():
            if one.run.job == job:
                one.is_kept = False

    async def runs(self, job: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs, newest first, without their log lines."""
        stored = await self._keeper.runs(job, states, before, limit)
        return [replace(self._newest(run), log=()) for run in stored]

    async def run(self, job: str, number: int) -> Run:
        """Return a run of a job, with its log lines.

        Raises:
            UnknownRun: If there is none of this number, or it is no longer kept.
        """
        if one := self.find(job, number):
            return one.whole()
        stored = await self._keeper.run(job, number)
        if stored is None:
            raise UnknownRun(f"{job} has no run {number}; GET /jobs/{job}/runs lists those that are kept")
        return stored

    async def close(self) -> None:
        """Give up what could not be kept."""
        for task in list(self._saving):
            task.cancel()
        await asyncio.gather(*self._saving, return_exceptions=True)

    def _newest(self, stored: Run) -> Run:
        one = self.find(stored.job, stored.id)
        return one.run if one is not None else stored

    def _save_later(self, one: OpenRun) -> None:
        task = asyncio.create_task(self._save(one), name=f"save run {one.run.id}")
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save(self, one: OpenRun) -> None:
        while one.is_kept:
            await asyncio.sleep(SAVE_AGAIN)
            try:
                await self._keeper.save_run(one.run)
                break
            except StateUnavailable:
                continue
        self._open.pop(one.run.id, None)
