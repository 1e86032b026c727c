"""What the Controller needs of the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.runs import Run, RunState
from iocmng.core.state import Event, Generation, Loaded, PluginEntry


class StateStore(Protocol):
    """Keeps what must outlive every process. Blocking, and called by one thread at a time.

    Every call is one transaction: when it returns, its change survives the death of this process and of the machine;
    when it raises, nothing of it is kept. Every call raises StateUnavailable where the store cannot be read or written
    (a full disk, a database that is down), with what to do about it.
    """

    def load(self) -> Loaded:
        """Return everything that a Controller needs when it starts."""
        ...

    def save(self, entry: PluginEntry, generation: Generation | None = None) -> None:
        """Write a plugin, new or known, and with it the generation that has just started or failed, if there is one."""
        ...

    def delete(self, name: str) -> None:
        """Forget a plugin, its generations, its runs and its credential; its events stay.

        Nothing happens if it is not known.
        """
        ...

    def add_generation(self, generation: Generation) -> None:
        """Write a generation that failed, and its number as the plugin's newest; of the oldest some are dropped."""
        ...

    def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        ...

    def set_credential(self, name: str, credential: str | None) -> None:
        """Keep a plugin's PAT, encrypted, or forget it. It may come before the plugin itself is saved."""
        ...

    def credential(self, name: str) -> str | None:
        """Return a plugin's PAT.

        Raises:
            StateUnavailable: Also if it cannot be decrypted, because the key is another one.
        """
        ...

    def add_events(self, events: Sequence[Event]) -> None:
        """Write events, oldest first; beyond the store's limit the oldest are dropped."""
        ...

    def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return events, oldest first: of one plugin or of all, the newest `limit` of those above the id `after`."""
        ...

    def save_run(self, run: Run) -> None:
        """Write a run, new or known; nothing happens if its job is not known.

        Of the job's runs that have ended the oldest are dropped beyond the store's limit; those that have not, never.
        """
        ...

    def runs(self, job: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs without their log lines, newest first: `limit` at most, of ids below `before`.

        Args:
            job: Name of the job.
            states: Only runs in one of these states; empty is all.
            before: Only runs with a lower id; None is all.
            limit: Number of runs at most.
        """
        ...

    def run(self, job: str, run: int) -> Run | None:
        """Return a run of a job with its log lines, or None if there is none of this id."""
        ...

    def open_runs(self) -> list[Run]:
        """Return all runs that have not ended, of all jobs, oldest first."""
        ...

    def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries of the audit; beyond the store's limit for their kind the oldest are dropped."""
        ...

    def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries of the audit, newest first."""
        ...

    def close(self) -> None:
        """Let go of the store."""
        ...
