"""What takes more than one call: to wait for a run, to follow a log. Without sending and without sleeping.

A conversation is a generator. It yields a Call, and is given its answer or the error it raised; a Pause, to be
continued after so many seconds; or a Tell, which is for the caller.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from iocmng.client import calls
from iocmng.client.call import Call
from iocmng.client.objects import ENDED, LogLines, Run
from iocmng.client.replies import error_class
from iocmng.errors import ServerUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_LINES = 10_000
_CODES = {"cancelled": "run-cancelled", "timed_out": "timed-out", "lost": "plugin-crashed"}


@dataclass(frozen=True, slots=True)
class Pause:
    """Continue after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Tell(Generic[Item]):
    """Something for the caller."""

    item: Item


Conversation = Generator[Call[Any] | Pause | Tell[Item], Any, Result]


def run_to_end(
    name: str, parameters: calls.Parameters | None, timeout: float | None, patience: float
) -> Conversation[Run, Run]:
    """Start a run, tell of each change, and return it when it has ended with a result.

    Raises:
        RunCancelled: If it was cancelled.
        TimedOut: If it took longer than its limit.
        PluginCrashed: If it was lost with its process.
    """
    started = yield calls.submit_job(name, parameters, timeout=timeout)
    run = yield from run_followed(name, started["run_id"], patience, first=started["run"])
    raise_unless_finished(run)
    return run


def run_followed(name: str, run_id: int, patience: float, first: Run | None = None) -> Conversation[Run, Run]:
    """Tell of each change of a run, and return it when it has ended, however it did."""
    run: Run = first or (yield calls.get_run(name, run_id))
    yield Tell(run)
    for pause in _pauses(0.1, 1.0):
        if run["state"] in ENDED and "log" in run:
            break
        yield Pause(pause)
        before = run
        run = yield from _patiently(calls.get_run(name, run_id), patience)
        if _shown(run) != _shown(before):
            yield Tell(run)
    return run


def raise_unless_finished(run: Run) -> None:
    """Raise the error of a run that ended without a result; a job that returned failure has one."""
    if code := _CODES.get(run["state"]):
        message = run["message"] or f"it ended as {run['state']}"
        error = error_class(code)(f"run {run['run_id']} of {run['job']}: {message}")
        error.run_id = run["run_id"]
        raise error


def log_followed(name: str, tail: int, patience: float) -> Conversation[LogLines, None]:
    """Tell of the newest lines, then of each further one, once."""
    page: LogLines = yield calls.logs(name, tail=tail)
    yield Tell(page)
    pauses = _pauses(0.25, 1.0)
    while True:
        yield Pause(next(pauses))
        page = yield from _patiently(calls.logs(name, tail=_MOST_LINES, after=page["next"]), patience)
        if page["lines"] or page["missed"]:
            pauses = _pauses(0.25, 1.0)
            yield Tell(page)


def _patiently(call: Call[Result], patience: float) -> Conversation[Any, Result]:
    """Make a read again while the server is away; give up after so many seconds."""
    waited = 0.0
    for pause in _pauses(0.25, 5.0):
        try:
            return (yield call)
        except ServerUnavailable:
            if waited >= patience:
                raise
        yield Pause(pause)
        waited += pause
    raise AssertionError("the pauses never end")


def _pauses(first: float, longest: float) -> Iterator[float]:
    pause = first
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


def _shown(run: Run) -> tuple[Any, ...]:
    return run["state"], run["progress"], run["message"]
