"""What the store promises of the runs of jobs, on each kind of database."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from store_support import OpenStore, entry, names

from iocmng.core.runs import Run, RunCause, RunState
from iocmng.errors import StateUnavailable
from iocmng.store import SqlStateStore
from iocmng.store.models import VERSION_TABLE

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
JSON = st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | TEXT | st.lists(TEXT)
OBJECTS = st.dictionaries(st.text(max_size=9), JSON, max_size=3)
SECONDS = st.floats(0, 4e9)
RUNS = st.builds(
    Run,
    id=st.integers(1, 2**63 - 1),
    job=st.just("scan"),
    state=st.sampled_from(RunState),
    queued_at=SECONDS,
    parameters=OBJECTS,
    who=TEXT,
    cause=st.sampled_from(RunCause),
    generation=st.integers(0, 2**31 - 1),
    started_at=st.none() | SECONDS,
    ended_at=st.none() | SECONDS,
    timeout=st.none() | SECONDS,
    progress=st.floats(0, 100),
    message=TEXT,
    result=st.none() | OBJECTS,
    log=st.lists(st.text(max_size=9), max_size=3).map(tuple),
)


def run_of(number: int, job: str = "scan", state: str = "success", **changes: Any) -> Run:
    """Return a run."""
    return Run(number, job, RunState(state), 1e9 + number, **changes)


def numbers(runs: list[Run]) -> list[int]:
    """Return the ids of runs, in their order."""
    return [run.id for run in runs]


@pytest.fixture
def jobs(store: SqlStateStore) -> SqlStateStore:
    """A store that knows two jobs."""
    for name in ("scan", "move"):
        store.save(entry(name))
    return store


@given(kept=RUNS)
@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_run_comes_back_as_it_was(jobs: SqlStateStore, kept: Run):
    """Whatever its parameters, its result and its log lines hold."""
    jobs.save_run(kept)
    assert jobs.run("scan", kept.id) == kept
    assert dataclasses.replace(kept, log=()) in jobs.runs("scan", (), None, 1000)


def test_a_text_that_a_database_cannot_hold_is_made_one(jobs: SqlStateStore):
    """A message may quote an author's exception; log lines, parameters and results stay as they are."""
    odd = "a\x00b\ud800"
    jobs.save_run(run_of(1, message=odd, log=(odd,), parameters={odd: odd}, result={"data": odd}))
    found = jobs.run("scan", 1)
    assert found is not None
    assert (found.message, found.log, found.parameters, found.result) == (
        "a\ufffdb?",
        (odd,),
        {odd: odd},
        {"data": odd},
    )


def test_a_save_writes_over_what_was_there(jobs: SqlStateStore):
    """A run is one row from its beginning to its end."""
    for state in ("queued", "running", "failed"):
        jobs.save_run(run_of(1, state=state))
        found = jobs.run("scan", 1)
        assert found is not None
        assert found.state.value == state
    assert len(jobs.runs("scan", (), None, 10)) == 1


def test_runs_are_listed_newest_first_in_pages(jobs: SqlStateStore):
    """Of one job, of some states, below an id, so many at most; without their log lines."""
    for number in range(1, 7):
        jobs.save_run(run_of(number, "scan" if number % 2 else "move", log=("line",)))
    jobs.save_run(run_of(7, state="failed"))
    jobs.save_run(run_of(8, state="running"))
    assert numbers(jobs.runs("scan", (), None, 10)) == [8, 7, 5, 3, 1]
    assert numbers(jobs.runs("scan", (), 7, 2)) == [5, 3]
    assert numbers(jobs.runs("scan", (RunState.FAILED, RunState.RUNNING), None, 10)) == [8, 7]
    assert jobs.runs("scan", (), None, 0) == []
    assert jobs.runs("scan", (), 10**30, 1)[0].log == ()
    assert jobs.runs("nobody\x00\ud800", (), None, 10) == []
    assert jobs.run("move", 7) is None
    assert jobs.run("scan", 10**30) is None


