"""One run in one process: it is told to run, to end, and at last its process is killed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from iocmng.cluster.run_book import OpenRun
from iocmng.core.ports.processes import PluginHandle
from iocmng.core.runs import Run, RunOutcome, RunState, outcome_state
from iocmng.core.spec import Report
from iocmng.errors import IocmngError, PluginCrashed

_log = logging.getLogger(__name__)

_Call = asyncio.Future[tuple[RunOutcome, Report]]


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended.

    Attributes:
        report: What its process says then; None if it is gone.
        lost_process: Whether its process ended with it.
    """

    state: RunState
    message: str
    result: Mapping[str, Any] | None = None
    log: tuple[str, ...] = ()
    report: Report | None = None
    lost_process: bool = False

    def progress(self, run: Run) -> float:
        """Return how far the run came."""
        return 100.0 if self.state is RunState.SUCCESS else run.progress


async def carry_out(
    one: OpenRun,
    handle: PluginHandle,
    outcome: Coroutine[Any, Any, tuple[RunOutcome, Report]],
    put_down: Callable[[str], Awaitable[None]],
    grace: float,
) -> RunEnd:
    """Have a process run a job once, and see to its end.

    Args:
        one: The run.
        handle: The process.
        outcome: Brings the outcome: run_job() of the process, or outcome_of() where it knows the run already.
        put_down: Kills the process where the run does not end otherwise; is told why.
        grace: Seconds that the run has to end after it was told to.
    """
    call: _Call = asyncio.ensure_future(outcome)
    try:
        await _until_it_is_to_end(one, call)
        if not call.done():
            await _end(one, call, handle, put_down, grace)
        ended, report = await call
    except PluginCrashed as error:
        return _without_process(one, str(error))
    except IocmngError as error:
        return RunEnd(RunState.FAILED, str(error))
    finally:
        call.cancel()
    if ended.was_cancelled and one.asked is None:
        one.ask(*_asked_before(one.run))
    state = outcome_state(ended, one.asked)
    message = str(ended.result.get("message") or "")
    if state is one.asked and (one.is_leaving or state is RunState.TIMED_OUT):
        message = f"{one.why}; {message}" if message else one.why
    elif state is one.asked:
        message = message or one.why
    return RunEnd(state, message, ended.result, ended.log, report)


async def _until_it_is_to_end(one: OpenRun, call: _Call) -> None:
    """Wait until a run has ended, or is to end: somebody asks for it, or its time is over."""
    asking = asyncio.create_task(one.asking.wait())
    try:
        await asyncio.wait((call, asking), timeout=_left(one.run), return_when=asyncio.FIRST_COMPLETED)
    finally:
        asking.cancel()
    if not call.done() and one.asked is None:
        one.ask(RunState.TIMED_OUT, _too_long(one.run))


def _left(run: Run) -> float | None:
    """Return the seconds that a run may still take: it may have begun under an earlier Controller."""
    if run.timeout is None or run.started_at is None:
        return run.timeout
    return min(run.timeout, max(0.0, run.started_at + run.timeout - time.time()))


def _too_long(run: Run) -> str:
    return f"it took longer than {run.timeout:g} s"


def _asked_before(run: Run) -> tuple[RunState, str]:
    """Return why a run was told to end, where an earlier Controller has told it."""
    if _left(run) == 0:
        return RunState.TIMED_OUT, _too_long(run)
    return RunState.CANCELLED, "cancelled"


async def _end(
    one: OpenRun, call: _Call, handle: PluginHandle, put_down: Callable[[str], Awaitable[None]], grace: float
) -> None:
    """Tell a run to end; kill its process if it does not, unless somebody else is about to end that."""
    telling = asyncio.ensure_future(handle.cancel_run(one.run.id))
    telling.add_done_callback(_ignore)
    await asyncio.wait((call,), timeout=grace)
    if call.done() or one.is_leaving:
        return
    one.is_killed = True
    why = f"run {one.run.id} was told to end ({one.why}) and did not within {grace:g} s"
    _log.warning("%s: %s; its process is killed", one.run.job, why)
    await put_down(why)


def _without_process(one: OpenRun, error: str) -> RunEnd:
    """Return the end of a run whose process is gone."""
    if one.asked is not None and one.is_killed:
        return RunEnd(one.asked, f"{one.why}; it did not end in time, so its process was replaced", lost_process=True)
    if one.asked is not None and one.is_leaving:
        return RunEnd(one.asked, f"{one.why}; its process ended before it had", lost_process=True)
    return RunEnd(RunState.LOST, f"{error}; nobody knows how much of the run was done", lost_process=True)


def _ignore(told: asyncio.Future[None]) -> None:
    """Take note of the outcome: a process that cannot be told is found by the call that waits for its run."""
    if not told.cancelled():
        told.exception()
