"""The runs of one job: those that wait, and those that go on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from iocmng.cluster.run_book import OpenRun
from iocmng.cluster.run_workers import Worker
from iocmng.core.runs import RunState


@dataclass(slots=True, eq=False)
class RunLine:
    """The line before one job.

    Attributes:
        queued: Runs that wait, oldest first.
        running: Runs that go on, by id.
        tasks: What carries these out, by id.
        workers: Further processes in which they go on, by id; a run that is not here goes on in the job's own.
        is_held: Whether it waits because the store cannot be written.
        notice: What the job's next process has to show, because the one before could not.
    """

    queued: list[OpenRun] = field(default_factory=list[OpenRun])
    running: dict[int, OpenRun] = field(default_factory=dict[int, OpenRun])
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict[int, "asyncio.Task[None]"])
    workers: dict[int, Worker] = field(default_factory=dict[int, Worker])
    is_held: bool = False
    notice: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember."""
        return not (self.queued or self.tasks or self.notice)

    @property
    def is_own_free(self) -> bool:
        """Whether no run goes on in the job's own process."""
        return self.running.keys() <= self.workers.keys()


def overview(line: RunLine | None, last: tuple[int, RunState] | None) -> dict[str, Any]:
    """Return `runs` of the plugin object."""
    return {
        "queued": len(line.queued) if line else 0,
        "running": sorted(line.running) if line else [],
        "last": {"run_id": last[0], "state": last[1].value} if last else None,
    }
