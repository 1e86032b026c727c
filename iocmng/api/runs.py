"""From runs as the Controller keeps them to the objects of the REST contract."""

from __future__ import annotations

from typing import Any

from iocmng.api.history import iso_time
from iocmng.core.runs import Run, RunState
from iocmng.errors import IocmngError, PluginCrashed, RunCancelled, TimedOut

_ERRORS: dict[RunState, type[IocmngError]] = {
    RunState.CANCELLED: RunCancelled,
    RunState.TIMED_OUT: TimedOut,
    RunState.LOST: PluginCrashed,
}


def run_news(run: Run) -> dict[str, Any]:
    """Return a run as the stream of events shows it."""
    return {
        "run_id": run.id,
        "job": run.job,
        "state": run.state.value,
        "who": run.who,
        "cause": run.cause.value,
        "generation": run.generation,
        "queued_at": iso_time(run.queued_at),
        "started_at": _iso_or_none(run.started_at),
        "ended_at": _iso_or_none(run.ended_at),
        "timeout": run.timeout,
        "progress": round(run.progress, 3),
        "message": run.message,
    }


def run_summary(run: Run) -> dict[str, Any]:
    """Return a run without its log lines."""
    return {**run_news(run), "parameters": dict(run.parameters), "result": run.result}


def run_object(run: Run) -> dict[str, Any]:
    """Return a run."""
    return {**run_summary(run), "log": list(run.log)}


def result_object(run: Run) -> dict[str, Any]:
    """Return what a run that has ended by itself returned."""
    if run.result is not None:
        return dict(run.result)
    return {"success": False, "data": None, "message": run.message, "timestamp": _iso_or_none(run.ended_at)}


def run_error(run: Run) -> IocmngError | None:
    """Return the error for a run that has not ended by itself, or None if it has."""
    kind = _ERRORS.get(run.state)
    if kind is None:
        return None
    error = kind(f"run {run.id} of {run.job} was {_WORDS[run.state]}: {run.message}")
    error.run_id = run.id
    return error


_WORDS = {RunState.CANCELLED: "cancelled", RunState.TIMED_OUT: "ended", RunState.LOST: "lost"}


def _iso_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else iso_time(seconds)
