"""Everything one plugin needs around it, put together: its thread, its records, its runner, its log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from iocmng.base.author_thread import AuthorThread, Calling
from iocmng.base.board import StatusBoard
from iocmng.base.call_watch import CallWatch
from iocmng.base.construct import author_failure, construct
from iocmng.base.identity import Identity
from iocmng.base.job import JobBase
from iocmng.base.job_runner import JobRunner
from iocmng.base.plugin import PluginBase, Runtime
from iocmng.base.saved_values import SavedValues
from iocmng.base.task import TaskBase
from iocmng.base.task_runner import AUTHOR_ERRORS, TaskRunner
from iocmng.core.builtin_pvs import JobState, TaskState
from iocmng.core.ports import Clock, PvServer
from iocmng.core.pv_fields import PvValue
from iocmng.core.spec import RecordInfo, Report
from iocmng.errors import PluginRejected, WrongKind

HEARTBEAT_PERIOD = 1.0
"""Seconds between two steps of HEARTBEAT and UPTIME."""

SAVE_PERIOD = 1.0
"""Seconds between two looks at the values that are saved; a process that is killed loses as much."""


class PluginHost:
    """Hosts one plugin: the author's code in its thread, everything else from any thread.

    Args:
        pvs: Serves the plugin's records.
        clock: Time for the cycles.
        notify: Told of each change of the report; must return quickly.
        thread: Runs the author's code; None makes a thread for it.
    """

    def __init__(
        self,
        pvs: PvServer,
        clock: Clock,
        notify: Callable[[bool], None] | None = None,
        thread: Calling | None = None,
    ) -> None:
        self._pvs = pvs
        self._clock = clock
        self._notify = notify
        self._ended = threading.Event()
        self._plugin: PluginBase | None = None
        self._board: StatusBoard | None = None
        self._runner: TaskRunner | JobRunner | None = None
        self._watch: CallWatch | None = None
        self._values: SavedValues | None = None
        self._began = 0.0
        self._beats = 0
        self.thread: Calling = thread or AuthorThread(clock)

    def build(
        self, cls: type[PluginBase], identity: Identity, log_level: str, values: Path | None = None
    ) -> Future[tuple[RecordInfo, ...]]:
        """Make the records and the plugin's object, in the author's thread; nothing is served yet.

        The future raises PluginRejected for the step `records` or `constructor`.

        Args:
            cls: The plugin's class.
            identity: What the plugin is told about itself.
            log_level: Least severe log lines to show.
            values: Directory of the plugin's saved PV values; None where none are kept.
        """
        return self.thread.submit(self._build, cls, identity, log_level, values)

    def serve(self) -> tuple[int, int]:
        """Restore the saved values, then answer EPICS clients; return the CA and the PVA port.

        Called in the author's thread, once the process that served the PVs before has ended.
        """
        ports = self.open()
        threading.Thread(target=self._beat, name="iocmng-heartbeat", daemon=True).start()
        if self._values is not None:
            # Apart from the heartbeat, which a slow disk must not hold up.
            threading.Thread(target=self._keep, args=(self._values,), name="iocmng-autosave", daemon=True).start()
        return ports

    def open(self) -> tuple[int, int]:
        """Do what serve() does, but for the threads: the caller calls beat() each second."""
        if self._values is not None:
            self._values.restore()
        if isinstance(self._runner, TaskRunner):
            self._runner.set_enabled(bool(self._pvs.get("ENABLE")))
        self._began = self._clock.monotonic()
        return self._pvs.run()

    def set_running(self, running: bool) -> Future[None]:
        """Start or stop the cycles; a job has none, so nothing happens to it.

        The future raises PluginRejected for the step `initialize`, if that raises.
        """
        runner = self._runner
        if not isinstance(runner, TaskRunner):
            return self.thread.submit(lambda: None)
        if running:
            return self.thread.submit(_start, runner)
        self.ask_to_end()
        return self.thread.submit(runner.stop)

    def run_job(self, parameters: Mapping[str, Any]) -> Future[dict[str, Any]]:
        """Run the job after the runs that wait already; the future has the result as a dictionary.

        Raises:
            WrongKind: If the plugin is a task.
        """
        if not isinstance(self._runner, JobRunner):
            raise WrongKind("only a job can be run")
        return self.thread.submit(self._runner.run, parameters)

    @property
    def plugin(self) -> PluginBase:
        """The plugin's object, once it is built."""
        assert self._plugin is not None
        return self._plugin

    def report(self) -> Report:
        """Return what there is to tell."""
        assert self._board is not None
        return self._board.report()

    def ask_to_end(self) -> None:
        """Turn `running` false and `cancelled` true at once, whatever the author's thread is doing."""
        if isinstance(self._plugin, TaskBase):
            self._plugin.running = False
        elif isinstance(self._plugin, JobBase):
            self._plugin.cancelled = True

    def end(self) -> Future[None]:
        """End the cycles, run cleanup() and save the values, for good."""
        self.ask_to_end()
        return self.thread.submit(self._end)

    def _end(self) -> None:
        if isinstance(self._runner, TaskRunner):
            self._runner.stop()
        self._ended.set()
        if self._values is not None:
            self._values.save()

    def _build(
        self, cls: type[PluginBase], identity: Identity, log_level: str, values: Path | None
    ) -> tuple[RecordInfo, ...]:
        built_in = frozenset(pv.name for pv in identity.pvs if pv.built_in)
        board = self._board = StatusBoard(self._pvs, built_in, self._notify)
        records = self._pvs.build(identity.pv_prefix, identity.pvs, self._client_wrote)
        runtime = Runtime(
            name=identity.name,
            pv_prefix=identity.pv_prefix,
            mode=identity.mode,
            parameters=identity.parameters,
            pv_names=frozenset(pv.name for pv in identity.pvs),
            pvs=self._pvs,
            board=board,
            logger=_logger(cls, identity.name, board, log_level),
        )
        if values is not None:
            self._values = SavedValues(values, identity.name, identity.pvs, self._pvs, runtime.logger)
        plugin = self._plugin = construct(cls, runtime)
        alarm = TaskState.ERROR if isinstance(plugin, TaskBase) else JobState.FAILED
        watch = self._watch = CallWatch(board, self._clock, identity.watchdog, alarm, runtime.logger)
        if isinstance(plugin, TaskBase):
            self._runner = TaskRunner(plugin, board, self._clock, watch=watch)
        elif isinstance(plugin, JobBase):
            self._runner = JobRunner(plugin, board, watch)
        assert self._runner is not None
        self._pvs.put("VERSION", identity.version)
        self._runner.prepare()
        self.thread.attach(self._runner)
        return records

    def _client_wrote(self, name: str, value: PvValue) -> None:
        """Take a client's put; called in one of EPICS's threads, so it only passes on."""
        self.thread.submit(self._deliver, name, value)
        if self._ended.is_set() and self._values is not None:
            self.thread.submit(self._values.save)  # a put in the moments between the last save and the process's end

    def _deliver(self, name: str, value: PvValue) -> None:
        runner = self._runner
        match name:
            case "ENABLE" if isinstance(runner, TaskRunner):
                runner.set_enabled(bool(value))
            case "RUN" | "CLEAR" | "RESET":
                if value:
                    self._pvs.put(name, False)  # it was taken
                if value and name == "RUN" and runner is not None:
                    runner.trigger() if isinstance(runner, TaskRunner) else runner.run()
            case _ if isinstance(runner, TaskRunner):
                runner.write(name, value)
            case _:
                pass

    def beat(self) -> None:
        """Show that the process lives, and look after calls that do not return."""
        self._beats += 1
        if isinstance(self._plugin, TaskBase):
            self._pvs.put("HEARTBEAT", self._beats & 0x7FFFFFFF)
            self._pvs.put("UPTIME", int(self._clock.monotonic() - self._began))
        if self._watch is not None:
            self._watch.look()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_PERIOD):
            self.beat()

    def _keep(self, values: SavedValues) -> None:
        while not self._ended.wait(SAVE_PERIOD):
            values.save()


def _start(runner: TaskRunner) -> None:
    # Told in our words from here on: an author's CancelledError, say, must not pass for one of asyncio's.
    try:
        runner.start()
    except AUTHOR_ERRORS as error:
        raise PluginRejected.because(author_failure("initialize", error)) from None


class _BoardHandler(logging.Handler):
    """Keeps a plugin's log lines on its board."""

    def __init__(self, board: StatusBoard) -> None:
        super().__init__()
        self._board = board
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._board.log(self.format(record))


def _logger(cls: type[PluginBase], name: str, board: StatusBoard, level: str) -> logging.Logger:
    logger = logging.getLogger(f"iocmng.{cls.kind.value}.{name}")
    logger.setLevel(level.upper())
    logger.addHandler(_BoardHandler(board))
    return logger
