"""The runs of a job."""

import datetime

import pytest
from base_fakes import bound

from iocmng import JobBase, JobResult
from iocmng.base.job_runner import JobRunner
from iocmng.core.runs import RunOrder


class Work(JobBase):
    """Does in execute() what the test put into `work`."""

    def __init__(self):
        self.calls = []

    def initialize(self):
        self.calls.append("initialize")

    def execute(self):
        self.calls.append("execute")
        return self.work()

    def cleanup(self):
        self.calls.append("cleanup")


def make(work, **parameters):
    job, board, pvs, _ = bound(Work, **parameters)
    job.work = lambda: work(job)
    runner = JobRunner(job, board)
    runner.prepare()
    return runner, job, board, pvs


def test_a_result_has_success_data_message_and_timestamp():
    """A JobResult comes back as a dictionary whose timestamp is ISO 8601."""
    runner, job, board, pvs = make(lambda job: JobResult(True, {"a": 1}, "fine"))
    result = runner.run().result
    assert {key: result[key] for key in ("success", "data", "message")} == {
        "success": True,
        "data": {"a": 1},
        "message": "fine",
    }
    assert datetime.datetime.fromisoformat(result["timestamp"]).tzinfo is not None
    assert job.calls == ["initialize", "execute", "cleanup"]
    assert job.last_result.data == {"a": 1}
    assert (board.state, pvs.values["PROGRESS"], pvs.history["STATUS"]) == (
        "SUCCESS",
        100,
        ["IDLE", "RUNNING", "SUCCESS"],
    )


def test_anything_else_is_wrapped_as_data():
    """A job that returns a bare value has it as data of a success."""
    runner, *_ = make(lambda job: [1, 2])
    assert runner.run().result["data"] == [1, 2]


def test_a_job_that_raises_fails_with_the_text_and_cleans_up():
    """An exception gives success=False with its text, and cleanup() runs all the same."""

    def work(job):
        raise RuntimeError("no beam")

    runner, job, board, _ = make(work)
    result = runner.run().result
    assert (result["success"], result["message"]) == (False, "RuntimeError: no beam")
    assert (board.state, board.report().status, job.calls[-1]) == ("FAILED", "error", "cleanup")


@pytest.mark.parametrize("data", [float("nan"), object(), {1: 2, "x": {"y": object()}}])
def test_a_result_that_json_cannot_hold_fails_clearly(data):
    """A result of no use is a failure that says so, not a success without data."""
    runner, *_ = make(lambda job: data)
    result = runner.run().result
    assert result["success"] is False
    assert "data" in result["message"]


def test_parameters_of_a_run_are_for_that_run_alone():
    """Run parameters are laid over the job's own, deeply, and forgotten afterwards."""
    runner, job, _, _ = make(lambda job: dict(job.parameters), nested={"a": 1, "b": 2})
    assert runner.run(RunOrder(1, {"nested": {"b": 3}})).result["data"]["nested"] == {"a": 1, "b": 3}
    assert runner.run().result["data"]["nested"] == {"a": 1, "b": 2}
    assert job.parameters["nested"] == {"a": 1, "b": 2}


def test_progress_is_shown_in_percent_and_limited():
    """report_progress(0.25) shows 25; beyond 0 to 1 it is limited."""
    seen = []

    def work(job):
        for fraction in (0.25, 7, -1):
            job.report_progress(fraction, "on the way")
            seen.append(job._runtime.pvs.values["PROGRESS"])

    runner, _, _, pvs = make(work)
    runner.run()
    assert seen == [25, 100, 0]
    assert "on the way" in pvs.history["MESSAGE"]
