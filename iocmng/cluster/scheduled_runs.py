"""The runs of the Controller's jobs, as the scheduler needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iocmng.cluster.runs import Runs
from iocmng.core.runs import OPEN, RunCause, RunRequest

MOST_OPEN = 100
"""Open runs of a job that are looked at; no more can be queued and running where nobody has raised the limits."""


class ScheduledRuns:
    """Implements scheduler.RunsToSchedule with the runs of all jobs."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def open_scheduled_run(self, job: str) -> int | None:
        """Return a run of a job that a schedule has started and that has not ended, or None."""
        open_runs = await self._runs.runs(job, OPEN, None, MOST_OPEN)
        return next((run.id for run in open_runs if run.cause is RunCause.SCHEDULE), None)

    async def start_scheduled_run(self, job: str, parameters: Mapping[str, Any]) -> int:
        """Ask for a run of a job, and return its number."""
        request = RunRequest(parameters=dict(parameters), cause=RunCause.SCHEDULE, who="schedule")
        return (await self._runs.request(job, request)).run.id
