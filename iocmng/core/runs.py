"""Runs of jobs: what is known of one, which state may follow which, and what is to be started when. Pure.

QUEUED -> RUNNING -> SUCCESS | FAILED | CANCELLED | TIMED_OUT | LOST
   |
   +-> CANCELLED | LOST
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from iocmng.errors import TooManyRuns, WrongState

RUN_LOG_LINES = 1000
"""Log lines kept with a run: the newest."""


class RunState(StrEnum):
    """Where a run is on its way."""

    QUEUED = "queued"  # it waits until its job is free
    RUNNING = "running"  # its process has been told to run it
    SUCCESS = "success"
    FAILED = "failed"  # it ended, and says that it failed, or it raised
    CANCELLED = "cancelled"  # somebody asked for its end
    TIMED_OUT = "timed_out"  # it took longer than its limit
    LOST = "lost"  # nobody knows how it ended: its process or the Controller died, or the server was restarted


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.RUNNING, RunState.CANCELLED, RunState.LOST}),
    RunState.RUNNING: frozenset(
        {RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED, RunState.TIMED_OUT, RunState.LOST}
    ),
    **dict.fromkeys(
        (RunState.SUCCESS, RunState.FAILED, RunState.CANCELLED, RunState.TIMED_OUT, RunState.LOST), frozenset()
    ),
}

OPEN = frozenset({RunState.QUEUED, RunState.RUNNING})
ENDED = frozenset(RunState) - OPEN


class RunCause(StrEnum):
    """What a run was started by."""

    REST = "rest"
    PV = "pv"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, as GET /jobs/{name}/runs shows it. All times are seconds since 1970-01-01 UTC.

    Attributes:
        id: Rises with every run on this server, whatever its job, and is never used twice.
        parameters: Those given with the run; they are laid over the job's own.
        who: Who asked for it, in a word.
        generation: Generation of the job that ran it, or, while it is queued, that it was asked of.
        timeout: Seconds from its start after which it is ended; None is no limit.
        progress: From 0 to 100.
        message: What it says of itself, or why it ended as it did.
        result: What the job returned: success, data, message, timestamp.
        log: Lines that were logged while it ran, the newest.
    """

    id: int
    job: str
    state: RunState
    queued_at: float
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    who: str = ""
    cause: RunCause = RunCause.REST
    generation: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    timeout: float | None = None
    progress: float = 0.0
    message: str = ""
    result: Mapping[str, Any] | None = None
    log: tuple[str, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    def moved(self, state: RunState, **changes: Any) -> Run:
        """Return the run in another state.

        Raises:
            WrongState: If that state may not follow its present one.
        """
        if state not in TRANSITIONS[self.state]:
            raise WrongState(f"run {self.id} of {self.job} is {self.state.value} and cannot become {state.value}")
        return replace(self, state=state, **changes)


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What the settings say of runs.

    Attributes:
        queued: Runs of one job that may wait.
        grace: Seconds that a run has to end after it was told to; then its process is killed and replaced.
        timeout: Seconds that a run may take that was asked for without a limit of its own; None is no limit.
    """

    queued: int = 20
    grace: float = 5.0
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What a plugin's process is told to run.

    Attributes:
        run: Id of the run.
        parameters: Laid over the job's own, for this run alone.
        pvs: Values of the job's PVs, for a process that serves none; None for the one that does.
    """

    run: int
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pvs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a plugin's process says of a run that has ended.

    Attributes:
        result: success, data, message, timestamp.
        was_cancelled: Whether it ended because it was told to: it looked at `cancelled` and found it true, or it did
            not end with success. One that ended with success before it noticed was not cancelled.
        log: Lines that were logged while it ran, the newest.
    """

    result: Mapping[str, Any]
    was_cancelled: bool = False
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldRun:
    """The newest run that a process was told of. It keeps how that ended until it is told of another one.

    Attributes:
        run: Id of the run.
        goes_on: Whether it has not ended.
    """

    run: int
    goes_on: bool


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a plugin's process says of the run that goes on in it.

    Attributes:
        run: Id of the run.
        progress: From 0 to 100.
        message: The last message since it began.
        log: Lines since the report before.
    """

    run: int
    progress: float = 0.0
    message: str = ""
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What somebody asks for.

    Attributes:
        timeout: Seconds from its start; None leaves it to the setting.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timeout: float | None = None
    cause: RunCause = RunCause.REST
    who: str = "rest"


def check_queue(job: str, queued: int, running: int, concurrency: int, limits: RunLimits) -> None:
    """Check that one more run may be asked for.

    Raises:
        TooManyRuns: If as many wait already as the setting allows.
    """
    if queued >= limits.queued and queued + running >= concurrency:
        raise TooManyRuns(
            f"{queued} runs of {job} wait already, and no more may (IOCMNG_RUNS_QUEUED); try again when some have ended"
        )


def to_start(queued: Iterable[int], running: int, concurrency: int) -> list[int]:
    """Return which of the queued runs, oldest first, may start now."""
    return sorted(queued)[: max(0, concurrency - running)]


def outcome_state(outcome: RunOutcome, asked: RunState | None) -> RunState:
    """Return the state in which a run has ended.

    Args:
        outcome: What its process says.
        asked: CANCELLED or TIMED_OUT where it had been told to end.
    """
    if asked is not None and outcome.was_cancelled:
        return asked
    return RunState.SUCCESS if outcome.result.get("success") else RunState.FAILED
