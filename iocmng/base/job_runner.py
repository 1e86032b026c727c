"""The runs of a job, one at a time."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from iocmng.base.board import StatusBoard
from iocmng.base.call_watch import CallWatch
from iocmng.base.job import JobBase, JobResult
from iocmng.base.parameters import CheckedParameters, ParameterRules
from iocmng.base.task_runner import AUTHOR_ERRORS, describe
from iocmng.core.builtin_pvs import JobState
from iocmng.core.json_values import json_problem
from iocmng.errors import InvalidRequest

_STATUS_WORDS = {JobState.RUNNING: "running", JobState.FAILED: "error"}


class JobRunner:
    """Runs one job. Not thread-safe: all its methods are called in the author's thread."""

    wake_at: float | None = None

    def __init__(
        self,
        job: JobBase,
        board: StatusBoard,
        watch: CallWatch | None = None,
        parameters: CheckedParameters | None = None,
    ) -> None:
        self._job = job
        self._board = board
        self._watch = watch or CallWatch(board, time)
        self._parameters = parameters or ParameterRules().check(job.parameters)

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
        job.cancelled = False
        self._board.progress(0)
        self._show(JobState.RUNNING, "")
        result = self._finished(self._execute(parameters or {}))
        self._give(self._parameters)
        job.last_result = result
        if result.success:
            self._board.progress(100)
        self._show(JobState.SUCCESS if result.success else JobState.FAILED, result.message)
        return result.to_dict()

    def _give(self, parameters: CheckedParameters) -> None:
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
