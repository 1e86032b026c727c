"""The watchdog inside the process: a call of the author's code that does not return is shown while it lasts."""

import logging

import pytest
from base_fakes import bound

from iocmng import JobBase, TaskBase
from iocmng.base.call_watch import CallWatch
from iocmng.base.job_runner import JobRunner
from iocmng.base.task_runner import TaskRunner
from iocmng.core.backoff import Backoff
from iocmng.core.builtin_pvs import JobState
from iocmng.core.manifest import Watchdog
from iocmng.core.manifest_text import parse_manifest
from iocmng.errors import PluginRejected

LOGGER = logging.getLogger("iocmng.test")


class Slow(TaskBase):
    """Does in each call what the test put there under its name."""

    def __init__(self):
        self.work = {}

    def do(self, call):
        self.work.get(call, lambda: None)()

    def initialize(self):
        self.do("initialize")

    def execute(self):
        self.do("execute")

    def triggered(self):
        self.do("triggered")

    def on_write(self, pv_name, value):
        self.do("on_write")

    def cleanup(self):
        self.do("cleanup")


class Bench:
    """A task with a watchdog of ten seconds, and what its report says while a call goes on."""

    def __init__(self, mode="continuous", limit=10.0):
        self.task, self.board, self.pvs, self.clock = bound(Slow, mode)
        self.watch = CallWatch(self.board, self.clock, limit, logger=LOGGER)
        self.runner = TaskRunner(self.task, self.board, self.clock, Backoff(), self.watch)
        self.seen = []

    def look_after(self, *times, then=lambda: None):
        """Return what lets a call last: the heartbeat looks after each of these times, given from the call's start."""

        def work():
            start = self.clock.now
            for time in times:
                self.clock.now = start + time
                self.watch.look()
                report = self.board.report()
                self.seen.append((report.hung, report.status, report.state, report.message))
            then()

        return work

    def now(self):
        """Return the same now, after the call."""
        self.watch.look()
        report = self.board.report()
        return report.hung, report.status, report.state, report.message


def hung(call, seconds):
    return True, "error", "ERROR", f"{call} has not returned for {seconds} s"


WELL = (False, "running", "RUN", "")


def test_a_cycle_that_hangs_is_shown_until_it_returns():
    """STATUS is ERROR and MESSAGE says what and how long; afterwards everything is as before."""
    bench = Bench()
    bench.task.work["execute"] = bench.look_after(1, 10, 11, 12, 21.9, 22.1)
    bench.runner.start()
    bench.runner.tick()
    eleven = hung("execute()", 11)
    assert bench.seen == [WELL, WELL, eleven, eleven, eleven, hung("execute()", 22)]
    assert bench.now() == WELL
    assert bench.pvs.history["STATUS"] == ["INIT", "RUN", "ERROR", "ERROR", "RUN"]
    assert bench.board.report().running


def test_a_hung_call_that_raises_at_last_is_a_failed_cycle():
    """ERROR stays, with the new reason; it is no longer hung."""

    def fail():
        raise RuntimeError("no answer")

    bench = Bench()
    bench.task.work["execute"] = bench.look_after(11, then=fail)
    bench.runner.start()
    bench.runner.tick()
    assert bench.now() == (False, "error", "ERROR", "RuntimeError: no answer")
    bench.task.work.clear()
    bench.runner.tick()
    assert bench.now() == WELL


def test_a_message_of_the_author_is_not_taken_back():
    """A call that says something while it is shown as hung keeps its word."""
    bench = Bench()
    bench.task.work["execute"] = bench.look_after(11, then=lambda: bench.task.set_message("at last"))
    bench.runner.start()
    bench.runner.tick()
    assert bench.now() == (False, "running", "RUN", "at last")


