"""The life of a task: initialize(), cycles on a fixed grid, runs on request, cleanup()."""

from __future__ import annotations

import math

from iocmng.base.author_errors import AUTHOR_ERRORS, describe
from iocmng.base.board import StatusBoard
from iocmng.base.call_watch import CallWatch
from iocmng.base.task import TaskBase
from iocmng.core.backoff import Backoff
from iocmng.core.builtin_pvs import Mode, TaskState
from iocmng.core.ports.plugin import Clock
from iocmng.core.pv_fields import PvValue
from iocmng.errors import Cancelled, PermanentError, TemporaryError

SHOW_END_FOR = 2.0
"""Seconds that a triggered task shows END or ERROR before it waits in INIT again."""


class TaskRunner:
    """Runs one task. Not thread-safe: all its methods are called in the author's thread.

    Cycles keep to a grid: the n-th begins at start + n · interval, however long the earlier ones took. Slots that pass
    while a cycle still runs are skipped and counted as overruns.
    """

    def __init__(
        self,
        task: TaskBase,
        board: StatusBoard,
        clock: Clock,
        backoff: Backoff | None = None,
        watch: CallWatch | None = None,
    ) -> None:
        self._task = task
        self._board = board
        self._clock = clock
        self._watch = watch or CallWatch(board, clock)
        self._backoff = backoff or Backoff()
        self._mode = Mode(task.mode)
        self._interval = float(task.parameters["interval"])
        self._due = 0.0
        self._failures = 0
        self._overruns = 0
        self._ever_started = self._initialized = self._in_error = False
        self._to_return: set[str] = set()
        self.wake_at: float | None = None

    def prepare(self) -> None:
        """Show that the task waits for its start."""
        self._show(TaskState.INIT)

    def start(self) -> None:
        """Run initialize() and begin with the cycles.

        Raises:
            Exception: What initialize() raises; the task then shows ERROR and does not run.
        """
        task = self._task
        if task.running:
            return
        if self._initialized:  # a PermanentError ended the cycles; its cleanup() is due before a new beginning
            self._clean_up()
        self._ever_started = True
        task.running, task.cycle_count = True, 0
        self._failures = self._overruns = 0
        self._in_error = False
        self._show(TaskState.INIT, "")
        try:
            task.initialize()
        except AUTHOR_ERRORS as error:
            task.running = False
            self._show(TaskState.ERROR, describe(error))
            raise
        self._initialized = True
        self._wait_for_work()

    def stop(self) -> None:
        """End the cycles and run cleanup(). What cleanup() raises is shown and logged."""
        self._task.running = False
        self.wake_at = None
        self._return_to_0()
        if self._initialized and self._clean_up():
            self._show(TaskState.END)

    def _clean_up(self) -> bool:
        """Run cleanup(); return whether it ended well."""
        self._initialized = False
        try:
            self._task.cleanup()
        except AUTHOR_ERRORS as error:
            self._task.logger.exception("cleanup() failed")
            self._show(TaskState.ERROR, f"cleanup() failed: {describe(error)}")
            return False
        return True

    def set_enabled(self, enabled: bool) -> None:
        """Pause or resume, as ENABLE says."""
        if enabled == self._task.enabled:
            return
        self._task.enabled = enabled
        if self._task.running:
            self._wait_for_work()

    def trigger(self) -> None:
        """Run a triggered task once, because RUN was written."""
        if not self._task.running or not self._task.enabled:
            reason = "is paused: write 1 to ENABLE" if self._task.running else "is stopped: start it first"
            self._board.show(message=f"RUN was ignored: the task {reason}")
            return
        self._show(TaskState.RUN, "")
        began = self._clock.monotonic()
        try:
            with self._watch.calling("triggered()"):
                self._task.triggered()
        except AUTHOR_ERRORS as error:
            self._board.note_failed_cycle()
            self._task.logger.exception("run failed")
            self._show(TaskState.ERROR, describe(error))
        else:
            self._show(TaskState.END)
        now = self._clock.monotonic()
        self._board.note_cycle(now - began)
        self.wake_at = now + SHOW_END_FOR

    def write(self, pv_name: str, value: PvValue) -> None:
        """Tell the task of an operator's put, between initialize() and cleanup(); in reactive mode a cycle follows."""
        if not self._initialized:
            return
        try:
            with self._watch.calling(f"on_write({pv_name})"):
                self._task.on_write(pv_name, value)
        except AUTHOR_ERRORS as error:
            self._task.logger.exception("on_write(%s) failed", pv_name)
            self._show(TaskState.ERROR, f"on_write({pv_name}): {describe(error)}")
            self._in_error = True
            if self._mode is Mode.TRIGGERED:
                self.wake_at = self._clock.monotonic() + SHOW_END_FOR
            return
        if self._mode is Mode.REACTIVE and self._cycling:
            self._cycle()

    def pass_on(self, name: str, value: PvValue) -> None:
        """Tell a task that declares CLEAR, RESET, RUN or ENABLE itself of a put to it.

        All but ENABLE return to 0 by themselves: after the next cycle, so that execute() sees the value, too.
        """
        self.write(name, value)
        if name != "ENABLE" and value:
            self._to_return.add(name)
            if self._mode is not Mode.CONTINUOUS or not self._cycling:
                self._return_to_0()

    def _return_to_0(self) -> None:
        while self._to_return:
            TaskBase.set_pv(self._task, self._to_return.pop(), False)

    def tick(self) -> None:
        """Do what is due: a cycle, or back to INIT after a triggered run."""
        if not self._task.running:  # asked to stop, or ended by its own code
            self.stop()
            return
        if self._mode is Mode.TRIGGERED:
            self.wake_at = None
            self._wait_for_work()
            return
        delay = 0.0
        try:
            delay = self._cycle()
        finally:
            if self._cycling:
                self._schedule(delay)

    @property
    def _cycling(self) -> bool:
        return self._task.running and self._task.enabled and self.wake_at is not None

    def _wait_for_work(self) -> None:
        """Show INIT, RUN or PAUSED and set the next wake-up; a grid of cycles begins now."""
        self.wake_at = None
        if not self._task.enabled:
            self._show(TaskState.PAUSED)
        elif self._mode is Mode.TRIGGERED:
            self._show(TaskState.INIT)
        else:
            self._show(TaskState.RUN)
            self._due = self.wake_at = self._clock.monotonic()

    def _cycle(self) -> float:
        """Run one cycle; return the seconds to wait in addition to the grid."""
        task = self._task
        task.cycle_count += 1
        began, delay = self._clock.monotonic(), 0.0
        try:
            with self._watch.calling("execute()"):
                task.step_cycle()
                task.execute()
        except PermanentError as error:
            task.running, self.wake_at = False, None
            self._fail(error)
        except Cancelled as error:
            if task.running:  # else the stop that it was cancelled for follows, and is no failure
                self._fail(error)
        except AUTHOR_ERRORS as error:
            self._fail(error)
            given = error.delay if isinstance(error, TemporaryError) else None
            delay = given if given is not None else self._backoff.delay(self._failures)
        else:
            self._recover()
        self._return_to_0()
        self._board.note_cycle(self._clock.monotonic() - began)
        self._board.count(task.cycle_count, self._overruns)
        return delay

    def _fail(self, error: BaseException) -> None:
        self._failures += 1
        self._in_error = True
        self._board.note_failed_cycle()
        # One traceback per kind of trouble is enough: a task that fails for a week must not fill the log.
        if self._failures & (self._failures - 1) == 0:
            self._task.logger.exception("cycle failed (%d in a row)", self._failures)
        self._show(TaskState.ERROR, describe(error))

    def _recover(self) -> None:
        if self._in_error:
            self._failures, self._in_error = 0, False
            self._show(TaskState.RUN, "")

    def _schedule(self, delay: float) -> None:
        """Set the next slot of the grid that lies in the future, `delay` seconds away at least."""
        now = self._clock.monotonic()
        slots = max(1, math.floor((now - self._due) / self._interval) + 1)
        self._overruns += slots - 1
        self._due += slots * self._interval
        if self._due < now + delay:  # skipped on purpose: no overruns
            self._due += math.ceil((now + delay - self._due) / self._interval) * self._interval
        self.wake_at = self._due

    def _show(self, state: TaskState, message: str | None = None) -> None:
        word = self._status_word(state)
        self._board.show(status=word, running=self._task.running, state=state.value, message=message)

    def _status_word(self, state: TaskState) -> str:
        if state in (TaskState.ERROR, TaskState.PAUSED):
            return state.value.lower()
        if self._task.running:
            return "running"
        return "stopped" if self._ever_started else "loaded"
