"""The calls for the runs of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

from iocmng.cluster.calls import Calls
from iocmng.core.builtin_pvs import Kind
from iocmng.core.runs import Run, RunRequest, RunState
from iocmng.core.secrets import without_secrets
from iocmng.errors import WrongKind


class RunCalls(Calls):
    """Run, cancel, and what has become of the runs; runs.py does the work."""

    async def run_job(self, name: str, request: RunRequest, wait: bool) -> tuple[Run, int]:
        """Ask for a run of a job; return it and the version that shows it.

        Args:
            name: Name of the job.
            request: What to run it with.
            wait: Return when it has ended, however it did; else when the store keeps it.

        Raises:
            WrongKind: If it is a task.
            WrongState: If it is not up.
            InvalidRequest: If a parameter does not fit; there is no run then.
            TooManyRuns: If as many runs wait as may.
            StateUnavailable: If it cannot be kept; it is not run then.
        """
        self._find_job(name)
        one = await self._runs.request(name, request)
        asked = await asyncio.shield(one.ended) if wait else one.run
        if not wait:
            self._registry.refresh((name,))
        return self._shown(replace(asked, log=())), self._registry.announced

    async def cancel_run(self, name: str, run: int, wait: bool) -> tuple[Run, int]:
        """Cancel a run; return it and the version that shows it.

        Args:
            name: Name of the job.
            run: Id of the run.
            wait: Return when it has ended, however it did; else at once.

        Raises:
            UnknownRun: If there is none of this id.
            WrongState: If it has ended already.
        """
        self._find_job(name)
        one = await self._runs.cancel(name, run)
        run_now = await asyncio.shield(one.ended) if wait or one.ended.done() else one.whole()
        return self._shown(run_now), self._registry.announced

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs without their log lines, newest first; see StateStore.runs."""
        self._find_job(name)
        return [self._shown(run) for run in await self._runs.runs(name, states, before, limit)]

    async def run(self, name: str, run: int) -> Run:
        """Return a run of a job with its log lines.

        Raises:
            UnknownRun: If there is none of this id.
        """
        self._find_job(name)
        return self._shown(await self._runs.run(name, run))

    def _shown(self, run: Run) -> Run:
        """Return a run without the secrets among its parameters."""
        return replace(run, parameters=without_secrets(run.parameters, self._registry.secrets_of(run.job)))

    def _find_job(self, name: str) -> None:
        spec, status = self._find(name, None), self._registry.observed.get(name)
        if (status.facts.kind if status and status.facts else spec.kind) is Kind.TASK:
            raise WrongKind(f"{name} is a task: only jobs are run this way; a triggered task runs by its RUN PV")
