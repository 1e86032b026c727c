"""PluginProcess: what runs in the Ray actor of one plugin. Thin; the work is done in base, loading and epics."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from iocmng.base.facts import plugin_facts
from iocmng.base.host import PluginHost
from iocmng.base.identity import Identity, identify
from iocmng.base.plugin import PluginBase
from iocmng.cluster.last_words import LastWords
from iocmng.cluster.lease import Lease, now
from iocmng.cluster.nodes import machine_address, own_node, public_host
from iocmng.cluster.process_log import ProcessLog
from iocmng.cluster.ray_mapper import RayMapper
from iocmng.cluster.served import ForRuns, Served
from iocmng.cluster.surroundings import Surroundings
from iocmng.core import pv_client
from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import NO_SCHEDULE
from iocmng.core.names import plugin_pv_prefix, underscored_pv_prefix
from iocmng.core.ports.processes import Bundle
from iocmng.core.pv_fields import PvValue
from iocmng.core.runs import HeldRun, RunOrder, RunOutcome
from iocmng.core.spec import Endpoint, PluginFacts, PluginSpec, RecordInfo, Report
from iocmng.epics.clients import EpicsPvClient
from iocmng.epics.ioc import PORTS_FILE, SiteRules, SoftIoc
from iocmng.epics.loader import load_epics
from iocmng.errors import CheckFailure, PluginCrashed, PluginRejected, WrongKind, WrongState
from iocmng.loading.confinement import confine, confinement, forbid_new_privileges
from iocmng.loading.importer import load_class
from iocmng.ophyd import device_provider

REPORT_PERIOD = 1.0
"""Seconds between two reports while only counters and log lines change; each costs some milliseconds of CPU."""

REPORT_PAUSE = 0.02
"""Seconds in which changes are gathered into one report."""


class PluginProcess:
    """Runs one plugin. Its methods are called by the Controller alone, in the order of PluginHandle."""

    def __init__(self) -> None:
        self._ioc = SoftIoc()
        self._host: PluginHost | None = None
        self._class: type[PluginBase] | None = None
        self._identity: Identity | None = None
        self._records: tuple[RecordInfo, ...] = ()
        self._served: Served | None = None
        self._lease = Lease()
        self._words: LastWords | None = None
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._only_runs = False
        self._run: tuple[int, Future[RunOutcome]] | None = None
        self._controllers = 0

    async def warm(self) -> tuple[int, str]:
        """Load Python's and EPICS's libraries before a plugin is known; return the process id and Ray's node id.

        A Controller that finds this process asks again, and is told the same.
        """
        if self._host is None:
            await self._load()
        return os.getpid(), own_node()

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()

        def notify(urgent: bool) -> None:
            if not self._changed.is_set() or (urgent and not self._urgent.is_set()):
                loop.call_soon_threadsafe(self._note, urgent)

        self._host = PluginHost(self._ioc, time, notify, hands_out_runs=True, client_puts=self._ioc)
        await asyncio.wrap_future(self._host.thread.submit(load_epics))

    async def describe(self) -> tuple[Served | ForRuns | None, float]:
        """Return what this process is for, for a Controller that finds it, or None; and the time, see `next_report`.

        Calls of the Controller before, which nobody waits for any longer, must not take what this one is to be told.
        """
        self._controllers += 1
        if self._host is None:
            return None, now()
        run = None if self._run is None else HeldRun(self._run[0], not self._run[1].done())
        if self._only_runs:
            self._host.tell_again()
            return ForRuns(self._spec, self._bundle, run), now()
        if self._served is None:
            return None, now()
        return replace(self._served, report=self._host.report(), run=run), now()

    async def note_fatal_signals(self, words: LastWords) -> None:
        """Have Python write down where author's code was when a signal such as SIGSEGV ends the process."""
        assert self._host is not None
        faulthandler.enable(words.open(), all_threads=False)
        self._words = words
        self._host.keep_lines = words.open_lines().keep

    async def prepare(self, spec: PluginSpec, bundle: Bundle, site: Surroundings) -> PluginFacts:
        """Confine this process, import the plugin and check everything about it."""
        assert self._host is not None
        settings, manifest = site.settings, bundle.manifest
        self._log = ProcessLog(spec, settings, own_node())
        self._spec, self._bundle = spec, bundle
        self._log_level, self._result_max_bytes = settings.log_level, settings.result_max_bytes
        self._values = settings.values_dir(spec.name)
        alias_prefix = underscored_pv_prefix(site.prefix, spec.name) if settings.underscore_aliases else None
        self._ioc.rules = SiteRules(site.access, settings.port_range, self._values / PORTS_FILE, alias_prefix)
        self._devices = device_provider(site.devices, settings.device_timeout)
        pv_client.install(EpicsPvClient(settings.pva))
        confined = confinement(spec.name, bundle, settings, site.owner)
        self._mapper = RayMapper(bundle, settings, confined)
        if site.owner is not None:
            forbid_new_privileges()  # for the threads that this one makes
        warnings = await asyncio.wrap_future(self._host.thread.submit(confine, confined))
        loading = self._host.thread.submit(load_class, bundle.directory, bundle.packages, manifest)
        cls = self._class = await asyncio.wrap_future(loading)
        if spec.kind is not None and spec.kind is not cls.kind:
            raise WrongKind(f"{spec.name} is a {cls.kind.value} ({cls.__name__}), not a {spec.kind.value}")
        if cls.kind is Kind.TASK and spec.schedule is not None:
            raise PluginRejected.because(CheckFailure("config", f"schedule: {NO_SCHEDULE}"))
        prefix = plugin_pv_prefix(site.prefix, spec.name, manifest.prefix)
        identifying = self._host.thread.submit(
            identify, spec.name, prefix, cls, manifest, spec.parameters, bundle.commit
        )
        identity = self._identity = await asyncio.wrap_future(identifying)
        facts = plugin_facts(cls, identity, manifest, bundle.commit, bundle.branch)
        self._facts = replace(facts, warnings=facts.warnings + warnings)
        return self._facts

    async def build(self) -> tuple[tuple[RecordInfo, ...], float]:
        """Make the plugin's object and its records; return these, and the time, see `next_report`."""
        self._records = await self._build(self._values)
        return self._records, now()

    async def start(self, running: bool, lease: float | None, since: float) -> tuple[Endpoint, Report, float]:
        """Serve the PVs and, if running, begin with initialize() and the cycles.

        Args:
            running: Whether to begin with the cycles.
            lease: See `next_report`.
            since: See `next_report`.

        Returns:
            Where the PVs are served, what there is to tell then, and the time.
        """
        assert self._host is not None
        self._renew(lease, since)
        ports = await asyncio.wrap_future(self._host.thread.submit(self._host.serve))
        report = await self.set_running(True) if running else self._host.report()
        endpoint = Endpoint(machine_address(), *ports, os.getpid(), own_node(), self._records, public_host())
        self._served = Served(self._spec, self._bundle, self._facts, endpoint, report, running, self._words)
        return endpoint, report, now()

    async def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Check the parameters of a run; see PluginHandle."""
        assert self._host is not None
        await asyncio.wrap_future(self._host.check_parameters(parameters))

    async def next_report(self, within: float, lease: float | None, since: float) -> tuple[Report, float]:
        """Wait until there is something new to tell, or so many seconds.

        Args:
            within: Seconds after which there is an answer in any case.
            lease: Seconds for which the PVs may be served without another such call; None is for ever.
            since: The time, on this process's clock, that the newest answer has brought; the lease counts from it.

        Returns:
            What there is to tell, and the time.
        """
        assert self._host is not None
        self._renew(lease, since)
        controller = self._controllers
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._changed.wait()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), REPORT_PERIOD)
                    await asyncio.sleep(REPORT_PAUSE)
        self._check_newest(controller)
        self._changed.clear()
        self._urgent.clear()
        return self._host.report(), now()

    async def set_running(self, running: bool) -> Report:
        """Start or stop the cycles; return what there is to tell then.

        Raises:
            PluginRejected: For the step `initialize`, if it raises.
        """
        assert self._host is not None
        if self._served is not None:
            self._served = replace(self._served, running=running)
        await asyncio.wrap_future(self._host.set_running(running))
        return self._host.report()

    async def run_job(self, order: RunOrder) -> tuple[RunOutcome, Report]:
        """Run the job once; return what became of it, and what there is to tell then."""
        assert self._host is not None
        self._run = order.run, self._host.run_job(order)
        return await self.outcome_of(order.run)

    async def outcome_of(self, run: int) -> tuple[RunOutcome, Report]:
        """Return the same for the newest run that this process was told of, when it has ended.

        Raises:
            WrongState: If it is another one.
        """
        assert self._host is not None
        if self._run is None or self._run[0] != run:
            raise WrongState(f"this process does not know how run {run} ended")
        controller = self._controllers
        # Shielded: the run is not to end with the Controller that waits for it.
        outcome = await asyncio.shield(asyncio.wrap_future(self._run[1]))
        self._check_newest(controller)
        return outcome, self._host.report()

    async def prepare_runs(self, spec: PluginSpec, bundle: Bundle, site: Surroundings) -> None:
        """Import, check and make a job for runs whose PVs another process serves."""
        assert self._host is not None
        self._host.serve_nothing()
        await self.prepare(spec, bundle, site)
        await self._build(None)
        self._host.look_after()
        self._only_runs = True

    async def pv_values(self) -> dict[str, PvValue]:
        """Return the values of the plugin's own PVs."""
        assert self._host is not None
        return self._host.pv_values()

    async def take_wanted_runs(self) -> tuple[str, ...]:
        """Return who has written RUN since the last call."""
        assert self._host is not None
        return self._host.take_wanted_runs()

    async def follow_run(self, run: int, report: Report) -> None:
        """Show what a run in another process says of itself."""
        assert self._host is not None
        self._host.follow_run(run, report)

    async def cancel_run(self, run: int) -> None:
        """Turn `cancelled` true for a run that goes on or waits."""
        assert self._host is not None
        self._host.cancel_run(run)

    async def show(self, message: str, state: str) -> None:
        """Show a message in MESSAGE and a state in STATUS."""
        assert self._host is not None
        self._host.show(message, state)

    async def end(self) -> Report | None:
        """Run cleanup(); return the last report, which has its log lines."""
        self._served, self._only_runs = None, False
        if self._host is None or self._identity is None:
            return None
        await asyncio.wrap_future(self._host.end())
        await asyncio.sleep(REPORT_PAUSE)  # EPICS's own threads send the last values to the clients
        return self._host.report()

    async def _build(self, values: Path | None) -> tuple[RecordInfo, ...]:
        assert self._host is not None
        assert self._class is not None
        assert self._identity is not None
        self._host.on_board = self._log.show_on
        building = self._host.build(
            self._class,
            self._identity,
            self._log_level,
            values,
            result_max_bytes=self._result_max_bytes,
            mapper=self._mapper,
            devices=self._devices,
        )
        return await asyncio.wrap_future(building)

    def _renew(self, lease: float | None, since: float) -> None:
        assert self._host is not None
        if lease is not None and not self._lease.renew(lease, since, self._host):
            raise PluginCrashed("its lease had ended when the Controller's call came")

    def _check_newest(self, controller: int) -> None:
        """Raise, to nobody, where another Controller has taken this process over since a call began."""
        if controller != self._controllers:
            raise WrongState("another Controller has taken this process over")

    def _note(self, urgent: bool) -> None:
        self._changed.set()
        if urgent:
            self._urgent.set()
