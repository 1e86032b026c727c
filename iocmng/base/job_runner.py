"""The runs of a job, one at a time."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from iocmng.base.author_errors import AUTHOR_ERRORS, describe
from iocmng.base.board import StatusBoard
from iocmng.base.call_watch import CallWatch
from iocmng.base.job import JobBase, JobResult
from iocmng.core.builtin_pvs import JobState
from iocmng.core.json_values import deep_merge, json_problem

_STATUS_WORDS = {JobState.RUNNING: "running", JobState.FAILED: "error"}


class JobRunner:
    """Runs one job. Not thread-safe: all its methods are called in the author's thread."""

    wake_at: float | None = None

    def __init__(self, job: JobBase, board: StatusBoard, watch: CallWatch | None = None) -> None:
        self._job = job
        self._board = board
        self._watch = watch or CallWatch(board, time)
        self._parameters = dict(job.parameters)

    def prepare(self) -> None:
        """Show that the job waits for a run."""
        self._show(JobState.IDLE)

    def tick(self) -> None:
        """Do nothing: a job has no time of its own."""

    def run(self, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run once; return the result as a dictionary. What the author's code raises becomes a failed result.

        Args:
            parameters: Laid over the job's own parameters for this run alone.
        """
        job = self._job
        job.parameters = deep_merge(self._parameters, parameters or {})
        job.cancelled = False
        self._board.progress(0)
        self._show(JobState.RUNNING, "")
        result = self._finished(self._execute())
        job.parameters = dict(self._parameters)
        job.last_result = result
        if result.success:
            self._board.progress(100)
        self._show(JobState.SUCCESS if result.success else JobState.FAILED, result.message)
        return result.to_dict()

    def _execute(self) -> JobResult:
        job = self._job
        try:
            try:
                job.initialize()
                with self._watch.calling("execute()"):
                    outcome = job.execute()
            finally:
                job.cleanup()
        except AUTHOR_ERRORS as error:
            job.logger.error("run failed: %s", traceback.format_exc())
            return JobResult(success=False, message=describe(error))
        return outcome if isinstance(outcome, JobResult) else JobResult(success=True, data=outcome)

    def _finished(self, result: JobResult) -> JobResult:
        """Return the result if JSON can hold it, else a failed one that says what cannot be held."""
        try:
            data = to_jsonable_python(result.data)
            problem = json_problem(data, "data")
        except (PydanticSerializationError, ValueError) as error:
            data, problem = None, f"data cannot be written as JSON: {error}"
        if problem:
            return JobResult(success=False, message=f"the job ended, but its result is of no use: {problem}")
        return JobResult(bool(result.success), data, str(result.message), result.timestamp)

    def _show(self, state: JobState, message: str | None = None) -> None:
        word, running = _STATUS_WORDS.get(state, "loaded"), state is JobState.RUNNING
        self._board.show(status=word, running=running, state=state.value, message=message)
