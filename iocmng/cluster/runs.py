"""Runs of jobs: who asks for one, when it starts, and how it ends.

A run is in the store before it is answered and before its process is told of it. One at a time goes on for each job, or
as many as its config.yaml says. See docs/adr/0014-runs.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Set
from typing import Any

from iocmng.cluster.keeper import Keeper
from iocmng.cluster.registry import Registry
from iocmng.cluster.run_book import OpenRun, RunBook
from iocmng.cluster.run_execution import carry_out
from iocmng.cluster.run_lines import RunLine, overview
from iocmng.cluster.run_parameters import check_run_parameters
from iocmng.cluster.watcher import Watcher
from iocmng.core.builtin_pvs import JobState
from iocmng.core.lifecycle import Phase
from iocmng.core.runs import Run, RunCause, RunLimits, RunRequest, RunState, check_queue
from iocmng.core.spec import Report
from iocmng.errors import IocmngError, ServerUnavailable, StateUnavailable, WrongState

TRY_AGAIN = 1.0
"""Seconds until a run that could not be started, because that could not be kept, is tried again."""

LEFT_WITHIN = 5.0
"""Seconds in which runs have ended once their process has."""

_log = logging.getLogger(__name__)


class Runs:
    """The runs of all jobs.

    Args:
        registry: What is observed of the jobs.
        keeper: Keeps the runs.
        watcher: Has the jobs' processes.
        limits: What the settings say.
    """

    def __init__(self, registry: Registry, keeper: Keeper, watcher: Watcher, limits: RunLimits) -> None:
        self._registry = registry
        self._watcher = watcher
        self._limits = limits
        self._book = RunBook(registry, keeper)
        self._lines: dict[str, RunLine] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._left: list[OpenRun] = []
        self._strays: set[int] = set()
        self._ends = False
        registry.runs_of = self.overview
        registry.on_report = self.take_report
        registry.on_change = self.pump

    async def load(self) -> None:
        """Read what an earlier Controller has left; nothing is started before begin().

        Raises:
            StateUnavailable: If the store cannot be read.
        """
        self._left = await self._book.load()
        # What a process still does of these nobody waits for any longer.
        self._strays = {one.run.id for one in self._left if one.run.state is RunState.RUNNING}

    async def begin(self, adopted: Set[str]) -> None:
        """Say what became of the runs that had not ended, and start those that still wait.

        Args:
            adopted: Jobs and tasks whose processes live; empty if the whole server was restarted.
        """
        for one in self._left:
            run = one.run
            if run.state is RunState.RUNNING:
                alive = run.job in adopted
                await self._book.end(one, RunState.LOST, _STILL_RUNS if alive else _SERVER_ENDED)
            elif adopted and run.job in self._registry.desired:
                self._line(run.job).queued.append(one)
            else:
                await self._book.end(one, RunState.LOST, _NOT_STARTED)
        self._left = []
        for name in list(self._lines):
            self.pump(name)

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
        if not line.queued and self._may_start(name, line):
            # Kept once, as running, instead of twice.
            kept = self._start(name, line, one)
            await asyncio.shield(kept)
            return one
        line.queued.append(one)
        try:
            await self._book.keep(one)
        except StateUnavailable:
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
        line = self._lines.get(name)
        if report.run is not None and report.run.run in self._strays:
            self._line(name).foreign = report.run.run
        elif report.run is not None and (one := self._book.find(name, report.run.run)) and not one.run.has_ended:
            self._book.report(one, report.run)
        elif line is not None and line.foreign is not None:
            line.foreign = None
            self.pump(name)
        if report.wanted_runs:
            self._aside(self._run_by_pv(name, report.wanted_runs))

    def pump(self, name: str) -> None:
        """Start what waits and may start, and show what has to be shown; called whenever something has changed."""
        line = self._lines.get(name)
        if line is None:
            return
        handle = self._watcher.handles.get(name)
        if line.notice and handle is not None:
            self._aside(handle.show(line.notice, JobState.FAILED.value))
            line.notice = ""
        while line.queued and self._may_start(name, line):
            self._start(name, line, line.queued.pop(0))
        if line.is_empty:
            del self._lines[name]

    def leave(self, name: str, why: str) -> None:
        """Tell a job's runs to end, because their process is about to be ended; those that wait go on waiting."""
        if line := self._lines.get(name):
            for one in line.running.values():
                one.is_leaving = True
                one.ask(RunState.CANCELLED, why)

    async def left(self, name: str) -> None:
        """Wait until the runs have ended whose process has."""
        if (line := self._lines.get(name)) and line.tasks:
            await asyncio.wait(line.tasks.values(), timeout=LEFT_WITHIN)
            line.foreign = None

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
        await self._book.close()

    def _check_up(self, name: str) -> Any:
        """Return the status of a job that can be run, now or when it has been replaced."""
        if self._ends:
            raise ServerUnavailable("the server is ending; nothing was run")
        status = self._registry.observed.get(name)
        if status is None or (name not in self._watcher.handles and status.phase is not Phase.REPLACING):
            raise WrongState(f"{name} is not up; restart it, or look at its status and message")
        return status

    def _concurrency(self, name: str) -> int:
        status = self._registry.observed.get(name)
        return status.facts.concurrency if status is not None and status.facts is not None else 1

    def _may_start(self, name: str, line: RunLine) -> bool:
        status = self._registry.observed.get(name)
        return (
            not self._ends
            and status is not None
            and status.phase is Phase.ACTIVE
            and name in self._watcher.handles
            and line.foreign is None
            and not line.running
        )

    def _start(self, name: str, line: RunLine, one: OpenRun) -> asyncio.Future[None]:
        """Begin with a run; return what to await until it is kept as running."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        status = self._registry.observed[name]
        before = one.run
        one.run = before.moved(RunState.RUNNING, started_at=time.time(), generation=status.generation)
        line.running[before.id] = one
        one.on_end = lambda: line.running.pop(before.id, None)
        task = asyncio.create_task(self._carry_out(name, line, one, before, kept), name=f"run {before.id} {name}")
        line.tasks[before.id] = task
        task.add_done_callback(lambda _: self._done(name, line, before.id))
        return kept

    def _done(self, name: str, line: RunLine, number: int) -> None:
        line.tasks.pop(number, None)
        line.running.pop(number, None)
        if self._lines.get(name) is line:
            self.pump(name)

    async def _carry_out(self, name: str, line: RunLine, one: OpenRun, before: Run, kept: asyncio.Future[None]) -> None:
        try:
            await self._book.keep(one)
        except StateUnavailable as error:
            self._give_back(name, line, one, before, kept, error)
            return
        kept.set_result(None)
        handle = self._watcher.handles.get(name)
        if one.asked is not None or handle is None:
            await self._book.end(one, one.asked or RunState.LOST, f"{one.why or 'its process ended'} before it began")
            return
        end = await carry_out(one, handle, self._watcher, self._limits.grace)
        if end.report is not None:
            self._registry.report(name, end.report, urgent=True)
        if end.lost_process:
            line.notice = f"run {one.run.id}: {end.message}"
        if end.log:
            one.log.clear()
            one.log.extend(end.log)
        progress = end.progress(one.run)
        await self._book.end(one, end.state, end.message, result=end.result, progress=progress)

    def _give_back(
        self, name: str, line: RunLine, one: OpenRun, before: Run, kept: asyncio.Future[None], error: StateUnavailable
    ) -> None:
        """Leave a run as it was that could not be kept as running, so that it is not run."""
        one.run = before
        line.running.pop(before.id, None)
        if self._book.find(name, before.id) is None:  # it is new, and nobody has been told of it
            kept.set_exception(error)
            return
        kept.set_result(None)
        _log.error("run %d of %s waits until it can be kept that it runs: %s", before.id, name, error)
        self._ends_wait(name, line, one)

    def _ends_wait(self, name: str, line: RunLine, one: OpenRun) -> None:
        async def wait() -> None:
            await asyncio.sleep(TRY_AGAIN)
            if one.asked is not None:
                await self._book.end(one, one.asked, "cancelled before it began")
                return
            line.queued.insert(0, one)
            self._lines.setdefault(name, line)
            self.pump(name)

        self._aside(wait())

    async def _end_queued(self, line: RunLine, one: OpenRun, why: str) -> None:
        place = line.queued.index(one)
        line.queued.remove(one)
        try:
            await self._book.end(one, RunState.CANCELLED, why)
        except StateUnavailable:
            line.queued.insert(place, one)
            raise
        self.pump(one.run.job)

    async def _run_by_pv(self, name: str, count: int) -> None:
        """Run a job as often as RUN was written, with its own parameters; what is refused is shown in MESSAGE."""
        try:
            for _ in range(count):
                await self.request(name, RunRequest(cause=RunCause.PV, who="RUN"))
        except IocmngError as error:
            if handle := self._watcher.handles.get(name):
                await handle.show(f"RUN was refused: {error}", "")

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for which nobody waits."""

        async def do() -> None:
            try:
                await work
            except IocmngError as error:
                _log.warning("%s", error)

        task = asyncio.create_task(do())
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    def _line(self, name: str) -> RunLine:
        return self._lines.setdefault(name, RunLine())


_STILL_RUNS = (
    "the Controller died while it ran, so nobody knows how it ended. Its process was left alone and may still finish "
    "it; further runs wait until it has. Restart the job to end it"
)
_SERVER_ENDED = "the server ended while it ran, so nobody knows how much of it was done"
_NOT_STARTED = (
    "the server was restarted before it began. It is not run now, because what it moves must not move unasked; ask for "
    "it again"
)
