"""The further processes of jobs whose config.yaml lets several runs go on at once; they serve no PVs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from iocmng.cluster.hearing import ANSWER_EVERY, check_hung, hear
from iocmng.cluster.registry import Registry
from iocmng.cluster.run_book import OpenRun, RunBook
from iocmng.cluster.run_execution import RunEnd, carry_out
from iocmng.cluster.watcher import Watcher
from iocmng.core.builtin_pvs import JobState
from iocmng.core.manifest import Watchdog
from iocmng.core.ports.processes import FoundFurther, PluginHandle
from iocmng.core.pv_fields import PvValue
from iocmng.core.runs import RunOrder, RunOutcome, RunState
from iocmng.core.spec import Report
from iocmng.errors import IocmngError, PluginCrashed, WrongState

IDLE_FOR = 10.0
"""Seconds that a further process waits for another run before it is ended."""

SHOW_EVERY = 0.1
"""Seconds between two looks at what a run in a further process sets; each costs a call to both processes."""

SPAWN_AGAIN = 10.0
"""Seconds until a further process is tried again that could not be made."""

_LAST = 2**62
"""Version of what is said of a run in place of its process, which says nothing more."""

_log = logging.getLogger(__name__)


Further = tuple[PluginHandle, Watchdog | None]
"""A further process, and what its config.yaml says of calls that hang."""


@dataclass(slots=True, eq=False)
class Worker:
    """A further process of a job.

    Attributes:
        watchdog: What config.yaml says of calls that hang.
        run: The run that goes on in it.
        ending: Ends it when it has been idle for long enough.
    """

    job: str
    handle: PluginHandle
    watchdog: Watchdog | None = None
    run: int | None = None
    follower: asyncio.Task[None] | None = None
    ending: asyncio.TimerHandle | None = None


class Workers:
    """The further processes of all jobs.

    Args:
        registry: Takes the log lines.
        book: Has the runs.
        watcher: Has the jobs' own processes, which show what the newest run sets.
        pump: Has what waits looked at again, by the job's name.

    Attributes:
        spawn: Makes a further process of a job, by its name.
    """

    def __init__(self, registry: Registry, book: RunBook, watcher: Watcher, pump: Callable[[str], None]) -> None:
        self._registry = registry
        self._book = book
        self._watcher = watcher
        self._pump = pump
        self._workers: dict[str, list[Worker]] = {}
        self._starting: dict[str, list[asyncio.Task[None]]] = {}
        self._not_before: dict[str, float] = {}
        self._silent: set[Worker] = set()
        self._ends: set[asyncio.Task[None]] = set()
        self.spawn: Callable[[str], Awaitable[Further]] | None = None

    def take(self, job: str, run: int) -> Worker | None:
        """Return an idle further process of a job, for this run."""
        for worker in self._workers.get(job, ()):
            if worker.run is None:
                worker.run = run
                if worker.ending is not None:
                    worker.ending.cancel()
                return worker
        return None

    def idle(self, job: str) -> int:
        """Return how many further processes of a job wait for a run."""
        return sum(worker.run is None for worker in self._workers.get(job, ()))

    def ensure(self, job: str, wanted: int) -> None:
        """Begin to make further processes until so many of them wait for a run, or are being made."""
        loop = asyncio.get_running_loop()
        if self.spawn is None or self._not_before.get(job, 0.0) > loop.time():
            return
        for _ in range(wanted - self.idle(job) - len(self._starting.get(job, ()))):
            task = asyncio.create_task(self._start(job), name=f"further process of {job}")
            self._starting.setdefault(job, []).append(task)

    def give_back(self, worker: Worker) -> None:
        """Note that a run has ended in a further process."""
        worker.run = None
        if worker in self._workers.get(worker.job, ()):
            worker.ending = asyncio.get_running_loop().call_later(IDLE_FOR, self._end_soon, worker)

    async def carry_out(self, worker: Worker, one: OpenRun, grace: float) -> RunEnd:
        """Have a further process run a job once; the PVs show what it sets as long as it is the newest run."""
        job, run = worker.job, one.run.id
        try:
            values = await self._values(job)
        except (IocmngError, TimeoutError) as error:
            self.give_back(worker)
            return RunEnd(RunState.FAILED, f"{job} did not tell the values of its PVs, so it was not run: {error!r}")
        begins = Report(0, "running", JobState.RUNNING.value, "", True, puts=(("PROGRESS", 0, None),))
        await self._show(job, run, begins)
        order = RunOrder(run, one.run.parameters, values)
        return await self._see_to_its_end(worker, one, worker.handle.run_job(order), grace)

    async def carry_out_on(self, worker: Worker, one: OpenRun, grace: float) -> RunEnd:
        """Do the same for a run of which an earlier Controller has told it."""
        return await self._see_to_its_end(worker, one, worker.handle.outcome_of(one.run.id), grace)

    def take_over(self, found: FoundFurther, run: int) -> Worker:
        """Return the further process that an earlier Controller has left, for its run."""
        worker = self._add(found.spec.name, found.handle, found.bundle.manifest.watchdog)
        worker.run = run
        return worker

    async def _see_to_its_end(
        self, worker: Worker, one: OpenRun, outcome: Coroutine[Any, Any, tuple[RunOutcome, Report]], grace: float
    ) -> RunEnd:
        job, run = worker.job, one.run.id
        end = await carry_out(one, worker.handle, outcome, worker.handle.kill, grace)
        if end.lost_process:
            await self._until_it_is_gone(worker, run, end.message)
        if end.report is not None:
            self._registry.log(job, end.report.log)
            await self._show(job, run, end.report)
        else:
            await self._show(job, run, Report(_LAST, "error", JobState.FAILED.value, f"run {run}: {end.message}"))
        self.give_back(worker)
        return end

    async def _until_it_is_gone(self, worker: Worker, run: int, why: str) -> None:
        """Wait as long as a process that cannot be reached may go on with its run, which keeps its place until then."""
        await worker.handle.kill(why)
        while unseen := await worker.handle.unseen_for():
            _log.warning("run %d of %s may go on for %.0f s on a node that cannot be reached", run, worker.job, unseen)
            await asyncio.sleep(unseen)

    def end_all(self, job: str) -> Awaitable[object]:
        """Begin to end all further processes of a job in good order; return what to await until they are gone."""
        cancelled = self._starting.pop(job, [])
        for task in cancelled:
            task.cancel()
        ends = [self._end_soon(worker) for worker in list(self._workers.get(job, ()))]
        self._not_before.pop(job, None)
        return asyncio.gather(*ends, *cancelled, return_exceptions=True)

    def jobs(self) -> set[str]:
        """Return the jobs that have further processes, or are about to."""
        return {*self._workers, *self._starting}

    async def abandon(self) -> None:
        """Stop watching; the processes go on with what they do."""
        tasks = [task for starting in self._starting.values() for task in starting]
        tasks += [worker.follower for all_ in self._workers.values() for worker in all_ if worker.follower]
        for worker in (worker for all_ in self._workers.values() for worker in all_):
            if worker.ending is not None:
                worker.ending.cancel()
        tasks += self._ends
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, job: str) -> None:
        task = asyncio.current_task()
        try:
            assert self.spawn is not None
            handle, watchdog = await self.spawn(job)
        except IocmngError as error:
            self._not_before[job] = asyncio.get_running_loop().time() + SPAWN_AGAIN
            _log.error("%s gets no further process for a run, which waits for another: %s", job, error)
        else:
            self.give_back(self._add(job, handle, watchdog))
        finally:
            starting = self._starting.get(job, [])
            if task in starting:
                starting.remove(task)
            if not starting:
                self._starting.pop(job, None)
        self._pump(job)

    def _add(self, job: str, handle: PluginHandle, watchdog: Watchdog | None) -> Worker:
        worker = Worker(job, handle, watchdog)
        self._workers.setdefault(job, []).append(worker)
        worker.follower = asyncio.create_task(self._follow(worker), name=f"follow a further process of {job}")
        return worker

    async def _follow(self, worker: Worker) -> None:
        """Hand on what a further process reports, until it ends."""
        try:
            while True:
                report = await hear(worker.handle, worker.watchdog, lambda seconds: self._note_silence(worker, seconds))
                self._silent.discard(worker)
                await self._take(worker, report)
                check_hung(report, worker.watchdog)
                if worker.run is not None:
                    await asyncio.sleep(SHOW_EVERY)
        except PluginCrashed as error:
            if self._forget(worker):
                _log.error("a further process of %s: %s", worker.job, error)
                await worker.handle.kill(str(error))
                self._pump(worker.job)

    def _note_silence(self, worker: Worker, seconds: float) -> None:
        if worker not in self._silent:
            self._silent.add(worker)
            what = f"with run {worker.run} of {worker.job}" if worker.run is not None else f"of {worker.job}"
            _log.error(
                "the further process %s does not answer for more than %g s; cancel the run to end it", what, seconds
            )

    async def _take(self, worker: Worker, report: Report) -> None:
        self._registry.log(worker.job, report.log)
        if report.run is not None and (one := self._book.find(worker.job, report.run.run)) and not one.run.has_ended:
            self._book.report(one, report.run)
        if report.run is not None:
            await self._show(worker.job, report.run.run, report)

    async def _values(self, job: str) -> Mapping[str, PvValue]:
        async with asyncio.timeout(ANSWER_EVERY):
            handle = self._watcher.handles.get(job)
            if handle is None:
                raise WrongState(f"{job} is not up")
            return await handle.pv_values()

    async def _show(self, job: str, run: int, report: Report) -> None:
        """Have the job's own process show it; where that is being replaced, nobody does."""
        if handle := self._watcher.handles.get(job):
            try:
                async with asyncio.timeout(ANSWER_EVERY):
                    await handle.follow_run(run, report.without_log())
            except (IocmngError, TimeoutError) as error:
                _log.warning("what run %d of %s sets is not shown: %r", run, job, error)

    def _end_soon(self, worker: Worker) -> asyncio.Task[None]:
        task = asyncio.create_task(self._end(worker), name=f"end a further process of {worker.job}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task

    async def _end(self, worker: Worker) -> None:
        if not self._forget(worker):
            return
        last = await worker.handle.stop()
        if last is not None:
            self._registry.log(worker.job, last.log)

    def _forget(self, worker: Worker) -> bool:
        """Take a process off the list; return whether it was on it."""
        workers = self._workers.get(worker.job, [])
        if worker not in workers:
            return False
        workers.remove(worker)
        self._silent.discard(worker)
        if not workers:
            del self._workers[worker.job]
        if worker.ending is not None:
            worker.ending.cancel()
        if worker.follower is not None and worker.follower is not asyncio.current_task():
            worker.follower.cancel()
        return True
