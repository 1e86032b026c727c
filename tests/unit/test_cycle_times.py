"""What a task's cycles tell of themselves for the figures: how long they take, and how many fail."""

from base_fakes import bound

from iocmng import TaskBase
from iocmng.base.task_runner import TaskRunner
from iocmng.core.metrics import CYCLE_SECONDS
from iocmng.core.tally import NOTHING


class Slow(TaskBase):
    """Takes on the test's clock as long as it is told, then raises what it is told."""

    seconds = 0.2
    error = None
    clock = None

    def initialize(self):
        pass

    def execute(self):
        self.clock.now += self.seconds
        if self.error is not None:
            raise self.error

    def cleanup(self):
        pass


def make(mode="continuous"):
    task, board, _, clock = bound(Slow, mode)
    task.clock = clock
    return TaskRunner(task, board, clock), task, board


def test_each_cycle_is_timed():
    """With the bounds of the histogram; a cycle that fails is timed as well, and counted as a failure."""
    runner, task, board = make()
    assert board.report().cycle_times == NOTHING
    runner.start()
    runner.tick()
    task.error = ValueError("no")
    task.seconds = 3.0
    runner.tick()
    report = board.report()
    bounds = (*CYCLE_SECONDS.bounds, float("inf"))
    assert {bound: count for bound, count in zip(bounds, report.cycle_times.counts, strict=True) if count} == {
        0.25: 1,
        10.0: 1,
    }
    assert round(report.cycle_times.total, 6) == 3.2
    assert report.cycle_failures == 1


def test_a_new_start_of_the_cycles_loses_nothing():
    """The figures are those of the process, although CYCLE_COUNT begins again."""
    runner, _, board = make()
    runner.start()
    runner.tick()
    runner.stop()
    runner.start()
    runner.tick()
    assert board.report().cycle_count == 1
    assert sum(board.report().cycle_times.counts) == 2


def test_a_triggered_run_is_timed():
    """A triggered task has no cycles, but its answers to RUN."""
    runner, task, board = make("triggered")
    runner.start()
    runner.trigger()
    task.error = ValueError("no")
    runner.trigger()
    report = board.report()
    assert sum(report.cycle_times.counts) == 2
    assert report.cycle_failures == 1
