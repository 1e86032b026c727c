"""The pure rules about runs: states, limits, results."""

import pickle

import numpy
import pytest

from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.manifest_text import parse_manifest
from iocmng.core.results import ResultProblem, plain_result, shortened_message
from iocmng.core.runs import (
    ENDED,
    OPEN,
    TRANSITIONS,
    Run,
    RunLimits,
    RunOutcome,
    RunState,
    check_queue,
    outcome_state,
)
from iocmng.errors import PluginRejected, TooManyRuns, WrongState


def test_every_state_has_its_line_in_the_table():
    """No run can be stuck in a state that the table does not know, and what has ended stays ended."""
    assert set(TRANSITIONS) == set(RunState) == OPEN | ENDED
    assert all((TRANSITIONS[state] == frozenset()) == (state in ENDED) for state in RunState)


@pytest.mark.parametrize("before", RunState)
@pytest.mark.parametrize("after", RunState)
def test_a_run_moves_only_as_the_table_says(before, after):
    """Anything else is a mistake of ours that is told."""
    run = Run(7, "scan", before, 0.0)
    if after in TRANSITIONS[before]:
        assert run.moved(after, message="x") == Run(7, "scan", after, 0.0, message="x")
    else:
        with pytest.raises(WrongState, match="run 7 of scan"):
            run.moved(after)


@pytest.mark.parametrize(
    ("queued", "running", "concurrency", "limit", "is_allowed"),
    [
        (0, 0, 1, 20, True),
        (19, 1, 1, 20, True),
        (20, 1, 1, 20, False),
        (0, 0, 1, 0, True),
        (0, 1, 1, 0, False),
        (0, 1, 2, 0, True),
        (1, 1, 2, 0, False),
        (3, 2, 4, 3, False),
    ],
)
def test_how_many_may_wait(queued, running, concurrency, limit, is_allowed):
    """The limit is on those that wait; where there is room to run at once, nobody has to."""
    if is_allowed:
        check_queue("scan", queued, running, concurrency, RunLimits(queued=limit))
    else:
        with pytest.raises(TooManyRuns, match=f"{queued} runs of scan wait already.*IOCMNG_RUNS_QUEUED"):
            check_queue("scan", queued, running, concurrency, RunLimits(queued=limit))


@pytest.mark.parametrize("asked", [None, RunState.CANCELLED, RunState.TIMED_OUT])
@pytest.mark.parametrize("success", [True, False])
def test_how_a_run_has_ended(asked, success):
    """Who was told to end and ended for it is marked so; who had ended before noticing keeps what he reached."""
    plain = RunState.SUCCESS if success else RunState.FAILED
    assert outcome_state(RunOutcome({"success": success}, was_cancelled=False), asked) is plain
    assert outcome_state(RunOutcome({"success": success}, was_cancelled=True), asked) is (asked or plain)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("type: task\nconcurrency: 2", "for jobs only"),
        ("concurrency: 0", "greater than or equal to 1"),
        ("concurrency: 33", "less than or equal to 32"),
        ("concurrency: many", "must be a valid integer"),
    ],
)
def test_concurrency_that_does_not_fit(text, problem):
    """It is for jobs, from 1 to 32."""
    with pytest.raises(PluginRejected, match=problem):
        parse_manifest(text).declared_pvs(Kind.TASK, Mode.CONTINUOUS)


def test_concurrency_of_a_job():
    """Unset, one run goes on at a time."""
    assert parse_manifest("{}").concurrency == 1
    manifest = parse_manifest("type: job\nconcurrency: 32")
    assert manifest.concurrency == 32
    assert manifest.declared_pvs(Kind.JOB, Mode.CONTINUOUS)


class Pixels:
    """Something that is no numpy array and can turn itself into a list."""

    def tolist(self):
        return [numpy.int16(1), [numpy.float32(0.5)]]


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (numpy.float64(1.5), 1.5),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(3), 3),
        (numpy.bool_(True), True),
        (numpy.str_("a"), "a"),
        (numpy.arange(3), [0, 1, 2]),
        (numpy.array(3.0), 3.0),
        (numpy.ones((2, 2)), [[1.0, 1.0], [1.0, 1.0]]),
        ({"a": numpy.arange(2), "b": [numpy.int8(1)]}, {"a": [0, 1], "b": [1]}),
        (numpy.array(["x", "y"]), ["x", "y"]),
        (Pixels(), [1, [0.5]]),
        ({1: (2, 3), "s": {4}}, {"1": [2, 3], "s": [4]}),
        (None, None),
    ],
)
def test_results_become_plain_json(data, plain):
    """Numbers, lists and texts of Python itself, whatever package they come from: other processes need not have it."""
    found = plain_result(data)
    assert found == plain
    assert b"numpy" not in pickle.dumps(found)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (float("nan"), "data is nan: JSON has no such number"),
        (numpy.array([1.0, numpy.inf]), r"data\[1\] is inf: JSON has no such number"),
        ({"x": object()}, "a object is no JSON value"),
        (numpy.longdouble(1), "a longdouble is no JSON value"),
        ("\ud800", "cannot be written as JSON"),
        (b"\xff", "cannot be written as JSON"),
        (1 << 5000, "cannot be written as JSON|too large for JSON"),
    ],
)
def test_a_result_that_is_none_says_why(data, problem):
    """With the place where it is known."""
    with pytest.raises(ResultProblem, match=problem):
        plain_result(data)


def test_a_result_that_refers_to_itself():
    """It is refused, and nothing hangs."""
    data = []
    data.append(data)
    with pytest.raises(ResultProblem, match="cannot be written as JSON"):
        plain_result(data)


def test_the_size_of_a_result():
    """The bytes of its JSON count; an array is refused before it is turned into a list."""
    assert plain_result("x" * 98, max_bytes=100) == "x" * 98
    with pytest.raises(ResultProblem, match=r"data has 101 bytes of JSON, and 100 are allowed.*write it to a file"):
        plain_result("x" * 99, max_bytes=100)

    class Huge:
        size = 12_500_000

        def tolist(self):
            raise AssertionError("it would take a gigabyte")

    with pytest.raises(ResultProblem, match="an array of 12500000 elements, and 1000 bytes of JSON are allowed"):
        plain_result({"trace": Huge()}, max_bytes=1000)


def test_a_message_beyond_all_measure_is_cut_with_a_mark():
    """All others stay as they are."""
    assert shortened_message("x" * 10_000) == "x" * 10_000
    assert shortened_message("x" * 10_001) == "x" * 10_000 + "..."
