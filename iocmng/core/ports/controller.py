"""What the API needs of the Controller."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.builtin_pvs import Kind
from iocmng.core.log_lines import LogPage
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.runs import Run, RunRequest, RunState
from iocmng.core.state import Applied, Event, Generation, Snapshot


class ControllerClient(Protocol):
    """What the API knows of the Controller. Calls that change something return the version to wait for."""

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """Add a plugin; with `wait`, return when it is up or raise why it is not."""
        ...

    async def remove(self, name: str, kind: Kind | None) -> int:
        """Stop and forget a plugin."""
        ...

    async def restart(self, name: str, kind: Kind | None) -> int:
        """Fetch a plugin again and replace it."""
        ...

    async def rollback(self, name: str, kind: Kind | None, generation: int | None) -> int:
        """Replace a plugin by an earlier generation of it; None is the newest that ran before the present one."""
        ...

    async def change(self, name: str, kind: Kind | None, change: PluginChange) -> int:
        """Change what is desired of a plugin, and replace it where that is needed."""
        ...

    async def apply(self, owner: str, requests: Sequence[PluginRequest]) -> tuple[list[Applied], int]:
        """Make the plugins that `owner` (a plugins file, by its path) asks for what its entries say, and no others."""
        ...

    async def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        ...

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return events, oldest first: of one plugin or of all, the newest `limit` of those above the id `after`."""
        ...

    async def set_running(self, name: str, kind: Kind | None, running: bool) -> int:
        """Start or stop a plugin's cycles."""
        ...

    async def run_job(self, name: str, request: RunRequest, wait: bool) -> tuple[Run, int]:
        """Ask for a run of a job; return it, ended if `wait` says so, and the version to wait for."""
        ...

    async def cancel_run(self, name: str, run: int, wait: bool) -> tuple[Run, int]:
        """Cancel a run that has not ended; return it, ended if `wait` says so, and the version to wait for."""
        ...

    async def runs(self, name: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return runs of a job without their log lines, newest first; for the arguments see StateStore.runs."""
        ...

    async def run(self, name: str, run: int) -> Run:
        """Return a run of a job, with its log lines."""
        ...

    async def logs(self, name: str, tail: int, after: int | None, within: float = 0.0) -> LogPage:
        """Return a plugin's newest log lines, or the oldest of those behind the number `after`; oldest first.

        Where there is none behind it yet, wait for one, so many seconds at most.
        """
        ...

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries of the audit; return when they are kept."""
        ...

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries of the audit, newest first."""
        ...

    async def watch(self, epoch: str, after: int) -> Snapshot:
        """Wait until the snapshot is newer than `after`; return what changed since, or all of it."""
        ...
