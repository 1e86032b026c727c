"""A launcher and a store that a test holds in its hand: no Ray, no database."""

import asyncio
from dataclasses import replace

from iocmng.core.builtin_pvs import Kind
from iocmng.core.manifest import Manifest
from iocmng.core.ports.processes import ANYWHERE, Bundle, FoundFurther, FoundProcess
from iocmng.core.runs import HeldRun, RunOutcome, RunReport
from iocmng.core.spec import Endpoint, PluginFacts, RecordInfo, Report
from iocmng.core.state import Loaded
from iocmng.errors import PluginCrashed, StateUnavailable, WrongKind


class MemoryStore:
    """Keeps everything in dictionaries.

    Attributes:
        full: While true, nothing can be written.
    """

    def __init__(self):
        self.entries, self.history, self.credentials, self.kept_events = {}, {}, {}, []
        self.kept_runs, self.last_run = {}, 0
        self.runs_kept = 100
        self.audited = []
        self.full = self.closed = False
        self.run_states = []

    def _check(self):
        if self.full:
            raise StateUnavailable("the disk is full")

    def load(self):
        last = max((event.id for event in self.kept_events), default=0)
        ended = {run.job: (run.id, run.state) for run in self._runs() if run.has_ended}
        return Loaded(tuple(self.entries.values()), last, self.last_run, ended, len(self.audited))

    def save(self, entry, generation=None):
        self._check()
        self.entries[entry.spec.name] = entry
        if generation is not None:
            self.add_generation(generation)

    def delete(self, name):
        self._check()
        for table in (self.entries, self.history, self.credentials):
            table.pop(name, None)
        self.kept_runs = {number: run for number, run in self.kept_runs.items() if run.job != name}

    def save_run(self, run):
        self._check()
        if run.job not in self.entries:
            return
        self.run_states.append((run.id, run.state.value))
        self.kept_runs[run.id] = run
        self.last_run = max(self.last_run, run.id)
        ended = [one.id for one in reversed(self._runs()) if one.job == run.job and one.has_ended]
        for number in ended[self.runs_kept :] if run.has_ended else ():
            del self.kept_runs[number]

    def _runs(self):
        return [self.kept_runs[number] for number in sorted(self.kept_runs)]

    def runs(self, job, states, before, limit):
        found = [run for run in reversed(self._runs()) if run.job == job and (not states or run.state in states)]
        return [run for run in found if before is None or run.id < before][:limit]

    def run(self, job, run):
        found = self.kept_runs.get(run)
        return found if found is not None and found.job == job else None

    def open_runs(self):
        return [run for run in self._runs() if not run.has_ended]

    def add_generation(self, generation):
        self._check()
        self.history.setdefault(generation.plugin, []).insert(0, generation)

    def generations(self, name):
        return list(self.history.get(name, []))

    def set_credential(self, name, credential):
        self._check()
        self.credentials[name] = credential

    def credential(self, name):
        return self.credentials.get(name)

    def add_events(self, events):
        self._check()
        self.kept_events += events

    def events(self, name, after, limit):
        return [one for one in self.kept_events if one.id > after and name in (None, one.plugin)][-limit:]

    def add_audit(self, entries):
        self._check()
        self.audited += entries

    def audit(self, query):
        return list(reversed(self.audited))[: query.limit]

    def close(self):
        self.closed = True


