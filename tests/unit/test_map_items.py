"""map() without a cluster: order, progress, cancellation, failures, and what may be mapped."""

import functools
import itertools
import logging
import pickle

import pytest
from base_fakes import bound

from iocmng import Cancelled, ItemFailed, JobBase, TaskBase
from iocmng.base.job_runner import JobRunner
from iocmng.base.map_item import LOG_LINES, run_item
from iocmng.base.task_runner import TaskRunner
from iocmng.core.ports.plugin import ItemOutcome
from iocmng.core.runs import RunOrder
from iocmng.errors import AuthorError


class Work(JobBase):
    """A job whose functions the tests map."""

    def initialize(self):
        pass

    def execute(self):
        return self.work(self)

    @staticmethod
    def double(item):
        return 2 * item

    def method(self, item):
        return item


class OutOfOrder:
    """A Mapper whose items finish the last one first, with a moment in between."""

    def __init__(self):
        self.is_closed = False

    def outcomes(self, function, items, max_parallel, logger):
        try:
            for index, item in reversed(list(enumerate(items))):
                yield None
                yield ItemOutcome(index, function(item))
        finally:
            self.is_closed = True


@pytest.fixture
def job():
    """Return a job that may be asked to map."""
    return bound(Work)[0]


def with_mapper(job, mapper):
    runtime = job._runtime
    job.bind_runtime(type(runtime)(**{name: getattr(runtime, name) for name in runtime.__slots__} | {"mapper": mapper}))
    return job


@pytest.mark.parametrize(
    "function",
    [Work.double, lambda item: 2 * item, functools.partial(pow, 1)],
    ids=["static method", "lambda", "partial"],
)
def test_results_come_in_the_order_of_the_items(job, function):
    """Whatever kind of function it is, and with one process as with many."""
    assert job.map(function, [1, 2, 3]) == [function(1), function(2), function(3)]
    assert with_mapper(job, OutOfOrder()).map(function, [1, 2, 3]) == [function(1), function(2), function(3)]


def test_no_items_are_no_trouble(job):
    """An empty map is an empty list, for a generator too."""
    assert job.map(Work.double, []) == job.map(Work.double, iter(())) == []


@pytest.mark.parametrize(
    ("part", "shown"), [((0.0, 1.0), [25, 50, 75, 100]), ((0.5, 1.0), [62, 75, 88, 100]), (None, [])]
)
def test_progress_follows_the_items_that_have_finished(part, shown):
    """In the part of the run that the author gives to this map()."""
    job, _, pvs, _ = bound(Work)
    job.map(Work.double, range(4), progress=part)
    assert pvs.history.get("PROGRESS", []) == shown


def test_items_of_unknown_number_show_no_progress():
    """A generator has no length, so nothing can be said of how far it is."""
    job, _, pvs, _ = bound(Work)
    assert job.map(Work.double, iter([1, 2])) == [2, 4]
    assert "PROGRESS" not in pvs.values


def test_a_cancelled_run_ends_the_map(job):
    """Between two items at the latest; the mapper is told, and no further item is taken."""
    taken = []

    def items():
        for number in itertools.count():
            taken.append(number)
            yield number

    def cancel_at_three(item):
        if item == 3:
            cancel()
        return item

    def cancel():
        job_of_test.cancelled = True

    job_of_test = job
    with pytest.raises(Cancelled):
        job.map(cancel_at_three, items())
    assert taken == [0, 1, 2, 3]
    mapper = OutOfOrder()
    with_mapper(job, mapper).cancelled = False
    with pytest.raises(Cancelled):
        job.map(lambda item: cancel(), [1, 2])
    assert mapper.is_closed


def test_a_run_that_is_cancelled_already_begins_no_map(job):
    """Nothing is done for a run that is to end."""
    job.cancelled = True
    with pytest.raises(Cancelled):
        job.map(pytest.fail, [1])


def test_an_exception_ends_the_map_with_item_and_line(job):
    """ItemFailed has the index, the item and the author's line; its notes have the way there."""

    def check(item):
        if item == "bad":
            raise KeyError(item)
        return item

    with pytest.raises(ItemFailed, match=r"^item 1 \('bad'\): KeyError: 'bad' \(test_map_items\.py, line \d+\)") as it:
        job.map(check, ["good", "bad", "never"])
    assert it.value.index == 1
    assert "in check" in it.value.__notes__[0]
    assert pickle.loads(pickle.dumps(it.value)).__notes__ == it.value.__notes__


