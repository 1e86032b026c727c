"""The runs of jobs, on their table."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, cast

import sqlalchemy as sa

from iocmng.core.runs import ENDED, OPEN, Run, RunCause, RunState
from iocmng.store.codec import json_object, readable, unreadable
from iocmng.store.database import upsert
from iocmng.store.models import notes, plugins, runs

LAST_RUN = "last_run"
"""Note that keeps the highest id of a run, also when the run itself is gone."""

_BRIEF = [column for column in runs.columns if column.name != "log"]
_ENDED = runs.c.state.in_([state.value for state in ENDED])

# Built once: these are executed for every run, and SQLAlchemy takes longer to build them than the database to do them.
_IS_KNOWN = sa.select(plugins.c.name).where(plugins.c.name == sa.bindparam("job"))
_LAST = sa.select(notes.c.value).where(notes.c.key == LAST_RUN)
_MINE = (runs.c.job == sa.bindparam("job")) & _ENDED
_BEYOND = sa.select(runs.c.id).where(_MINE).order_by(runs.c.id.desc()).limit(1).offset(sa.bindparam("kept"))
_PRUNE = sa.delete(runs).where(_MINE, runs.c.id <= _BEYOND.scalar_subquery())


def write_run(connection: sa.Connection, run: Run, kept: int) -> None:
    """Write a run of a known job, its number, and, once it has ended, drop the job's oldest beyond the limit."""
    if connection.scalar(_IS_KNOWN, {"job": run.job}) is None:
        return
    is_new = last_run(connection) < run.id
    upsert(connection, runs, [_row(run)])
    if is_new:
        upsert(connection, notes, [{"key": LAST_RUN, "value": str(run.id)}])
    if run.has_ended:
        connection.execute(_PRUNE, {"job": run.job, "kept": kept})


def last_run(connection: sa.Connection) -> int:
    """Return the highest id that a run has had."""
    return int(connection.scalar(_LAST) or 0)


def ended_runs(connection: sa.Connection) -> dict[str, tuple[int, RunState]]:
    """Return of each job the newest run that has ended."""
    newest = sa.select(sa.func.max(runs.c.id)).where(_ENDED).group_by(runs.c.job)
    found = connection.execute(sa.select(runs.c.job, runs.c.id, runs.c.state).where(runs.c.id.in_(newest))).all()
    return {job: (number, RunState(state)) for job, number, state in found}


def runs_of(
    connection: sa.Connection, job: str, states: Collection[RunState], before: int | None, limit: int
) -> list[Run]:
    """Return a job's runs without their log lines, newest first."""
    query = sa.select(*_BRIEF).where(runs.c.job == readable(job)).order_by(runs.c.id.desc()).limit(limit)
    if states:
        query = query.where(runs.c.state.in_([state.value for state in states]))
    if before is not None:
        query = query.where(runs.c.id < before)
    return [_run({**row, "log": "[]"}) for row in connection.execute(query).mappings()]


def run_of(connection: sa.Connection, job: str, run: int) -> Run | None:
    """Return a run with its log lines."""
    query = sa.select(runs).where(runs.c.job == readable(job), runs.c.id == run)
    row = connection.execute(query).mappings().first()
    return None if row is None else _run(row)


def open_runs(connection: sa.Connection) -> list[Run]:
    """Return all runs that have not ended, oldest first."""
    query = sa.select(runs).where(runs.c.state.in_([state.value for state in OPEN])).order_by(runs.c.id)
    return [_run(row) for row in connection.execute(query).mappings()]


def _row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "job": run.job,
        "state": run.state.value,
        "parameters": json.dumps(dict(run.parameters)),
        "who": readable(run.who),
        "cause": run.cause.value,
        "generation": run.generation,
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "timeout": run.timeout,
        "progress": run.progress,
        "message": readable(run.message),
        "result": None if run.result is None else json.dumps(dict(run.result)),
        "log": json.dumps(list(run.log)),
    }


def _run(row: Mapping[Any, Any]) -> Run:
    what = f"run {row['id']} of job {row['job']}"
    fields = dict(row)
    try:
        fields["state"], fields["cause"] = RunState(row["state"]), RunCause(row["cause"])
        log: Any = json.loads(row["log"])
    except ValueError as error:
        raise unreadable(what, str(error)) from error
    fields["parameters"] = json_object(row["parameters"], what)
    fields["result"] = None if row["result"] is None else json_object(row["result"], what)
    fields["log"] = tuple(cast("list[str]", log))
    return Run(**fields)