def test_runs_beyond_the_limit_are_dropped_but_none_that_has_not_ended(open_: OpenStore):
    """For each job by itself, the oldest first."""
    store = open_(runs_kept=3)
    for name in ("scan", "move"):
        store.save(entry(name))
    store.save_run(run_of(1, state="running"))
    store.save_run(run_of(2, state="queued"))
    store.save_run(run_of(3, "move"))
    for number in range(4, 10):
        store.save_run(run_of(number))
    assert numbers(store.runs("scan", (), None, 10)) == [9, 8, 7, 2, 1]
    assert numbers(store.runs("move", (), None, 10)) == [3]
    store.save_run(run_of(1, state="lost"))
    assert numbers(store.runs("scan", (), None, 10)) == [9, 8, 7, 2]


def test_what_a_controller_needs_when_it_starts(open_: OpenStore):
    """The runs that have not ended, oldest first, how the newest of each job ended, and the highest id ever."""
    store = open_(runs_kept=1)
    for name in ("scan", "move"):
        store.save(entry(name))
    store.save_run(run_of(1, state="running", log=("line",)))
    store.save_run(run_of(2, "move", state="queued"))
    store.save_run(run_of(3, state="failed"))
    store.save_run(run_of(4, state="success"))
    store.save_run(run_of(5, "move", state="lost"))
    store.close()
    again = open_()
    assert again.open_runs() == [run_of(1, state="running", log=("line",)), run_of(2, "move", state="queued")]
    loaded = again.load()
    assert loaded.last_run == 5
    assert loaded.ended_runs == {"scan": (4, RunState.SUCCESS), "move": (5, RunState.LOST)}


def test_a_number_is_never_used_twice(open_: OpenStore):
    """Also when the run that had it is gone with its job."""
    store = open_()
    store.save(entry("scan"))
    store.save_run(run_of(41))
    store.save_run(run_of(40))
    store.delete("scan")
    assert store.load().last_run == 41
    store.close()
    assert open_().load().last_run == 41


def test_delete_forgets_the_jobs_runs(jobs: SqlStateStore):
    """A job of the same name inherits nothing, and the runs of others stay."""
    jobs.save_run(run_of(1))
    jobs.save_run(run_of(2, state="running"))
    jobs.save_run(run_of(3, "move"))
    jobs.delete("scan")
    jobs.save(entry("scan"))
    assert jobs.runs("scan", (), None, 10) == []
    assert jobs.open_runs() == []
    assert numbers(jobs.runs("move", (), None, 10)) == [3]


def test_a_run_of_a_job_that_is_gone_leaves_nothing(jobs: SqlStateStore):
    """It may end after its job was removed."""
    jobs.delete("scan")
    jobs.save_run(run_of(1))
    jobs.save(entry("scan"))
    assert jobs.runs("scan", (), None, 10) == []


def test_a_state_of_the_release_before_gets_the_table(open_: OpenStore, run_sql: Any):
    """Its plugins stay, and their runs can be kept."""
    store = open_()
    store.save(entry("scan"))
    store.close()
    run_sql("DROP TABLE iocmng_audit")
    run_sql("DROP TABLE iocmng_runs")
    run_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    store = open_()
    assert names(store) == ["scan"]
    store.save_run(run_of(1))
    assert numbers(store.runs("scan", (), None, 10)) == [1]


@pytest.mark.parametrize(
    ("column", "value"), [("state", "dancing"), ("cause", "boredom"), ("parameters", "[1]"), ("result", "{")]
)
def test_an_unreadable_run_names_itself(open_: OpenStore, run_sql: Any, column: str, value: str):
    """Who reads the sentence knows where to look."""
    store = open_()
    store.save(entry("scan"))
    store.save_run(run_of(7))
    store.close()
    run_sql(f"UPDATE iocmng_runs SET {column} = '{value}'")
    with pytest.raises(StateUnavailable, match="run 7 of job scan cannot be read"):
        open_().run("scan", 7)