def test_a_failed_item_is_the_result_of_the_run():
    """MESSAGE has the item and its reason, the log the traceback."""
    job, board, _, _ = bound(Work)
    job.work = lambda job: job.map(int, ["1", "x"])
    runner = JobRunner(job, board)
    result = runner.run().result
    assert result["success"] is False
    assert result["message"].startswith("item 1 ('x'): ValueError: invalid literal")


def test_a_cancelled_map_is_no_error_of_the_author(caplog):
    """The run ends as one that was cancelled, without a traceback in the log."""
    job, board, _, _ = bound(Work)
    runner = JobRunner(job, board)
    runner.expect(1)
    job.work = lambda job: job.map(lambda item: runner.cancel(1), [1, 2])
    outcome = runner.run(RunOrder(1))
    assert (outcome.was_cancelled, outcome.result["success"], outcome.result["message"]) == (True, False, "cancelled")
    assert caplog.records == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_function_raises_is_a_failure(error):
    """Also what would end a process."""

    def fail(item):
        raise error

    assert run_item(fail, 0, "x", None).failure is not None


def test_an_item_that_cannot_be_shown_is_named_by_its_number():
    """The author's __repr__ may fail, and items may be long."""

    class Shy:
        def __repr__(self):
            raise RuntimeError("no")

    assert "item 4" in str(run_item(int, 4, Shy(), None).failure)
    assert len(str(run_item(int, 4, ["x" * 10_000] * 100, None).failure)) < 300


def test_what_a_function_logs_stands_in_the_plugins_log(job, caplog):
    """Each line with its item, as many as are kept of one."""
    caplog.set_level("INFO")
    lines = []
    job.logger = type("Logger", (), {"log": lambda self, level, text, *values: lines.append((level, text % values))})()

    def work(item):
        logging.getLogger("theirs").warning("got %s", item)
        logging.getLogger("iocmng.job.work").warning("through the plugin's own logger")

    job.map(work, ["a", "b"])
    assert lines == [(logging.WARNING, "item 0: got a"), (logging.WARNING, "item 1: got b")]

    def chat(item):
        for _ in range(2 * LOG_LINES):
            logging.getLogger("theirs").warning("and")

    assert len(run_item(chat, 0, None, None).log) == LOG_LINES


@pytest.mark.parametrize("kind", ["method", "closure", "partial", "argument", "default", "keyword default"])
def test_what_takes_the_plugin_along_is_refused(job, kind):
    """Here too, where it would work, so that it is not found out on the cluster."""

    def by_keyword(item, *, plugin=job):
        return plugin.method(item)

    function = {
        "method": job.method,
        "closure": lambda item: job.method(item + 1),
        "partial": functools.partial(job.method),
        "argument": functools.partial(isinstance, job),
        "default": lambda item, plugin=job: plugin.method(item),
        "keyword default": by_keyword,
    }[kind]
    with pytest.raises(AuthorError, match="staticmethod"):
        job.map(function, [1])


def test_a_plugin_cannot_be_pickled(job):
    """What is sent to another process must not take it along, and says why."""
    with pytest.raises(AuthorError, match="must not refer to `self`"):
        pickle.dumps([job])


@pytest.mark.parametrize(("function", "options"), [("text", {}), (int, {"max_parallel": 0})])
def test_arguments_of_no_use_are_refused(job, function, options):
    """With a sentence, before anything begins."""
    with pytest.raises(AuthorError, match=r"map\(\)"):
        job.map(function, ["1"], **options)


def test_a_task_that_is_stopped_ends_its_map():
    """A cycle that was cut short by a stop is no failure; cleanup() follows."""

    class Cycle(TaskBase):
        def initialize(self):
            pass

        def execute(self):
            self.map(step, [1, 2, 3])

        def cleanup(self):
            pass

    def step(item):
        seen.append(item)
        stop()

    def stop():
        task.running = False

    seen = []
    task, board, _, clock = bound(Cycle)
    runner = TaskRunner(task, board, clock)
    runner.start()
    runner.tick()
    assert (seen, board.state) == ([1], "RUN")
    runner.stop()
    assert board.state == "END"
