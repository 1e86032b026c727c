"""The life of a task, on a clock that the test turns."""

import asyncio

import pytest
from base_fakes import bound

from iocmng import PermanentError, TaskBase, TemporaryError
from iocmng.base.task_runner import TaskRunner
from iocmng.core.backoff import Backoff


class Recorder(TaskBase):
    """Notes what is called, and does in execute() what the test put into `work`."""

    def __init__(self):
        self.calls = []
        self.work = lambda: None

    def initialize(self):
        self.calls.append("initialize")

    def execute(self):
        self.calls.append("execute")
        self.work()

    def cleanup(self):
        self.calls.append("cleanup")

    def on_write(self, pv_name, value):
        self.calls.append((pv_name, value))
        if value == "bad":
            raise ValueError("no such value")


def make(mode="continuous", interval=1.0, cls=Recorder):
    task, board, pvs, clock = bound(cls, mode, interval)
    return TaskRunner(task, board, clock, Backoff(first=1, factor=2, limit=8)), task, board, pvs, clock


def turn(runner, clock, to):
    """Turn the clock to a time, giving the runner each tick that is due on the way."""
    while runner.wake_at is not None and runner.wake_at <= to:
        clock.now = max(clock.now, runner.wake_at)
        runner.tick()
    clock.now = max(clock.now, to)


def test_cycles_keep_to_the_grid():
    """A cycle that takes 0.4 s does not shift the following ones."""
    runner, task, _, pvs, clock = make()
    starts = []

    def work():
        starts.append(clock.now)
        clock.now += 0.4

    task.work = work
    runner.start()
    turn(runner, clock, 103.9)
    assert starts == [100.0, 101.0, 102.0, 103.0]
    assert pvs.values["CYCLE_COUNT"] == 4


def test_overruns_are_skipped_and_counted():
    """A cycle of 2.5 s loses two slots of one second, and the next begins on the grid."""
    runner, task, board, _, clock = make()
    starts = []

    def work():
        starts.append(clock.now)
        clock.now += 2.5 if len(starts) == 1 else 0

    task.work = work
    runner.start()
    turn(runner, clock, 104)
    assert starts == [100.0, 103.0, 104.0]
    assert board.report().overruns == 2


def test_a_failing_cycle_is_survived_with_back_off_and_recovery():
    """STATUS is ERROR with the text in MESSAGE, tries get rarer, and a good cycle brings RUN back."""
    runner, task, board, pvs, clock = make()
    starts, fail = [], True

    def work():
        starts.append(clock.now)
        if fail:
            raise RuntimeError("sensor is silent")

    task.work = work
    runner.start()
    turn(runner, clock, 100)
    assert (board.state, pvs.values["MESSAGE"], board.report().status) == (
        "ERROR",
        "RuntimeError: sensor is silent",
        "error",
    )
    turn(runner, clock, 130)
    assert starts == [100, 101, 103, 107, 115, 123]
    fail = False
    turn(runner, clock, 131)
    assert (board.state, board.report().status, board.report().running) == ("RUN", "running", True)
    turn(runner, clock, 132)
    assert starts[-2:] == [131, 132]


def test_temporary_error_chooses_its_delay():
    """TemporaryError(delay=5) is tried again after five seconds."""
    runner, task, _, _, clock = make()
    starts = []

    def work():
        starts.append(clock.now)
        raise TemporaryError("warming up", delay=5)

    task.work = work
    runner.start()
    turn(runner, clock, 106)
    assert starts == [100, 105]


def test_permanent_error_ends_the_cycles_until_a_start():
    """After PermanentError nothing runs, STATUS stays ERROR, and start begins anew."""
    runner, task, board, _, clock = make()

    def work():
        raise PermanentError("the detector is broken")

    task.work = work
    runner.start()
    turn(runner, clock, 150)
    report = board.report()
    assert (report.status, report.running, report.message) == ("error", False, "the detector is broken")
    assert task.calls == ["initialize", "execute"]
    task.work = lambda: None
    runner.start()
    turn(runner, clock, 150)
    assert board.report().status == "running"


def test_system_exit_in_a_cycle_is_a_failed_cycle():
    """sys.exit() in execute() does not end the task."""
    runner, task, board, _, clock = make()

    def work():
        raise SystemExit(3)

    task.work = work
    runner.start()
    turn(runner, clock, 100)
    assert board.message == "the code called exit(3)"
    assert task.running


def test_pause_stands_still_and_resume_starts_a_new_grid():
    """ENABLE 0 gives PAUSED and no cycles; ENABLE 1 goes on at once."""
    runner, task, board, pvs, clock = make()
    runner.start()
    turn(runner, clock, 101.5)
    runner.set_enabled(False)
    assert (board.state, task.enabled, runner.wake_at) == ("PAUSED", False, None)
    turn(runner, clock, 110.2)
    assert pvs.values["CYCLE_COUNT"] == 2
    runner.set_enabled(True)
    assert board.state == "RUN"
    turn(runner, clock, 110.2)
    assert pvs.values["CYCLE_COUNT"] == 3
    assert board.report().overruns == 0


def test_stop_runs_cleanup_once_and_start_initializes_again():
    """Stop gives END and runs cleanup() once; start afterwards is a new life."""
    runner, task, board, _, clock = make()
    runner.start()
    turn(runner, clock, 100)
    runner.stop()
    runner.stop()
    assert task.calls == ["initialize", "execute", "cleanup"]
    assert (board.state, board.report().status, task.running) == ("END", "stopped", False)
    runner.start()
    turn(runner, clock, 100)
    assert task.calls[-2:] == ["initialize", "execute"]


