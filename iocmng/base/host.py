"""Everything one plugin needs around it, put together: its thread, its records, its runner, its log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from iocmng.base.author_errors import AUTHOR_ERRORS
from iocmng.base.author_thread import AuthorThread, Calling
from iocmng.base.board import StatusBoard
from iocmng.base.call_watch import CallWatch
from iocmng.base.client_writes import ClientWrites
from iocmng.base.construct import author_failure, construct
from iocmng.base.devices import PluginDevices
from iocmng.base.identity import Identity
from iocmng.base.job import JobBase
from iocmng.base.job_runner import JobRunner
from iocmng.base.local_mapper import LocalMapper
from iocmng.base.parameters import CheckedParameters
from iocmng.base.plugin import PluginBase, Runtime
from iocmng.base.plugin_log import plugin_logger
from iocmng.base.put_delivery import PutDelivery
from iocmng.base.saved_values import SavedValues
from iocmng.base.shown_run import CopiedPvs, HiddenPvs, ShownRun
from iocmng.base.task import TaskBase
from iocmng.base.task_runner import TaskRunner
from iocmng.core.builtin_pvs import JobState, Kind, TaskState
from iocmng.core.ports.plugin import ClientPuts, Clock, DeviceProvider, Mapper, PvServer
from iocmng.core.pv_fields import PvValue
from iocmng.core.results import RESULT_MAX_BYTES
from iocmng.core.runs import RunOrder, RunOutcome
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
        hands_out_runs: Whether somebody takes the runs that a client asks for by RUN, see take_wanted_runs(); else a
            job runs at once.
        thread: Runs the author's code; None makes a thread for it.
        client_puts: Tells who has written what; None where nobody knows.
    """

    def __init__(
        self,
        pvs: PvServer,
        clock: Clock,
        notify: Callable[[bool], None] | None = None,
        *,
        hands_out_runs: bool = False,
        thread: Calling | None = None,
        client_puts: ClientPuts | None = None,
    ) -> None:
        self._pvs = pvs
        self._writes = ClientWrites(client_puts, clock, notify)
        self._clock = clock
        self._notify = notify
        self._hands_out_runs = hands_out_runs
        self._shown = ShownRun()
        self._copies: CopiedPvs | None = None
        self._ended = threading.Event()
        self._plugin: PluginBase | None = None
        self._board: StatusBoard | None = None
        self._runner: TaskRunner | JobRunner | None = None
        self._delivery: PutDelivery | None = None
        self._watch: CallWatch | None = None
        self._values: SavedValues | None = None
        self._parameters: CheckedParameters | None = None
        self._checks: AuthorThread | None = None
        self.on_board: Callable[[StatusBoard], None] | None = None
        """Told of the board as soon as there is one; to be set before build()."""
        self.keep_lines: Callable[[int, str], None] | None = None
        """Keeps each log line where it outlives this process; to be set before build()."""
        self._began = 0.0
        self._beats = 0
        self._built_in = frozenset[str]()
        self.thread: Calling = thread or AuthorThread(clock)

    def build(
        self,
        cls: type[PluginBase],
        identity: Identity,
        log_level: str,
        values: Path | None = None,
        *,
        result_max_bytes: int = RESULT_MAX_BYTES,
        mapper: Mapper | None = None,
        devices: DeviceProvider | None = None,
    ) -> Future[tuple[RecordInfo, ...]]:
        """Make the records and the plugin's object, in the author's thread; nothing is served yet.

        The future raises PluginRejected for the step `records` or `constructor`.

        Args:
            cls: The plugin's class.
            identity: What the plugin is told about itself.
            log_level: Least severe log lines to show.
            values: Directory of the plugin's saved PV values; None where none are kept.
            result_max_bytes: Largest result of a job's run, in bytes of JSON.
            mapper: Runs the items of map(); None: they run in this process.
            devices: Makes its ophyd devices; None where they are switched off.
        """
        mapper = mapper or LocalMapper()
        return self.thread.submit(self._build, cls, identity, log_level, values, result_max_bytes, mapper, devices)

    def serve_nothing(self) -> None:
        """Make no records: this process is for runs of a job whose PVs another one serves; called before build()."""
        notify = self._notify
        self._pvs = self._copies = CopiedPvs(lambda: notify(True) if notify is not None else None)

    def serve(self) -> tuple[int, int]:
        """Restore the saved values, then answer EPICS clients; return the CA and the PVA port.

        Called in the author's thread, once the process that served the PVs before has ended.
        """
        ports = self.open()
        self.look_after()
        if self._values is not None:
            # Apart from the heartbeat, which a slow disk must not hold up.
            threading.Thread(target=self._keep, args=(self._values,), name="iocmng-autosave", daemon=True).start()
        return ports

    def look_after(self) -> None:
        """Begin to beat each second; serve() does that, and a process that serves nothing needs it for its watchdog."""
        threading.Thread(target=self._beat, name="iocmng-heartbeat", daemon=True).start()

    def open(self) -> tuple[int, int]:
        """Do what serve() does, but for the threads: the caller calls beat() each second."""
        if self._values is not None:
            self._values.restore()
        if isinstance(self._runner, TaskRunner):
            self._runner.set_enabled(bool(self._pvs.get("ENABLE")))
        self._began = self._clock.monotonic()
        return self._pvs.run()

    def check_parameters(self, parameters: Mapping[str, Any]) -> Future[None]:
        """Check the parameters of a run that has not begun, without waiting for the one that goes on.

        In a thread of its own, because the author's may be busy for hours; so the validators of a model must not touch
        anything but their values. The future raises InvalidRequest if a parameter does not fit.
        """
        if self._checks is None:
            self._checks = AuthorThread(self._clock, "iocmng-parameters")
        return self._checks.submit(self._check, parameters)

    def _check(self, parameters: Mapping[str, Any]) -> None:
        if self._parameters is not None:
            self._parameters.of_run(parameters)

    def set_running(self, running: bool) -> Future[None]:
        """Start or stop the cycles; a job has none, so nothing happens to it.

        The future raises PluginRejected for the step `initialize`, if that raises.
        """
        runner = self._runner
        if not isinstance(runner, TaskRunner):
            return self.thread.submit(lambda: None)
        if running:
            return self.thread.submit(_start, runner, self._board)
        self.ask_to_end()
        return self.thread.submit(runner.stop)

    def run_job(self, order: RunOrder) -> Future[RunOutcome]:
        """Run the job after the runs that wait already; the future has what became of it.

        Raises:
            WrongKind: If the plugin is a task.
        """
        if not isinstance(self._runner, JobRunner):
            raise WrongKind("only a job can be run")
        self._runner.expect(order.run)
        if self._copies is not None:
            self._copies.begin(order.pvs or {})
        return self.thread.submit(self._runner.run, order)

    def cancel_run(self, run: int) -> None:
        """Turn `cancelled` true for a run that waits or goes on, whatever the author's thread is doing."""
        if isinstance(self._runner, JobRunner):
            self._runner.cancel(run)

    def take_wanted_runs(self) -> tuple[str, ...]:
        """Return who has written 1 to RUN since the last call, each as often as he has, and show that it was taken.

        Apart from the reports, which only tell of it: one may go to a Controller that has died.
        """
        wanted = self._writes.take_wanted_runs()
        if wanted:
            self._pvs.put("RUN", False)
        return wanted

    def show(self, message: str, state: str) -> None:
        """Show a message in MESSAGE and, unless it is empty and while no run goes on, a state in STATUS."""
        assert self._board is not None
        self._board.tell(message, state)

    @property
    def plugin(self) -> PluginBase:
        """The plugin's object, once it is built."""
        assert self._plugin is not None
        return self._plugin

    def report(self) -> Report:
        """Return what there is to tell."""
        assert self._board is not None
        told = self._writes
        report = replace(
            self._board.report(), wanted_runs=told.wanted_runs, writes=told.take_untold(), clients=told.clients
        )
        return report if self._copies is None else replace(report, puts=self._copies.take())

    def tell_again(self) -> None:
        """Have the next report tell everything that the run has set: the last one may have gone to nobody."""
        if self._copies is not None:
            self._copies.tell_again()

    def pv_values(self) -> dict[str, PvValue]:
        """Return the values of the plugin's own PVs, by name."""
        return {name: self._pvs.get(name) for name in self._own_pvs}

    def follow_run(self, run: int, report: Report) -> None:
        """Show what a run in another process says of itself, unless a newer one is shown."""
        assert self._board is not None
        if self._shown.show(run, report.version):
            self._board.follow(report)

    def ask_to_end(self) -> None:
        """Turn `running` false and `cancelled` true at once, whatever the author's thread is doing."""
        if isinstance(self._plugin, TaskBase):
            self._plugin.running = False
        elif isinstance(self._runner, JobRunner):
            self._runner.end()

    def end(self) -> Future[None]:
        """End the cycles, run cleanup() and save the values, for good."""
        self.ask_to_end()
        return self.thread.submit(self._end)

    def _end(self) -> None:
        if isinstance(self._runner, TaskRunner):
            self._runner.stop()
        self._ended.set()
        self._writes.look(everything=True)
        if self._values is not None:
            self._values.save()

    def _build(
        self,
        cls: type[PluginBase],
        identity: Identity,
        log_level: str,
        values: Path | None,
        result_max_bytes: int,
        mapper: Mapper,
        devices: DeviceProvider | None,
    ) -> tuple[RecordInfo, ...]:
        built_in = self._built_in = frozenset(pv.name for pv in identity.pvs if pv.built_in)
        board = self._board = StatusBoard(self._pvs, built_in, self._notify, self._shown, self.keep_lines)
        self._own_pvs = tuple(pv.name for pv in identity.pvs if not pv.built_in)
        records = self._pvs.build(identity.pv_prefix, identity.pvs, self._client_wrote)
        board.hide(identity.checked.secret_texts())
        if self.on_board is not None:
            self.on_board(board)
        logger = self._writes.logger = plugin_logger(cls.kind, identity.name, board, log_level)
        runtime = Runtime(
            name=identity.name,
            pv_prefix=identity.pv_prefix,
            mode=identity.mode,
            parameters=identity.parameters,
            pv_names=frozenset(pv.name for pv in identity.pvs),
            pvs=HiddenPvs(self._pvs, self._shown, identity.pvs) if cls.kind is Kind.JOB else self._pvs,
            board=board,
            logger=logger,
            mapper=mapper,
            devices=PluginDevices(devices, board, logger),
            typed_parameters=identity.checked.typed,
        )
        self._parameters = identity.checked
        if values is not None:
            self._values = SavedValues(values, identity.name, identity.pvs, self._pvs, runtime.logger)
        try:
            plugin = self._plugin = construct(cls, runtime)
        except PluginRejected as error:
            cleaned = [replace(failure, message=board.clean(failure.message)) for failure in error.failures]
            raise PluginRejected.because(*cleaned) from None
        alarm = TaskState.ERROR if isinstance(plugin, TaskBase) else JobState.FAILED
        watch = self._watch = CallWatch(board, self._clock, identity.watchdog, alarm, runtime.logger)
        if isinstance(plugin, TaskBase):
            self._runner = TaskRunner(plugin, board, self._clock, watch=watch)
        elif isinstance(plugin, JobBase):
            self._runner = JobRunner(plugin, board, watch, result_max_bytes, identity.checked)
        assert self._runner is not None
        told = frozenset(pv.name for pv in identity.pvs if pv.told)
        self._delivery = PutDelivery(self._runner, self._pvs, built_in, told)
        if "VERSION" in built_in:
            self._pvs.put("VERSION", identity.version)
        self._runner.prepare()
        self.thread.attach(self._runner)
        return records

    def _client_wrote(self, name: str, value: PvValue) -> None:
        """Take a client's put; called in one of EPICS's threads, so it only passes on."""
        if self._hands_out_runs and self._delivery is not None and self._delivery.asks_for_a_job(name):
            if value:  # RUN stays 1 until somebody takes note of it, so an operator sees that nobody does
                self._writes.want_run()
            return
        self.thread.submit(self._deliver, name, value)
        if self._ended.is_set() and self._values is not None:
            self.thread.submit(self._values.save)  # a put in the moments between the last save and the process's end

    def _deliver(self, name: str, value: PvValue) -> None:
        if self._delivery is not None:
            self._delivery.deliver(name, value)

    def beat(self) -> None:
        """Show that the process lives, and look after calls that do not return."""
        self._beats += 1
        if "HEARTBEAT" in self._built_in:
            self._pvs.put("HEARTBEAT", self._beats & 0x7FFFFFFF)
        if "UPTIME" in self._built_in:
            self._pvs.put("UPTIME", int(self._clock.monotonic() - self._began))
        if self._watch is not None:
            self._watch.look()
        self._writes.look()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_PERIOD):
            self.beat()

    def _keep(self, values: SavedValues) -> None:
        while not self._ended.wait(SAVE_PERIOD):
            values.save()


def _start(runner: TaskRunner, board: StatusBoard | None) -> None:
    # Told in our words from here on: an author's CancelledError, say, must not pass for one of asyncio's.
    try:
        runner.start()
    except AUTHOR_ERRORS as error:
        failure = author_failure("initialize", error)
        message = board.clean(failure.message) if board is not None else failure.message
        raise PluginRejected.because(replace(failure, message=message)) from None
