"""Runs of jobs: who asks for one, when it starts, and how it ends.

A run is in the store before it is answered and before its process is told of it. One at a time goes on for each job, or
as many as its config.yaml says. See docs/adr/0014-runs.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any

from iocmng.cluster.keeper import Keeper
from iocmng.cluster.registry import Registry
from iocmng.cluster.run_book import OpenRun
from iocmng.cluster.run_dispatch import RunDispatch
from iocmng.cluster.run_lines import RunLine, overview
from iocmng.cluster.run_parameters import check_run_parameters
from iocmng.cluster.watcher import Watcher
from iocmng.core.lifecycle import Phase
from iocmng.core.ports.processes import FoundFurther
from iocmng.core.runs import HeldRun, Run, RunCause, RunLimits, RunRequest, RunState, check_queue
from iocmng.core.spec import Report
from iocmng.errors import IocmngError, ServerUnavailable, StateUnavailable, WrongState

LEFT_WITHIN = 5.0
"""Seconds in which runs have ended once their process has."""

_log = logging.getLogger(__name__)


class Runs(RunDispatch):
    """The runs of all jobs. For the arguments see RunDispatch."""

    def __init__(self, registry: Registry, keeper: Keeper, watcher: Watcher, limits: RunLimits) -> None:
        super().__init__(registry, keeper, watcher, limits)
        self._left: list[OpenRun] = []
        self._taking: set[str] = set()
        self._leaving: dict[str, Awaitable[object]] = {}
        registry.runs_of = self.overview
        registry.on_report = self.take_report
        registry.on_change = self.pump

    async def load(self) -> None:
        """Read what an earlier Controller has left; nothing is started before begin().

        Raises:
            StateUnavailable: If the store cannot be read.
        """
        self._left = await self._book.load()

    async def begin(self, adopted: Mapping[str, HeldRun | None], further: Sequence[FoundFurther] = ()) -> None:
        """Say what became of the runs that had not ended, and start those that still wait.

        A run that a process knows ends as what it was, and has its place until then; one that none knows is lost.

        Args:
            adopted: Jobs and tasks whose processes live, each with the newest run that its process was told of.
            further: Further processes of jobs that live. If nothing lives, the whole server was restarted.
        """
        known = self._take_over_all(adopted, further)
        lives = bool(adopted or further)
        for one in self._left:
            run = one.run
            if run.id in known:
                continue
            if run.state is RunState.RUNNING:
                await self._lose(one, lives)
            elif lives and run.job in self._registry.desired:
                self._line(run.job).queued.append(one)
            else:
                await self._book.end(one, RunState.LOST, _NOT_STARTED)
        self._left = []
        self._begun = True
        for name, line in list(self._lines.items()):
            line.queued.sort(key=lambda one: one.run.id)  # RUN may have been taken meanwhile
            self.pump(name)

    def _take_over_all(self, adopted: Mapping[str, HeldRun | None], further: Sequence[FoundFurther]) -> set[int]:
        """Wait for the runs that processes know; return their ids."""
        open_runs = {one.run.id: one for one in self._left if one.run.state is RunState.RUNNING}

        def find(name: str, held: HeldRun | None) -> OpenRun | None:
            if held is None or name not in self._registry.desired:
                return None
            one = open_runs.get(held.run)
            if one is not None and one.run.job == name:
                return one
            return self._book.unknown(name, held.run) if held.goes_on else None

        known: set[int] = set()
        for name, held in adopted.items():
            handle = self._watcher.handles.get(name)
            if handle is not None and (one := find(name, held)):
                self._take_over(name, one, handle, None)
                known.add(one.run.id)
        for process in further:
            name = process.spec.name
            if one := find(name, process.run):
                self._take_over(name, one, process.handle, self._workers.take_over(process, one.run.id))
                known.add(one.run.id)
            else:
                self._aside(lambda process=process: self._end_further(process))
        return known

    @staticmethod
    async def _end_further(process: FoundFurther) -> None:
        await process.handle.stop()

    async def _lose(self, one: OpenRun, lives: bool) -> None:
        """Note that nobody knows how a run ended: its process has ended, and nobody was there to see it."""
        await self._book.end(one, RunState.LOST, _PROCESS_ENDED if lives else _SERVER_ENDED)
        if lives and one.run.job in self._registry.desired:
            self._line(one.run.job).notice = f"run {one.run.id}: {one.run.message}"

    async def request(self, name: str, request: RunRequest) -> OpenRun:
        """Ask for a run of a job; return it when the store keeps it: it goes on then, or waits for its turn.

        Everything that asks for a run comes through here: REST, RUN, the schedule.

        Raises:
            InvalidRequest: If a parameter does not fit.
            WrongState: If the job is not up.
            TooManyRuns: If as many runs wait as may.
            StateUnavailable: If it cannot be kept; it is not run then.
        """
        facts = self._check_up(name).facts
        await check_run_parameters(facts, self._watcher.handles.get(name), request.parameters)
        status = self._check_up(name)  # the check may have taken its time
        line = self._line(name)
        check_queue(name, len(line.queued), len(line.running), self._concurrency(name), self._limits)
        timeout = request.timeout if request.timeout is not None else self._limits.timeout
        one = self._book.new(name, request, status.generation, timeout)
        if not line.queued and self._may_start(name, line) and self._has_place(name, line, one):
            # Kept once, as running, instead of twice.
            await asyncio.shield(self._start(name, line, one))
            return one
        line.queued.append(one)
        try:
            await self._book.keep(one)
        except StateUnavailable:
            if one in line.queued:
                line.queued.remove(one)
            raise
        self.pump(name)
        return one

    async def cancel(self, name: str, number: int) -> OpenRun:
        """Cancel a run: one that waits ends at once, one that goes on is told to.

        Raises:
            UnknownRun: If there is none of this number.
            WrongState: If it has ended already.
        """
        one = self._book.find(name, number)
        if one is None or one.run.has_ended:
            run = await self._book.run(name, number)
            raise WrongState(f"run {number} of {name} has ended already: {run.state.value}")
        line = self._line(name)
        if one in line.queued:
            await self._end_queued(line, one, "cancelled before it began")
        else:
            one.ask(RunState.CANCELLED, "cancelled")
        return one

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs, newest first; see ports.StateStore.runs."""
        return await self._book.runs(name, states, before, limit)

    async def run(self, name: str, number: int) -> Run:
        """Return a run of a job with its log lines.

        Raises:
            UnknownRun: If there is none of this number.
        """
        return await self._book.run(name, number)

    def overview(self, name: str) -> dict[str, Any]:
        """Return `runs` of the plugin object."""
        return overview(self._lines.get(name), self._book.last(name))

    def take_report(self, name: str, report: Report) -> None:
        """Note what a job's own process says of its run, and take the runs that RUN has asked for."""
        if report.run is not None and (one := self._book.find(name, report.run.run)) and not one.run.has_ended:
            self._book.report(one, report.run)
        if report.wanted_runs and name not in self._taking:
            self._taking.add(name)
            self._aside(lambda: self._run_by_pv(name))

    def with_further_processes(self) -> set[str]:
        """Return the jobs that have further processes, also those whose own one is gone."""
        return self._workers.jobs()

    def leave(self, name: str, why: str) -> None:
        """Tell a job's runs to end, because its process is about to be ended; those that wait go on waiting."""
        if line := self._lines.get(name):
            for one in line.running.values():
                one.is_leaving = True
                one.ask(RunState.CANCELLED, why)
        self._leaving[name] = self._workers.end_all(name)

    async def left(self, name: str) -> None:
        """Wait until the runs have ended whose process has, and the job's further processes are gone."""
        if name in self._leaving:
            await self._leaving.pop(name)
        if (line := self._lines.get(name)) and line.tasks:
            await asyncio.wait(line.tasks.values(), timeout=LEFT_WITHIN)

    async def forget(self, name: str) -> None:
        """Cancel the runs of a job that is removed; nothing more of them is kept."""
        self._book.forget(name)
        line = self._lines.get(name)
        for one in list(line.queued) if line else []:
            one.is_kept = False
            await self._end_queued(self._line(name), one, f"{name} was removed before it began")

    async def close(self) -> None:
        """Take no more runs, and cancel those that wait: the server ends."""
        self._ends = True
        for name in list(self._lines):
            line = self._lines[name]
            for one in list(line.queued):
                try:
                    await self._end_queued(line, one, "the server was stopped before it began; ask for it again")
                except StateUnavailable as error:
                    _log.error("that run %d of %s does not run could not be kept: %s", one.run.id, name, error)

    async def abandon(self) -> None:
        """Stop working; the processes go on with what they do."""
        self._ends = True
        tasks = [*self._asides, *(task for line in self._lines.values() for task in line.tasks.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._workers.abandon()
        await self._book.close()

    def _check_up(self, name: str) -> Any:
        """Return the status of a job that can be run, now or when it has been replaced."""
        if self._ends:
            raise ServerUnavailable("the server is ending; nothing was run")
        status = self._registry.observed.get(name)
        if status is None or (name not in self._watcher.handles and status.phase is not Phase.REPLACING):
            raise WrongState(f"{name} is not up; restart it, or look at its status and message")
        return status

    async def _end_queued(self, line: RunLine, one: OpenRun, why: str) -> None:
        place = line.queued.index(one)
        line.queued.remove(one)
        try:
            await self._book.end(one, RunState.CANCELLED, why, first=True)
        except StateUnavailable:
            line.queued.insert(place, one)
            raise
        self.pump(one.run.job)

    async def _run_by_pv(self, name: str) -> None:
        """Run a job as often as RUN was written, with its own parameters; what is refused is shown in MESSAGE."""
        handle = self._watcher.handles.get(name)
        try:
            wanted = await handle.take_wanted_runs() if handle is not None else ()
        finally:
            self._taking.discard(name)
        try:
            for who in wanted:
                await self.request(name, RunRequest(cause=RunCause.PV, who=who or "RUN"))
        except IocmngError as error:
            if handle is not None:
                await handle.show(f"RUN was refused: {error}", "")


_PROCESS_ENDED = "its process ended while there was no Controller, so nobody knows how much of it was done"
_SERVER_ENDED = "the server ended while it ran, so nobody knows how much of it was done"
_NOT_STARTED = (
    "the server was restarted before it began. It is not run now, because what it moves must not move unasked; ask for "
    "it again"
)