def test_other_calls_are_watched():
    """A run on request and on_write() hang as well as a cycle does."""
    bench = Bench("triggered")
    bench.task.work = {"triggered": bench.look_after(11), "on_write": bench.look_after(12)}
    bench.runner.start()
    bench.runner.trigger()
    assert bench.now() == (False, "running", "END", "")
    bench.runner.write("SETPOINT", 1.0)
    assert bench.seen == [hung("triggered()", 11), hung("on_write(SETPOINT)", 12)]
    assert bench.now() == (False, "running", "END", "")


def test_initialize_and_cleanup_have_limits_of_their_own():
    """They may take as long as the server lets them."""
    bench = Bench()
    bench.task.work = {"initialize": bench.look_after(1000), "cleanup": bench.look_after(1000)}
    bench.runner.start()
    bench.runner.stop()
    assert [state[0] for state in bench.seen] == [False, False]


def test_a_task_that_waits_does_not_hang():
    """Between cycles, paused, stopped: no call, no alarm, however long."""
    bench = Bench()
    bench.runner.start()
    bench.runner.tick()
    for change in (lambda: None, lambda: bench.runner.set_enabled(False), bench.runner.stop):
        change()
        bench.clock.now += 1000
        assert not bench.now()[0]


def test_without_a_limit_nothing_is_watched():
    """A call may then take days."""
    bench = Bench(limit=None)
    bench.task.work["execute"] = bench.look_after(100_000)
    bench.runner.start()
    bench.runner.tick()
    assert bench.seen == [WELL]


def test_the_log_says_once_where_the_call_stands(caplog):
    """With the lines of the author's code, not ours; and when it has returned."""
    bench = Bench()
    bench.task.work["execute"] = bench.look_after(11, 25)
    bench.runner.start()
    bench.runner.tick()
    stands, returned = [line.message for line in caplog.records]
    assert stands.startswith('execute() has not returned for 11 s; it stands at\n  File "')
    assert ", in do\n" in stands
    assert "task_runner.py" not in stands
    assert returned == "execute() has returned after 25 s"


def test_a_job_that_hangs_is_failed_until_it_returns():
    """STATUS of a job has FAILED in the place of ERROR."""
    seen = []

    class Measure(JobBase):
        def initialize(self):
            pass

        def execute(self):
            clock.now += 11
            watch.look()
            seen.append(board.report())

    job, board, pvs, clock = bound(Measure)
    watch = CallWatch(board, clock, 10, JobState.FAILED, LOGGER)
    result = JobRunner(job, board, watch).run().result
    assert (seen[0].hung, seen[0].status, seen[0].state) == (True, "error", "FAILED")
    assert (result["success"], result["message"], board.report().hung) == (True, "", False)
    assert pvs.history["STATUS"] == ["RUNNING", "FAILED", "RUNNING", "SUCCESS"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", None),
        ("watchdog:", None),
        ("watchdog: 10", Watchdog(seconds=10)),
        ("watchdog: 0.5", Watchdog(seconds=0.5)),
        ("watchdog: {seconds: 10}", Watchdog(seconds=10, restart=False)),
        ("watchdog: {seconds: 86400, restart: true}", Watchdog(seconds=86400, restart=True)),
    ],
)
def test_watchdog_in_config_yaml(text, expected):
    """A number of seconds, or a mapping; without it there is no limit."""
    assert parse_manifest(text, "config.yaml").watchdog == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("0", "must be greater than 0"),
        ("-1", "must be greater than 0"),
        ("86401", "must be less than or equal to 86400"),
        (".inf", "must be a finite number"),
        ("true", "must be a valid number"),
        ("soon", "must be a number of seconds, or {seconds: 10, restart: true}, not 'soon'"),
        ("{restart: true}", "watchdog.seconds is missing"),
        ("{seconds: 1, again: 1}", "watchdog.again: unknown key"),
    ],
)
def test_a_watchdog_that_is_none(value, problem):
    """The check says what is wrong, and in which line."""
    with pytest.raises(PluginRejected) as raised:
        parse_manifest(f"type: task\nwatchdog: {value}", "config.yaml")
    assert problem in str(raised.value)
    assert "line 2" in str(raised.value)
