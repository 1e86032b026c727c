"""The one thread that runs an author's code: real threads, each wait with a deadline."""

import asyncio
import threading
import time
from concurrent.futures import CancelledError, wait

import pytest

from iocmng.base.author_thread import AuthorThread

DEADLINE = 20.0
"""Seconds after which a wait has failed; a machine under load may need some."""


class RealClock:
    """The machine's own time."""

    def monotonic(self):
        return time.monotonic()


class Runner:
    """Ticks when it is due, every `period` seconds, and notes when and in which thread."""

    def __init__(self, period=None):
        self.period = period
        self.wake_at = None
        self.ticks = []
        self.ticked = threading.Event()

    def tick(self):
        self.ticks.append((time.monotonic(), threading.get_ident()))
        self.wake_at = None if self.period is None else time.monotonic() + self.period
        self.ticked.set()


@pytest.fixture
def thread():
    """Return a thread for author's code; afterwards it has nothing more to do."""
    thread = AuthorThread(RealClock(), name="under-test")
    yield thread
    thread.submit(thread.attach, Runner()).result(timeout=DEADLINE)


def result(future):
    return future.result(timeout=DEADLINE)


def test_calls_run_one_after_the_other_in_the_order_of_submission(thread):
    """First come, first served, with arguments and results."""
    done = []
    futures = [thread.submit(lambda number: done.append(number) or number * 2, number) for number in range(200)]
    assert [result(future) for future in futures] == [number * 2 for number in range(200)]
    assert done == list(range(200))


def test_all_calls_run_in_one_thread_and_never_two_at_once(thread):
    """Whoever submits, and however many do at the same time."""
    inside, most, idents = 0, 0, set()

    def work():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        idents.add(threading.get_ident())
        threading.Event().wait(0.0005)  # gives the other threads every chance to come in between
        inside -= 1

    futures = []
    submitters = [
        threading.Thread(target=lambda: futures.extend(thread.submit(work) for _ in range(25))) for _ in range(4)
    ]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join(DEADLINE)
    assert not wait(futures, DEADLINE).not_done
    assert (len(futures), most, len(idents)) == (100, 1, 1)
    assert idents != {threading.get_ident()}


def test_the_thread_has_its_name_and_keeps_no_process_alive(thread):
    """Code that never returns must not hold up the end of the process."""
    current = result(thread.submit(threading.current_thread))
    assert (current.name, current.daemon) == ("under-test", True)


class OwnBaseException(BaseException):
    """What only BaseException catches."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
        OwnBaseException(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_call_raises_reaches_its_future_and_the_thread_lives_on(thread, error):
    """Whatever it is, the very same exception; the next call runs as if nothing had happened."""

    def fail():
        raise error

    future = thread.submit(fail)
    assert future.exception(timeout=DEADLINE) is error
    assert result(thread.submit(lambda: "alive")) == "alive"


def test_submitting_never_blocks_while_a_call_does(thread):
    """A call that hangs holds up those behind it and nothing else."""
    entered, gate = threading.Event(), threading.Event()

    def hang():
        entered.set()
        return gate.wait(DEADLINE)

    first = thread.submit(hang)
    assert entered.wait(DEADLINE)
    behind = [thread.submit(lambda: 1) for _ in range(1000)]
    assert not any(future.done() for future in behind)
    gate.set()
    assert result(first) is True
    assert result(behind[-1]) == 1


def test_a_call_that_was_cancelled_in_time_does_not_run(thread):
    """The others do."""
    entered, gate, ran = threading.Event(), threading.Event(), []
    first = thread.submit(lambda: (entered.set(), gate.wait(DEADLINE)))
    assert entered.wait(DEADLINE)
    second, third = thread.submit(ran.append, 2), thread.submit(ran.append, 3)
    assert second.cancel()
    gate.set()
    result(third)
    assert not first.cancelled()
    assert ran == [3]
    with pytest.raises(CancelledError):
        second.result(timeout=DEADLINE)


def test_a_call_may_submit_another(thread):
    """It runs afterwards, not inside."""
    order = []

    def outer():
        inner = thread.submit(order.append, "inner")
        order.append("outer")
        return inner

    result(result(thread.submit(outer)))
    assert order == ["outer", "inner"]


def test_a_runner_ticks_in_the_same_thread_when_it_is_due(thread):
    """Not before its time, and without any call that would wake the thread."""
    runner = Runner(period=0.01)
    ident = result(thread.submit(threading.get_ident))
    due = time.monotonic() + 0.05
    runner.wake_at = due
    result(thread.submit(thread.attach, runner))
    assert runner.ticked.wait(DEADLINE)
    assert runner.ticks[0][0] >= due
    assert {where for _, where in runner.ticks} == {ident}


def test_a_runner_ticks_again_and_again(thread):
    """Each tick says when the next is due."""
    runner = Runner(period=0.001)
    enough = threading.Event()
    plain = runner.tick

    def tick():
        plain()
        if len(runner.ticks) == 20:
            enough.set()

    runner.tick = tick
    runner.wake_at = 0.0
    result(thread.submit(thread.attach, runner))
    assert enough.wait(DEADLINE)


def test_a_runner_that_waits_for_nothing_does_not_tick_until_a_call_sets_its_time(thread):
    """As a triggered task does: RUN is written, and some time later it shows INIT again."""
    runner = Runner()
    result(thread.submit(thread.attach, runner))
    for _ in range(10):
        result(thread.submit(lambda: None))
    assert runner.ticks == []
    thread.submit(setattr, runner, "wake_at", time.monotonic() + 0.02)
    assert runner.ticked.wait(DEADLINE)
    assert result(thread.submit(lambda: len(runner.ticks))) == 1


def test_a_flood_of_calls_does_not_starve_the_cycle(thread):
    """Clients that write without a pause never keep a task from its cycles."""
    runner = Runner(period=0.0)
    stop = threading.Event()

    def again():
        if not stop.is_set():
            thread.submit(again)

    runner.wake_at = 0.0
    result(thread.submit(thread.attach, runner))
    for _ in range(50):
        thread.submit(again)
    runner.ticked.clear()
    try:
        for _ in range(5):
            assert runner.ticked.wait(DEADLINE)
            runner.ticked.clear()
    finally:
        stop.set()


def test_ticks_do_not_starve_the_calls(thread):
    """A task whose cycles are always due still takes writes and a stop."""
    runner = Runner(period=0.0)
    runner.wake_at = 0.0
    result(thread.submit(thread.attach, runner))
    assert runner.ticked.wait(DEADLINE)
    assert [result(thread.submit(lambda number=number: number)) for number in range(20)] == list(range(20))


def test_a_tick_that_blocks_holds_up_calls_and_nothing_more(thread):
    """execute() that hangs: calls can be submitted, and run when it is over."""
    entered, gate = threading.Event(), threading.Event()
    runner = Runner()

    def tick():
        runner.wake_at = None
        entered.set()
        gate.wait(DEADLINE)

    runner.tick = tick
    runner.wake_at = 0.0
    thread.submit(thread.attach, runner)
    assert entered.wait(DEADLINE)
    future = thread.submit(lambda: 1)
    assert not future.done()
    gate.set()
    assert result(future) == 1
