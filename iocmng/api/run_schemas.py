"""What the calls about runs of jobs take and answer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from iocmng.api.schemas import Answer, Done
from iocmng.core.json_values import json_problem
from iocmng.core.runs import RunCause, RunState


class RunRequest(BaseModel):
    """The body of a run; it may be absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    parameters: dict[str, Any] = {}
    """Laid over the job's parameters for this run."""
    timeout: Annotated[float | None, Field(gt=0, le=31_536_000, allow_inf_nan=False)] = None
    """Seconds from its start after which it is ended; unset: IOCMNG_RUN_TIMEOUT."""
    wait: bool = True
    """Whether to answer when the run has ended, with its result; else with 202 when it is kept."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _null(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("parameters")
    @classmethod
    def _plain_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        if problem := json_problem(value):
            raise ValueError(problem)
        return value


class JobResultObject(Answer):
    """What a job returned."""

    success: bool
    data: Any
    message: str
    timestamp: str
    """ISO 8601."""


class RunAnswer(Answer):
    """A job has run."""

    ok: bool
    """Whether the job was a success: the same as result.success."""
    result: JobResultObject
    run_id: int


class RunSummary(Answer):
    """One run of a job, without its log lines."""

    run_id: int
    """Rises with every run on this server; never used twice."""
    job: str
    state: RunState
    parameters: dict[str, Any]
    """Those given with the run."""
    who: str
    """Who asked for it."""
    cause: RunCause
    generation: int
    """Generation of the job that ran it."""
    queued_at: str
    """ISO 8601, as all times."""
    started_at: str | None
    ended_at: str | None
    timeout: float | None
    """Seconds from its start after which it is ended; null: no limit."""
    progress: float
    """0 to 100."""
    message: str
    """What it says of itself, or why it ended as it did."""
    result: JobResultObject | None
    """null while it has none: it has not ended, or was ended from outside."""


class RunObject(RunSummary):
    """One run of a job."""

    log: list[str]
    """Lines that were logged while it ran, the newest 1000."""


class RunList(Answer):
    """Runs of a job, newest first."""

    runs: list[RunSummary]
    count: int
    next: str | None
    """Path of the following page; null: this is the last one."""


class RunBegun(Done):
    """The run is kept; it goes on, or waits for its turn."""

    run_id: int
    run: RunObject


class RunEnded(Done):
    """The run has been told to end, and has ended unless the call did not wait for that."""

    run: RunObject
