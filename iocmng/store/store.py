"""SqlStateStore: the StateStore port on tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.runs import Run, RunState
from iocmng.core.state import Event, Generation, GenerationResult, Loaded, PluginEntry
from iocmng.store.audit_table import Counts, audit_of, last_audit, write_audit
from iocmng.store.codec import entry_of, entry_row, event_of, event_row, generation_of, generation_row, readable
from iocmng.store.credentials import Cipher
from iocmng.store.database import Database, upsert
from iocmng.store.models import credentials, events, generations, notes, plugins, runs
from iocmng.store.run_table import ended_runs, last_run, open_runs, run_of, runs_of, write_run

LAST_EVENT = "last_event"
"""Note that keeps the highest id of an event, also when the event itself is gone."""

_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of the past is kept: generations of each plugin, events, runs of each job, entries of the audit."""

    generations: int
    events: int
    runs: int
    audit: int


class SqlStateStore:
    """Keeps the state in a database. core.ports.store says what each call promises; opening.py makes one."""

    def __init__(self, database: Database, cipher: Cipher, kept: Kept) -> None:
        self._database = database
        self._cipher = cipher
        self._kept = kept
        # How many events there are, so that not every insert has to count; None where it is not known.
        self._event_count: int | None = None
        self._audit_counts: Counts | None = None

    def load(self) -> Loaded:
        """Return the plugins, by name, and the highest ids of an event and of a run."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(plugins).order_by(plugins.c.name)).mappings().all()
            last_event, last = _last_event(connection), last_run(connection)
            ended, audited = ended_runs(connection), last_audit(connection)
        return Loaded(tuple(entry_of(row) for row in rows), last_event, last, ended, audited)

    def save(self, entry: PluginEntry, generation: Generation | None = None) -> None:
        """Write a plugin and, with it, one of its generations."""
        with self._database.writing() as connection:
            upsert(connection, plugins, [entry_row(entry)])
            if generation is not None:
                self._write_generation(connection, generation)

    def delete(self, name: str) -> None:
        """Forget a plugin, its generations, its runs and its credential."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(runs).where(runs.c.job == name))
            connection.execute(sa.delete(generations).where(generations.c.plugin == name))
            connection.execute(sa.delete(credentials).where(credentials.c.name == name))
            connection.execute(sa.delete(plugins).where(plugins.c.name == name))

    def add_generation(self, generation: Generation) -> None:
        """Write a generation and its number as the plugin's newest; nothing happens if the plugin is not known."""
        name, number = generation.plugin, generation.number
        with self._database.writing() as connection:
            newest = connection.scalar(sa.select(plugins.c.newest).where(plugins.c.name == name))
            if newest is None:
                return
            connection.execute(sa.update(plugins).where(plugins.c.name == name).values(newest=max(newest, number)))
            self._write_generation(connection, generation)

    def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        mine = generations.c.plugin == readable(name)
        query = sa.select(generations).where(mine).order_by(generations.c.number.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [generation_of(row) for row in rows]

    def set_credential(self, name: str, credential: str | None) -> None:
        """Keep a plugin's PAT, encrypted, or forget it."""
        with self._database.writing() as connection:
            if credential is None:
                connection.execute(sa.delete(credentials).where(credentials.c.name == name))
            else:
                ciphertext = self._cipher.encrypt(name, credential)
                upsert(connection, credentials, [{"name": name, "ciphertext": ciphertext}])

    def credential(self, name: str) -> str | None:
        """Return a plugin's PAT."""
        with self._database.reading() as connection:
            ciphertext = connection.scalar(sa.select(credentials.c.ciphertext).where(credentials.c.name == name))
        return None if ciphertext is None else self._cipher.decrypt(name, ciphertext)

    def add_events(self, events: Sequence[Event]) -> None:
        """Write events; beyond the limit the oldest are dropped."""
        if not events:
            return
        # Forgotten until the call has succeeded: after a failure nobody knows what is there.
        count, self._event_count = self._event_count, None
        with self._database.writing() as connection:
            count = self._write_events(connection, events, count)
        self._event_count = count

    def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return the newest `limit` events above the id `after`, oldest first."""
        # What a caller of the API asks for may be no name, and no number that a database takes.
        after, limit = min(after, _LARGEST), min(max(limit, 0), _LARGEST)
        query = sa.select(events).where(events.c.id > after).order_by(events.c.id.desc()).limit(limit)
        if name is not None:
            query = query.where(events.c.plugin == readable(name))
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [event_of(row) for row in reversed(rows)]

    def save_run(self, run: Run) -> None:
        """Write a run of a known job; beyond the limit the job's oldest that have ended are dropped."""
        with self._database.writing() as connection:
            write_run(connection, run, self._kept.runs)

    def runs(self, job: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs without their log lines, newest first: `limit` at most, of ids below `before`."""
        before, limit = None if before is None else min(before, _LARGEST), min(max(limit, 0), _LARGEST)
        with self._database.reading() as connection:
            return runs_of(connection, job, states, before, limit)

    def run(self, job: str, run: int) -> Run | None:
        """Return a run of a job with its log lines."""
        with self._database.reading() as connection:
            return run_of(connection, job, min(run, _LARGEST))

    def open_runs(self) -> list[Run]:
        """Return all runs that have not ended, oldest first."""
        with self._database.reading() as connection:
            return open_runs(connection)

    def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Write entries of the audit; beyond the limit the oldest are dropped."""
        if not entries:
            return
        counts, self._audit_counts = self._audit_counts, None  # as with events
        with self._database.writing() as connection:
            counts = write_audit(connection, entries, counts, self._kept.audit)
        self._audit_counts = counts

    def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries of the audit, newest first."""
        before = None if query.before is None else min(query.before, _LARGEST)
        query = replace(query, before=before, limit=min(max(query.limit, 0), _LARGEST))
        with self._database.reading() as connection:
            return audit_of(connection, query)

    def note(self, key: str) -> str | None:
        """Return what was noted under this key."""
        with self._database.reading() as connection:
            return connection.scalar(sa.select(notes.c.value).where(notes.c.key == key))

    def set_note(self, key: str, value: str) -> None:
        """Note something under a key."""
        with self._database.writing() as connection:
            upsert(connection, notes, [{"key": key, "value": value}])

    def close(self) -> None:
        """Let go of the database, so that another server may use it."""
        self._database.close()

    def _write_generation(self, connection: sa.Connection, generation: Generation) -> None:
        """Write a generation and drop the oldest beyond the limit.

        The newest two that started stay in any case: after many failed tries a rollback must have where to go.
        """
        upsert(connection, generations, [generation_row(generation)])
        mine = generations.c.plugin == generation.plugin
        query = sa.select(generations.c.number, generations.c.result).where(mine)
        kept = connection.execute(query.order_by(generations.c.number.desc())).all()
        started = [number for number, result in kept if result == GenerationResult.STARTED][:2]
        if dropped := [number for number, _ in kept[self._kept.generations :] if number not in started]:
            connection.execute(sa.delete(generations).where(mine, generations.c.number.in_(dropped)))

    def _write_events(self, connection: sa.Connection, new: Sequence[Event], count: int | None) -> int:
        """Write events and drop the oldest beyond the limit; return how many there are then."""
        upsert(connection, events, [event_row(event) for event in new])
        last = max(_last_event(connection), *(event.id for event in new))
        upsert(connection, notes, [{"key": LAST_EVENT, "value": str(last)}])
        if count is None:
            count = connection.scalar(sa.select(sa.func.count()).select_from(events)) or 0
        else:
            count += len(new)
        excess = count - self._kept.events
        if excess <= 0:
            return count
        oldest = sa.select(events.c.id).order_by(events.c.id).limit(excess)
        connection.execute(sa.delete(events).where(events.c.id.in_(oldest.scalar_subquery())))
        return self._kept.events


def _last_event(connection: sa.Connection) -> int:
    noted = connection.scalar(sa.select(notes.c.value).where(notes.c.key == LAST_EVENT))
    return max(int(noted or 0), connection.scalar(sa.select(sa.func.max(events.c.id))) or 0)