class FakeHandle:
    """A plugin process that does what the launcher's `fail` says and counts what was asked of it."""

    def __init__(self, launcher):
        self.launcher = launcher
        self.is_alive = True
        self.reports = asyncio.Queue()
        self.version = 0
        self.remote_node = launcher.remote_node
        self.last_lines = launcher.leave
        self.unseen = 0.0
        self.orders, self.asked_to_end, self.shown = {}, [], []
        self.current = None
        self.is_worker = False
        self.wanted = 0
        self.followed = []

    async def _step(self, name):
        self.launcher.calls.append(name)
        if gate := self.launcher.gates.get(name):
            await gate.wait()
        if errors := self.launcher.fail.get(name):
            error = errors.pop(0)
            if error is not None:
                raise error

    def report(self, status="running", running=True):
        self.version += 1
        return Report(self.version, status, status.upper(), "", running)

    async def prepare(self, spec, bundle, site_prefix):
        await self._step("prepare")
        self.name, self.spec, self.bundle = spec.name, spec, bundle
        if spec.kind is not None and spec.kind is not self.launcher.kind:
            raise WrongKind("the other kind")
        prefix = f"{site_prefix}:{self.launcher.segments.get(spec.name, spec.name.upper())}"
        self.facts = PluginFacts(
            kind=self.launcher.kind,
            class_name="C",
            mode="continuous",
            pv_prefix=prefix,
            plugin_prefix=spec.name,
            parameters=self.launcher.parameters,
            pv_definitions={"inputs": {}, "outputs": {}},
            commit=None,
            branch=None,
            parameters_schema=self.launcher.parameters_schema,
            declared=self.launcher.declared,
            secrets=self.launcher.secrets,
            concurrency=self.launcher.manifest.concurrency,
        )
        return self.facts

    async def build(self):
        await self._step("build")
        segment = self.launcher.segments.get(self.name, self.name.upper())
        self.records = (RecordInfo(f"T:{segment}:STATUS", "mbbi", "output", True),)
        return self.records

    async def start(self, running):
        await self._step("start")
        self.launcher.serving.append(self)
        self.running = running
        self.endpoint = Endpoint("h", 1, 2, 3, "n", self.records)
        return self.endpoint, self.report("running" if running else "loaded", running)

    async def check_parameters(self, parameters):
        await self._step("check_parameters")

    async def unseen_for(self):
        return self.unseen

    def found(self):
        """Return this process as a later Controller finds it."""
        report = self.report("running" if self.running else "stopped", self.running)
        held = self.held()
        if held is not None and held.goes_on:
            report = replace(report, run=RunReport(held.run, 10.0))
        return FoundProcess(self, self.spec, self.bundle, self.facts, self.endpoint, report, self.running, held)

    def found_further(self):
        """Return the same of a further process."""
        return FoundFurther(self, self.spec, self.bundle, self.held())

    def held(self):
        """Return the newest run that it was told of."""
        return HeldRun(max(self.orders), not self.current.done()) if self.orders else None

    async def next_report(self, within):
        report = await self.reports.get()
        if isinstance(report, Exception):
            raise report
        return report

    async def set_running(self, running):
        await self._step("set_running")
        self.running = running
        return self.report("running" if running else "stopped", running)

    async def run_job(self, order):
        self.orders[order.run] = order
        self.current = asyncio.get_running_loop().create_future()
        await self._step("run_job")
        if not self.is_alive:
            raise PluginCrashed("the plugin's process ended")
        if not self.launcher.holds_runs:
            self.finish()
        return await self.outcome_of(order.run)

    async def outcome_of(self, run):
        outcome = await asyncio.shield(self.current)
        return outcome, self.report("loaded", running=False)

    def finish(self, success=True, message="done", data=None, was_cancelled=False, log=()):
        """Let the run that goes on end."""
        result = {"success": success, "data": data, "message": message, "timestamp": "2026-01-01T00:00:00+00:00"}
        if not self.current.done():
            self.current.set_result(RunOutcome(result, was_cancelled, log))

    async def prepare_runs(self, spec, bundle, site_prefix):
        await self._step("prepare_runs")
        self.name, self.spec, self.bundle = spec.name, spec, bundle
        self.is_worker = True

    async def pv_values(self):
        await self._step("pv_values")
        return dict(self.launcher.pv_values)

    async def take_wanted_runs(self):
        taken, self.wanted = self.wanted, 0
        return ("ada@console", "", *[""] * taken)[:taken]

    async def follow_run(self, run, report):
        self.followed.append((run, report))

    async def cancel_run(self, run):
        self.asked_to_end.append(run)
        await self._step("cancel_run")
        if self.launcher.obeys:
            self.finish(False, "cancelled by its author", was_cancelled=True)

    async def show(self, message, state):
        if not self.is_alive:
            self.launcher.calls.append("show in a dead process")
            raise PluginCrashed("the plugin's process ended")
        self.shown.append((message, state))

    async def stop(self):
        await self._step("stop")
        if self.launcher.obeys and self.current is not None:
            self.finish(False, "told to end", was_cancelled=True)
        await self.kill()
        return self.report("stopped", running=False)

    async def kill(self, why=""):
        self._die(why or "the plugin's process ended")

    def _die(self, why):
        self.is_alive = False
        if self in self.launcher.serving:
            self.launcher.serving.remove(self)
        if self.current is not None and not self.current.done():
            self.current.set_exception(PluginCrashed(why))
        self.reports.put_nowait(PluginCrashed(why))

    def crash(self, why="the plugin's process ended"):
        """End by itself."""
        self._die(why)


class FakeLauncher:
    """Hands out FakeHandles.

    Attributes:
        fail: Errors by step, raised in turn; None lets a call pass.
        gates: A step waits for the event of its name.
        serving: Handles whose PVs are up.
        contents: What the directories of jobs hold, by path.
        leave: Log lines that processes leave which die.
        kept: The digests of the last collection.
        holds_runs: Whether runs go on until finish() is called; else they end at once, with success.
        obeys: Whether a run ends when it is told to.
    """

    def __init__(self):
        self.fail, self.gates, self.segments, self.calls = {}, {}, {}, []
        self.handles, self.serving = [], []
        self.kind = Kind.TASK
        self.manifest = Manifest()
        self.parameters, self.parameters_schema, self.declared = {}, None, None
        self.secrets = frozenset()
        self.kept = self.kept_values = None
        self.fetched = 0
        self.leave = ()
        self.sources = []
        self.contents = {}
        self.bundles = {}
        self.found = []
        self.remote_node = None
        self.lost_nodes = {}
        self.pv_values = {"GAIN": 2.0}
        self.holds_runs = False
        self.obeys = True

    async def fetch(self, source, pat):
        self.calls.append(("fetch", pat))
        self.sources.append(source)
        if gate := self.gates.get("fetch"):
            await gate.wait()
        if errors := self.fail.get("fetch"):
            raise errors.pop(0)
        self.fetched += 1
        digest = f"digest-{self.fetched}"
        self.bundles[digest] = Bundle(digest, "/d", None, self.manifest, f"commit-{self.fetched}", "main")
        return self.bundles[digest]

    async def reopen(self, source, files):
        self.calls.append(("reopen", files.digest))
        return self.bundles.get(files.digest)

    async def contents_of(self, source):
        return self.contents.get(getattr(source, "directory", None))

    async def find_processes(self):
        return self.found

    async def unseen_for(self, node):
        return self.lost_nodes.get(node, 0.0)

    async def forget_values(self, keep):
        self.kept_values = keep

    async def take_process(self, placement=ANYWHERE):
        self.placement = placement
        self.handles.append(FakeHandle(self))
        return self.handles[-1]

    async def forget_bundles(self, keep):
        self.kept = keep

    def alive(self):
        """Return the processes that are alive."""
        return [handle for handle in self.handles if handle.is_alive]
