"""Everything one plugin needs around it, put together: its thread, its records, its runner, its log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from iocmng.base.author_thread import AuthorThread
from iocmng.base.board import StatusBoard
from iocmng.base.construct import author_failure, construct
from iocmng.base.identity import Identity
from iocmng.base.job import JobBase
from iocmng.base.job_runner import JobRunner
from iocmng.base.plugin import PluginBase, Runtime
from iocmng.base.task import TaskBase
from iocmng.base.task_runner import AUTHOR_ERRORS, TaskRunner
from iocmng.core.ports import Clock, PvServer
from iocmng.core.pv_fields import PvValue
from iocmng.core.spec import RecordInfo, Report
from iocmng.errors import PluginRejected, WrongKind

HEARTBEAT_PERIOD = 1.0
"""Seconds between two steps of HEARTBEAT and UPTIME."""


class PluginHost:
    """Hosts one plugin: the author's code in its thread, everything else from any thread.

    Args:
        pvs: Serves the plugin's records.
        clock: Time for the cycles.
        notify: Told of each change of the report; must return quickly.
    """

    def __init__(self, pvs: PvServer, clock: Clock, notify: Callable[[bool], None] | None = None) -> None:
        self._pvs = pvs
        self._clock = clock
        self._notify = notify
        self._ended = threading.Event()
        self._plugin: PluginBase | None = None
        self._board: StatusBoard | None = None
        self._runner: TaskRunner | JobRunner | None = None
        self.thread = AuthorThread(clock)

    def build(self, cls: type[PluginBase], identity: Identity, log_level: str) -> Future[tuple[RecordInfo, ...]]:
        """Make the records and the plugin's object, in the author's thread; nothing is served yet.

        The future raises PluginRejected for the step `records` or `constructor`.
        """
        return self.thread.submit(self._build, cls, identity, log_level)

    def serve(self) -> tuple[int, int]:
        """Answer EPICS clients; return the CA and the PVA port."""
        ports = self._pvs.run()
        threading.Thread(target=self._beat, name="iocmng-heartbeat", daemon=True).start()
        return ports

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
        """End the cycles and run cleanup(), for good."""
        self._ended.set()
        self.ask_to_end()
        runner = self._runner
        return self.thread.submit(runner.stop if isinstance(runner, TaskRunner) else lambda: None)

    def _build(self, cls: type[PluginBase], identity: Identity, log_level: str) -> tuple[RecordInfo, ...]:
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
        plugin = self._plugin = construct(cls, runtime)
        if isinstance(plugin, TaskBase):
            self._runner = TaskRunner(plugin, board, self._clock)
        elif isinstance(plugin, JobBase):
            self._runner = JobRunner(plugin, board)
        assert self._runner is not None
        self._pvs.put("VERSION", identity.version)
        self._runner.prepare()
        self.thread.attach(self._runner)
        return records

    def _client_wrote(self, name: str, value: PvValue) -> None:
        """Take a client's put; called in one of EPICS's threads, so it only passes on."""
        self.thread.submit(self._deliver, name, value)

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

    def _beat(self) -> None:
        if not isinstance(self._plugin, TaskBase):
            return
        started, beats = self._clock.monotonic(), 0
        while not self._ended.wait(HEARTBEAT_PERIOD):
            beats += 1
            self._pvs.put("HEARTBEAT", beats & 0x7FFFFFFF)
            self._pvs.put("UPTIME", int(self._clock.monotonic() - started))


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