def test_a_task_that_was_never_started_needs_no_cleanup():
    """auto_start=false and remove: neither initialize() nor cleanup() runs."""
    runner, task, board, _, _ = make()
    runner.prepare()
    assert (board.state, board.report().status) == ("INIT", "loaded")
    runner.stop()
    assert task.calls == []


def test_cleanup_that_raises_is_shown():
    """What cleanup() raises stands in MESSAGE; stop does not raise."""

    class Untidy(Recorder):
        def cleanup(self):
            raise OSError("valve stuck")

    runner, _, board, _, _ = make(cls=Untidy)
    runner.start()
    runner.stop()
    assert board.state == "ERROR"
    assert "valve stuck" in board.message


def test_initialize_that_raises_leaves_error_and_raises():
    """The caller learns what initialize() raised, and the task does not run."""

    class Broken(Recorder):
        def initialize(self):
            raise KeyError("host")

    runner, task, board, _, _ = make(cls=Broken)
    with pytest.raises(KeyError):
        runner.start()
    assert (board.state, task.running, runner.wake_at) == ("ERROR", False, None)


def test_triggered_run_shows_run_end_and_init_two_seconds_later():
    """INIT, RUN, END, and INIT again after two seconds."""
    runner, task, board, pvs, clock = make("triggered")
    runner.start()
    assert (board.state, runner.wake_at) == ("INIT", None)
    seen = []
    task.work = lambda: seen.append(board.state)
    runner.trigger()
    assert (seen, board.state, board.report().status) == (["RUN"], "END", "running")
    turn(runner, clock, 101.9)
    assert board.state == "END"
    turn(runner, clock, 102)
    assert board.state == "INIT"
    assert "CYCLE_COUNT" not in pvs.values


def test_triggered_prefers_an_overridden_triggered_method():
    """RUN calls triggered() where it is overridden."""

    class Shot(Recorder):
        def triggered(self):
            self.calls.append("triggered")

    runner, task, _, _, _ = make("triggered", cls=Shot)
    runner.start()
    runner.trigger()
    assert task.calls == ["initialize", "triggered"]


def test_triggered_run_that_raises_shows_error_then_waits_again():
    """A failed run gives ERROR with the text, then INIT."""
    runner, task, board, _, clock = make("triggered")

    def work():
        raise RuntimeError("no beam")

    task.work = work
    runner.start()
    runner.trigger()
    assert (board.state, board.message) == ("ERROR", "RuntimeError: no beam")
    turn(runner, clock, 103)
    assert board.state == "INIT"


@pytest.mark.parametrize(("start", "word"), [(True, "paused"), (False, "stopped")])
def test_run_is_refused_while_paused_or_stopped(start, word):
    """RUN does nothing but say why while the task is paused or was not started."""
    runner, task, board, _, _ = make("triggered")
    if start:
        runner.start()
        runner.set_enabled(False)
    runner.trigger()
    assert word in board.message
    assert "execute" not in task.calls


def test_writes_reach_on_write_and_its_errors_are_shown():
    """on_write gets name and value; what it raises is shown and the next good cycle clears it."""
    runner, task, board, _, clock = make()
    runner.start()
    turn(runner, clock, 100)
    runner.write("SETPOINT", 3.0)
    assert task.calls[-1] == ("SETPOINT", 3.0)
    runner.write("SETPOINT", "bad")
    assert (board.state, board.message) == ("ERROR", "on_write(SETPOINT): ValueError: no such value")
    turn(runner, clock, 101)
    assert (board.state, board.message) == ("RUN", "")


def test_reactive_mode_runs_a_cycle_for_each_write_beside_its_grid():
    """In reactive mode a put is followed by a cycle at once."""
    runner, task, _, pvs, clock = make("reactive", interval=10)
    runner.start()
    turn(runner, clock, 100)
    runner.write("SETPOINT", 1.0)
    assert task.calls[-2:] == [("SETPOINT", 1.0), "execute"]
    assert pvs.values["CYCLE_COUNT"] == 2
    assert runner.wake_at == 110


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_nothing_that_a_cycle_raises_ends_the_task(error):
    """Exceptions that are no Exception are failed cycles too."""
    runner, task, board, _, clock = make()

    def work():
        raise error

    task.work = work
    runner.start()
    turn(runner, clock, 100)
    assert (board.state, task.running) == ("ERROR", True)
    assert runner.wake_at == 101


def test_an_exception_without_a_text_is_told_all_the_same():
    """An author's __str__ that raises does not hide the failure."""

    class Mute(Exception):
        def __str__(self):
            raise ValueError("no words")

    runner, task, board, _, clock = make()

    def work():
        raise Mute

    task.work = work
    runner.start()
    turn(runner, clock, 100)
    assert board.message == "Mute: its text cannot be shown"


def test_a_task_that_ends_itself_is_stopped():
    """self.running = False in execute(): cleanup() runs, STATUS is END, REST says stopped."""
    runner, task, board, _, clock = make()

    def work():
        task.running = False

    task.work = work
    runner.start()
    turn(runner, clock, 105)
    assert task.calls == ["initialize", "execute", "cleanup"]
    assert (board.state, board.report().status) == ("END", "stopped")


def test_on_write_is_called_only_while_the_task_runs():
    """Before initialize() and after cleanup() a put changes the record and nothing more."""
    runner, task, _, _, _ = make()
    runner.write("SETPOINT", 1.0)
    runner.start()
    runner.stop()
    runner.write("SETPOINT", 2.0)
    assert [call for call in task.calls if isinstance(call, tuple)] == []
