"""PluginHarness: a plugin in the test's own process, with PVs in memory and a clock that the test turns."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from iocmng.base.host import HEARTBEAT_PERIOD, PluginHost
from iocmng.base.identity import identify
from iocmng.base.job import JobResult
from iocmng.base.job_runner import LOCAL_RUN
from iocmng.base.plugin import PluginBase
from iocmng.core import pv_client
from iocmng.core.builtin_pvs import JobState
from iocmng.core.names import check_plugin_name, plugin_pv_prefix
from iocmng.core.pv_fields import PvValue
from iocmng.core.runs import RunOrder
from iocmng.core.spec import Report
from iocmng.testing.clock import FakeClock
from iocmng.testing.inline import InlineThread
from iocmng.testing.outside import FakePvClient
from iocmng.testing.pvs import FakePvs
from iocmng.testing.source import Config, Plugin, load_plugin, plugin_directory

_AUTHORS = (Exception, SystemExit, asyncio.CancelledError, GeneratorExit)
"""What author's code may raise for itself."""


class PluginHarness:
    """Runs one plugin as a server would, without EPICS, Ray and threads.

    The plugin passes the same checks, and its cycles, runs, alarms and messages are made by the same code. Only its PVs
    are in memory, and time passes when the test says so. When the harness is made, the PVs are there and the task
    waits for its start (STATUS is INIT).

    Args:
        plugin: The plugin's class, or its directory.
        parameters: Laid over those of config.yaml, as when it is added.
        name: Name of the plugin; the directory's if not given.
        prefix: PREFIX of the PV names.
        config: Instead of the config.yaml beside the plugin: its contents, a file or a directory.
        outside: The PVs of other IOCs that `pv_client` shall find.

    Attributes:
        clock: The clock of the cycles.
        pvs: The PVs by name, without prefix: `pvs["READING"].value`, `.severity`, `.text`, `.history`.
        outside: The PVs of other IOCs: fill `outside.values`, look at `outside.puts`.
        progress: What the last run of a job has reported, in percent.

    Raises:
        PluginRejected: If the plugin fails a check, as the server would say it.
    """

    def __init__(
        self,
        plugin: Plugin,
        *,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        prefix: str = "TEST",
        config: Config | None = None,
        outside: FakePvClient | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.pvs = FakePvs()
        self.outside = outside or FakePvClient()
        self.progress: list[float] = []
        self._thread = InlineThread(self.clock, self.outside)
        self._host = PluginHost(self.pvs, self.clock, thread=self._thread)
        self._log: list[str] = []
        self._cancel_at = float("inf")
        self._is_closed = False
        self._borrowed = ExitStack()
        self._path, self._modules = list(sys.path), set(sys.modules)
        self._directory = None if isinstance(plugin, type) else plugin_directory(plugin)
        # For the test's own calls; the plugin's code gets the harness's own in any case.
        self._borrowed.enter_context(pv_client.using(self.outside))
        try:
            self._build(plugin, parameters or {}, name, prefix, config)
        except BaseException:
            self._leave()
            raise

    def _build(
        self, plugin: Plugin, parameters: Mapping[str, Any], name: str | None, prefix: str, config: Config | None
    ) -> None:
        loaded = load_plugin(plugin, config)
        name = check_plugin_name(name or loaded.name)
        pv_prefix = plugin_pv_prefix(prefix, name, loaded.manifest.prefix)
        identity = identify(name, pv_prefix, loaded.cls, loaded.manifest, parameters, commit=None)
        self._borrow_logger(logging.getLogger(f"iocmng.{loaded.cls.kind.value}.{name}"))
        self._host.build(loaded.cls, identity, "debug").result()
        self.pvs.listeners.append(self._note)
        self._thread.submit(self._host.open).result()
        self._next_beat = self.clock.now + HEARTBEAT_PERIOD

    @property
    def plugin(self) -> PluginBase:
        """The plugin's object."""
        return self._host.plugin

    @property
    def status(self) -> str:
        """The text of STATUS: INIT, RUN, PAUSED, END or ERROR; of a job IDLE, RUNNING, SUCCESS or FAILED."""
        return self.pvs["STATUS"].text

    @property
    def message(self) -> str:
        """The whole message; the MESSAGE PV has as much of it as fits."""
        return self._report().message

    @property
    def log(self) -> list[str]:
        """The plugin's log lines so far, oldest first."""
        self._report()
        return self._log

    def start(self) -> None:
        """Run initialize(), and the first cycle of a task that is not triggered.

        Raises:
            PluginRejected: If initialize() raises; the server would refuse the plugin with the same words.
        """
        self._host.set_running(True).result()

    def stop(self) -> None:
        """End the cycles and run cleanup(). What cleanup() raises shows in `status` and `message`."""
        self._host.set_running(False).result()

    def advance(self, seconds: float) -> None:
        """Let time pass, and run on the way what becomes due: cycles, HEARTBEAT, INIT after a triggered run.

        It returns at once, however long the time; code that takes time itself is to wait with `clock.sleep`.
        """
        end = self.clock.now + seconds
        while (due := min(self._next_beat, self._thread.wake_at)) <= end:
            self.clock.now = max(self.clock.now, due)
            if self._next_beat <= self.clock.now:
                self._next_beat += HEARTBEAT_PERIOD
                self._host.beat()
            self._thread.tick_if_due()
        self.clock.now = max(self.clock.now, end)

    def put(self, name: str, value: Any) -> None:
        """Write an input as an operator does: on_write() is called, ENABLE pauses, RUN runs.

        Args:
            name: Name of the PV, without prefix.
            value: A value that fits; for an enum or a bool also the name of a state.

        Raises:
            UnknownPv: If there is none of this name.
            AuthorError: If it is an output, which clients cannot write.
            PvValueError: If the value does not fit its type.
        """
        self.pvs.put_by_client(name, value)

    def trigger(self) -> None:
        """Write 1 to RUN: a triggered task or a job runs once."""
        self.put("RUN", True)

    def run_job(self, /, **parameters: Any) -> JobResult:
        """Run a job once, with these parameters laid over its own; return the result.

        Raises:
            WrongKind: If the plugin is a task.
            InvalidRequest: If a parameter does not fit what the job declares; the server would refuse the run.
        """
        self._host.check_parameters(parameters).result()
        return JobResult(**self._host.run_job(RunOrder(LOCAL_RUN, parameters)).result().result)

    def cancel_at(self, percent: float) -> None:
        """Turn `self.cancelled` of the job true as soon as the next run reports that many percent."""
        self._cancel_at = percent

    def close(self) -> None:
        """End the plugin for good, with cleanup() if it runs; the fixture does it at the end of the test."""
        if self._is_closed:
            return
        self._is_closed = True
        self._host.end().result()
        self._report()
        self._leave()

    def _borrow_logger(self, logger: logging.Logger) -> None:
        """Look at what is logged; when the harness is left, the logger is as it was."""
        logger.addFilter(self._look_at_error)
        self._borrowed.callback(logger.removeFilter, self._look_at_error)
        self._borrowed.callback(setattr, logger, "handlers", list(logger.handlers))

    def _leave(self) -> None:
        self._borrowed.close()
        sys.path[:] = self._path
        if self._directory is None:
            return
        # In operation each plugin has a process of its own: here the next one may have modules of the same names.
        for name in set(sys.modules) - self._modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(self._directory):
                del sys.modules[name]

    def _note(self, name: str, value: PvValue) -> None:
        self._look_at_error()
        if name == "STATUS" and self.status == JobState.RUNNING:
            self.progress = []
        if name == "PROGRESS":
            self.progress.append(float(value))
            if float(value) >= self._cancel_at:
                self._cancel_at = float("inf")
                self._host.cancel_run(LOCAL_RUN)

    def _look_at_error(self, record: logging.LogRecord | None = None) -> bool:
        """Let what is meant for pytest reach it: Ctrl-C, time-outs, fail() and skip() in a stub.

        The runners take whatever author's code raises for the author's, and show and log it while they handle it.
        """
        error = sys.exception()
        if error is not None and not isinstance(error, _AUTHORS):
            self._thread.interruption = error
        return True

    def _report(self) -> Report:
        report = self._host.report()
        self._log += report.log
        return report
