"""Which run starts when and where, and what is noted of it on its way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from iocmng.cluster.keeper import Keeper
from iocmng.cluster.registry import Registry
from iocmng.cluster.run_book import OpenRun, RunBook
from iocmng.cluster.run_execution import RunEnd, carry_out
from iocmng.cluster.run_lines import RunLine
from iocmng.cluster.run_workers import Further, Worker, Workers
from iocmng.cluster.watcher import Watcher
from iocmng.core.builtin_pvs import JobState
from iocmng.core.lifecycle import Phase
from iocmng.core.ports.processes import PluginHandle
from iocmng.core.runs import Run, RunLimits, RunOrder, RunOutcome, RunState
from iocmng.core.spec import Report
from iocmng.core.trace_context import carried
from iocmng.errors import IocmngError, PluginCrashed, StateUnavailable

TRY_AGAIN = 1.0
"""Seconds until a run that could not be started, because that could not be kept, is tried again."""

_log = logging.getLogger(__name__)


class RunDispatch:
    """Starts runs: in the job's own process, or, where config.yaml lets several go on at once, in further ones.

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
        self._workers = Workers(registry, self._book, watcher, self.pump)
        self._lines: dict[str, RunLine] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._begun = self._ends = False

    def spawn_with(self, spawn: Callable[[str], Coroutine[Any, Any, Further]]) -> None:
        """Make further processes of a job in this way, by its name."""
        self._workers.spawn = spawn

    def pump(self, name: str) -> None:
        """Start what waits and may start, and show what has to be shown; called whenever something has changed."""
        line = self._lines.get(name)
        if line is None:
            return
        handle = self._watcher.handles.get(name)
        if line.notice and handle is not None:
            notice, line.notice = line.notice, ""
            self._aside(lambda: self._show_notice(name, handle, notice))
        may_start = self._may_start(name, line)
        while may_start and line.queued and line.queued[0].is_stored and self._has_place(name, line, line.queued[0]):
            self._start(name, line, line.queued.pop(0))
        more = min(len(line.queued), self._concurrency(name) - len(line.running))
        if may_start and more > 0 and self._concurrency(name) > 1:
            self._workers.ensure(name, more)
        if line.is_empty:
            del self._lines[name]

    async def _show_notice(self, name: str, handle: PluginHandle, notice: str) -> None:
        try:
            await handle.show(notice, JobState.FAILED.value)
        except PluginCrashed:
            # It was the process that has just ended, and nobody had noted that yet: the next one has to show it.
            if name in self._registry.desired:
                self._line(name).notice = notice
                if self._watcher.handles.get(name) is not handle:
                    self.pump(name)

    def _line(self, name: str) -> RunLine:
        return self._lines.setdefault(name, RunLine())

    def _concurrency(self, name: str) -> int:
        status = self._registry.observed.get(name)
        return status.facts.concurrency if status is not None and status.facts is not None else 1

    def _may_start(self, name: str, line: RunLine) -> bool:
        """Return whether the job is up, and nothing speaks against a further run but the room for it."""
        status = self._registry.observed.get(name)
        is_up = status is not None and status.phase is Phase.ACTIVE and name in self._watcher.handles
        return is_up and self._begun and not self._ends and not line.is_held

    def _has_place(self, name: str, line: RunLine, one: OpenRun) -> bool:
        """Return whether there is room for a run; where that is in a further process, it is taken."""
        if len(line.running) >= self._concurrency(name):
            return False
        if line.is_own_free:
            return True
        worker = self._workers.take(name, one.run.id)
        if worker is not None:
            line.workers[one.run.id] = worker
        return worker is not None

    def _start(self, name: str, line: RunLine, one: OpenRun) -> asyncio.Future[None]:
        """Begin with a run for which there is a place; return what to await until it is kept as running."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = one.run
        generation = self._registry.observed[name].generation
        one.run = before.moved(RunState.RUNNING, started_at=time.time(), generation=generation)
        self._occupy(name, line, one, self._run(name, line, one, before, kept))
        return kept

    def _take_over(self, name: str, one: OpenRun, handle: PluginHandle, worker: Worker | None) -> None:
        """Wait for the end of a run that a process was told of by an earlier Controller.

        Args:
            name: Name of the job.
            one: The run.
            handle: The process.
            worker: The same, if it is a further one.
        """
        line = self._line(name)
        if worker is not None:
            line.workers[one.run.id] = worker
        self._occupy(
            name, line, one, self._see_to_its_end(name, one, lambda: self._taken_over(name, line, one, handle))
        )

    def _occupy(self, name: str, line: RunLine, one: OpenRun, work: Coroutine[Any, Any, None]) -> None:
        """Do what a run needs; it has its place until that is done, or it has ended."""
        number = one.run.id
        line.running[number] = one
        one.on_end = lambda: self._leave_place(line, number)
        with carried(one.traceparent):  # the task keeps it
            task = line.tasks[number] = asyncio.create_task(work, name=f"run {number} {name}")
        task.add_done_callback(lambda _: self._done(name, line, number))

    @staticmethod
    def _leave_place(line: RunLine, number: int) -> None:
        line.running.pop(number, None)
        line.workers.pop(number, None)

    def _done(self, name: str, line: RunLine, number: int) -> None:
        line.tasks.pop(number, None)
        self._leave_place(line, number)
        if self._lines.get(name) is line:
            self.pump(name)

    async def _run(self, name: str, line: RunLine, one: OpenRun, before: Run, kept: asyncio.Future[None]) -> None:
        try:
            await self._book.keep(one)
        except StateUnavailable as error:
            self._give_back(name, line, one, before, kept, error)
            return
        if not kept.done():
            kept.set_result(None)
        await self._see_to_its_end(name, one, lambda: self._carried_out(name, line, one))

    async def _see_to_its_end(self, name: str, one: OpenRun, carry_out: Callable[[], Awaitable[RunEnd]]) -> None:
        try:
            end = await carry_out()
        except Exception as error:  # noqa: BLE001  boundary: whoever waits for the run must hear of it
            _log.exception("an error of iocmng itself in run %d of %s", one.run.id, name)
            end = RunEnd(RunState.FAILED, f"internal error, please report it: {type(error).__name__}: {error}")
        if end.log:
            one.log.clear()
            one.log.extend(end.log)
        progress = end.progress(one.run)
        await self._book.end(one, end.state, end.message, result=end.result, progress=progress)

    async def _carried_out(self, name: str, line: RunLine, one: OpenRun) -> RunEnd:
        worker, handle = line.workers.get(one.run.id), self._watcher.handles.get(name)
        if one.asked is not None or handle is None:
            if worker is not None:
                self._workers.give_back(worker)
            return RunEnd(one.asked or RunState.LOST, f"{one.why or 'its process ended'} before it began")
        if worker is not None:
            return await self._workers.carry_out(worker, one, self._limits.grace)
        order = RunOrder(one.run.id, one.run.parameters)
        return await self._in_own_process(name, line, one, handle, handle.run_job(order))

    async def _taken_over(self, name: str, line: RunLine, one: OpenRun, handle: PluginHandle) -> RunEnd:
        if worker := line.workers.get(one.run.id):
            return await self._workers.carry_out_on(worker, one, self._limits.grace)
        return await self._in_own_process(name, line, one, handle, handle.outcome_of(one.run.id))

    async def _in_own_process(
        self,
        name: str,
        line: RunLine,
        one: OpenRun,
        handle: PluginHandle,
        outcome: Coroutine[Any, Any, tuple[RunOutcome, Report]],
    ) -> RunEnd:
        end = await carry_out(
            one, handle, outcome, lambda why: self._watcher.put_down(name, handle, why), self._limits.grace
        )
        if end.report is not None:
            self._registry.report(name, end.report)
        if end.lost_process:
            line.notice = f"run {one.run.id}: {end.message}"
        return end

    def _give_back(
        self, name: str, line: RunLine, one: OpenRun, before: Run, kept: asyncio.Future[None], error: StateUnavailable
    ) -> None:
        """Leave a run as it was that could not be kept as running, so that it is not run."""
        one.run = before
        if worker := line.workers.get(before.id):
            self._workers.give_back(worker)
        self._leave_place(line, before.id)
        if not one.is_stored:  # it is new, and nobody has been told of it
            kept.set_exception(error)
            return
        _log.error("run %d of %s waits until it can be kept that it runs: %s", before.id, name, error)
        line.queued.insert(0, one)
        line.is_held = True
        asyncio.get_running_loop().call_later(TRY_AGAIN, self._go_on, name, line)

    def _go_on(self, name: str, line: RunLine) -> None:
        line.is_held = False
        if self._lines.get(name) is line:
            self.pump(name)

    def _aside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something for which nobody waits."""

        async def do() -> None:
            try:
                await work()
            except IocmngError as error:
                _log.warning("%s", error)

        task = asyncio.create_task(do())
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)
