"""The runs of a job."""

import datetime
import threading

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


# Cancel


def test_a_run_that_notices_its_end_says_so():
    """`cancelled` is false until somebody asks; a run that finds it true was cancelled, whatever it returns."""

    def work(job):
        assert not job.cancelled
        runner.cancel(7)
        return "half" if job.cancelled else "whole"

    runner, _, board, pvs = make(work)
    runner.expect(7)
    outcome = runner.run(RunOrder(7))
    assert (outcome.was_cancelled, outcome.result["data"]) == (True, "half")
    assert (board.state, pvs.history["STATUS"]) == ("FAILED", ["IDLE", "RUNNING", "FAILED"])


def test_a_run_that_ends_with_success_before_it_notices_is_none_that_was_cancelled():
    """It has done what it is for."""
    runner, _, board, _ = make(lambda job: runner.cancel(7))
    runner.expect(7)
    outcome = runner.run(RunOrder(7))
    assert (outcome.was_cancelled, outcome.result["success"], board.state) == (False, True, "SUCCESS")


def test_a_run_that_fails_after_it_was_told_to_end_was_cancelled():
    """An exception may be how it ends early."""

    def work(job):
        runner.cancel(7)
        raise RuntimeError("interrupted")

    runner, *_ = make(work)
    runner.expect(7)
    assert runner.run(RunOrder(7)).was_cancelled is True


def test_a_run_that_is_cancelled_while_it_waits_is_not_begun():
    """None of the author's code runs."""
    runner, job, _, _ = make(lambda job: 1)
    runner.expect(7)
    runner.cancel(7)
    outcome = runner.run(RunOrder(7))
    assert (outcome.was_cancelled, outcome.result["message"]) == (True, "cancelled before it began")
    assert job.calls == []


def test_a_cancel_holds_for_its_run_alone():
    """One that has ended, or is unknown, changes nothing; the next run begins as new."""
    runner, *_ = make(lambda job: job.cancelled)
    runner.cancel(1)
    runner.expect(1)
    assert runner.run(RunOrder(1)).result["data"] is False
    runner.cancel(1)
    runner.expect(2)
    assert runner.run(RunOrder(2)).result["data"] is False
    assert runner._expected == {}


def test_a_process_that_ends_cancels_all_runs():
    """The one that goes on, those that wait, and those that still come."""

    def work(job):
        runner.end()
        return job.cancelled

    runner, job, _, _ = make(work)
    runner.expect(1)
    runner.expect(2)
    assert runner.run(RunOrder(1)).result["data"] is True
    assert runner.run(RunOrder(2)).was_cancelled is True
    runner.expect(3)
    assert runner.run(RunOrder(3)).was_cancelled is True
    assert runner.run().was_cancelled is True
    assert job.calls.count("execute") == 1


# What is told of a run


def test_the_log_lines_of_a_run_are_its_own():
    """From any thread, and those before and after it belong to no run; all are the job's."""

    def work(job):
        board.log("mine")
        thread = threading.Thread(target=board.log, args=("my thread's",))
        thread.start()
        thread.join()
        told.append(board.report())
        board.log("late")

    told = []
    runner, _, board, _ = make(work)
    board.log("before")
    outcome = runner.run(RunOrder(5))
    board.log("after")
    assert outcome.log == ("mine", "my thread's", "late")
    assert told[0].run.log == ("mine", "my thread's")
    assert told[0].log == ("before", "mine", "my thread's")
    assert board.report().log == ("late", "after")
    assert board.report().run is None


def test_the_log_of_a_run_is_bounded():
    """The newest lines are kept, and a line beyond all measure is cut with a mark."""

    def work(job):
        for number in range(1500):
            board.log(str(number))
        board.log("x" * 20_000)

    runner, _, board, _ = make(work)
    log = runner.run(RunOrder(5)).log
    assert (len(log), log[0]) == (1000, "501")
    assert log[-1] == "x" * 10_000 + "..."


def test_what_a_report_says_of_a_run():
    """Its id, how far it is, and its last message; at the beginning there is none of the run before."""

    def work(job):
        told.append(board.report().run)
        job.report_progress(0.123456, "on the way")
        told.append(board.report().run)

    told = []
    runner, _, board, _ = make(work)
    runner.run(RunOrder(5))
    runner.run(RunOrder(6))
    assert [(run.run, run.progress, run.message) for run in told] == [
        (5, 0, ""),
        (5, 12.3456, "on the way"),
        (6, 0, ""),
        (6, 12.3456, "on the way"),
    ]


def test_a_result_beyond_the_limit_is_a_failure():
    """It says how large it is, and what to do."""
    job, board, _, _ = bound(Work)
    job.work = lambda: "x" * 2000
    result = JobRunner(job, board, result_max_bytes=1000).run().result
    assert result["success"] is False
    assert result["message"].startswith("the job ended, but its result is of no use: data has 2002 bytes of JSON")


def test_a_result_whose_conversion_raises_is_a_failure():
    """Whatever the author's object does, the run ends."""

    class Angry:
        def tolist(self):
            raise SystemExit("no")

    runner, *_ = make(lambda job: Angry())
    assert "its result is of no use" in runner.run().result["message"]
