"""The runs of a job, one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from iocmng.base.author_errors import AUTHOR_ERRORS, describe
from iocmng.base.board import StatusBoard
from iocmng.base.call_watch import CallWatch
from iocmng.base.job import CancelFlag, JobBase, JobResult, new_flag
from iocmng.base.parameters import CheckedParameters, ParameterRules
from iocmng.core.builtin_pvs import JobState
from iocmng.core.results import RESULT_MAX_BYTES, ResultProblem, plain_result, shortened_message
from iocmng.core.runs import RunOrder, RunOutcome
from iocmng.errors import Cancelled, InvalidRequest

_STATUS_WORDS = {JobState.RUNNING: "running", JobState.FAILED: "error"}

LOCAL_RUN = 0
"""Stands for a run that nobody keeps: `iocmng run`, where RUN was written."""


class JobRunner:
    """Runs one job. run() and what it calls belong to the author's thread; the other methods may be called in any.

    Args:
        job: The author's object.
        board: Shows the newest run.
        watch: Notices an execute() that does not return.
        result_max_bytes: Largest result, in bytes of JSON.
        parameters: The job's own, with what checks those of a run.
    """

    wake_at: float | None = None

    def __init__(
        self,
        job: JobBase,
        board: StatusBoard,
        watch: CallWatch | None = None,
        result_max_bytes: int = RESULT_MAX_BYTES,
        parameters: CheckedParameters | None = None,
    ) -> None:
        self._job = job
        self._board = board
        self._watch = watch or CallWatch(board, time)
        self._result_max_bytes = result_max_bytes
        self._parameters = parameters or ParameterRules().check(job.parameters)
        self._lock = threading.Lock()
        self._expected: dict[int, bool] = {}  # runs that wait or go on, and whether they are to end
        self._current: int | None = None
        self._flag = CancelFlag()
        self._is_ending = False

    def prepare(self) -> None:
        """Show that the job waits for a run."""
        self._show(JobState.IDLE)

    def tick(self) -> None:
        """Do nothing: a job has no time of its own."""

    def expect(self, run: int) -> None:
        """Note that run() is going to be called for this run, so that it can be cancelled from now on."""
        with self._lock:
            self._expected[run] = self._is_ending

    def cancel(self, run: int) -> None:
        """Turn `cancelled` true for a run that waits or goes on; nothing happens if it has ended."""
        with self._lock:
            if run in self._expected:
                self._expected[run] = True
                if run == self._current:
                    self._flag.is_set = True

    def end(self) -> None:
        """Do the same for all runs, those that are still to come included: the process is about to end."""
        with self._lock:
            self._is_ending = True
            self._expected = dict.fromkeys(self._expected, True)
            self._flag.is_set = True

    def run(self, order: RunOrder | None = None) -> RunOutcome:
        """Run once; return what became of it. What the author's code raises becomes a failed result.

        Args:
            order: The run and its parameters; None runs with the job's own.
        """
        order = order or RunOrder(LOCAL_RUN)
        job = self._job
        if not self._begin(order.run):
            return RunOutcome(JobResult(False, message="cancelled before it began").to_dict(), was_cancelled=True)
        self._board.begin_run(order.run)
        self._board.progress(0)
        self._show(JobState.RUNNING, "")
        result = self._finished(self._execute(order.parameters))
        self._give(self._parameters)
        job.last_result = result
        was_cancelled = self._end(order.run, result)
        if result.success:
            self._board.progress(100)
        self._show(JobState.SUCCESS if result.success and not was_cancelled else JobState.FAILED, result.message)
        return RunOutcome(result.to_dict(), was_cancelled, self._board.end_run())

    def _begin(self, run: int) -> bool:
        """Note that a run begins; return False if it is to end before that."""
        with self._lock:
            if self._expected.setdefault(run, self._is_ending):
                del self._expected[run]
                return False
            self._current = run
            self._flag = new_flag(self._job)
            return True

    def _end(self, run: int, result: JobResult) -> bool:
        """Note that a run has ended; return whether that is because it was told to."""
        with self._lock:
            self._current = None
            return self._expected.pop(run, False) and (self._flag.was_seen or not result.success)

    def _give(self, parameters: CheckedParameters) -> None:
        # Those of the job itself stay hidden, too: its object may hold them.
        texts = {*self._parameters.secret_texts(), *parameters.secret_texts()}
        self._board.hide(sorted(texts, key=len, reverse=True))
        self._job.parameters, self._job.typed_parameters = dict(parameters.values), parameters.typed

    def _execute(self, parameters: Mapping[str, Any]) -> JobResult:
        job = self._job
        try:
            # Those of a call have been checked before; a run that RUN asks for, or after a reload, has not.
            self._give(self._parameters.of_run(parameters))
        except InvalidRequest as error:
            return JobResult(success=False, message=error.message)
        try:
            try:
                job.initialize()
                with self._watch.calling("execute()"):
                    outcome = job.execute()
            finally:
                job.cleanup()
        except Cancelled as error:
            return JobResult(success=False, message=str(error))
        except AUTHOR_ERRORS as error:
            job.logger.exception("run failed")
            return JobResult(success=False, message=describe(error))
        return outcome if isinstance(outcome, JobResult) else JobResult(success=True, data=outcome)

    def _finished(self, result: JobResult) -> JobResult:
        """Return the result if it can be kept, else a failed one that says why it cannot."""
        try:
            data = plain_result(result.data, self._result_max_bytes)
        except ResultProblem as problem:
            return JobResult(success=False, message=f"the job ended, but its result is of no use: {problem}")
        except AUTHOR_ERRORS as error:  # a tolist(), __iter__ or __str__ of the author's own
            return JobResult(success=False, message=f"the job ended, but its result is of no use: {describe(error)}")
        return JobResult(
            bool(result.success), data, shortened_message(self._board.clean(str(result.message))), str(result.timestamp)
        )

    def _show(self, state: JobState, message: str | None = None) -> None:
        word, running = _STATUS_WORDS.get(state, "loaded"), state is JobState.RUNNING
        self._board.show(status=word, running=running, state=state.value, message=message)
