"""What is desired of a plugin (PluginSpec) and what is seen of it (PluginStatus)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from iocmng.core.builtin_pvs import Kind
from iocmng.core.client_puts import ClientPut
from iocmng.core.devices import CreatedDevice
from iocmng.core.lifecycle import Phase
from iocmng.core.parameters import ParametersSchema
from iocmng.core.pv_fields import PvValue, Severity
from iocmng.core.runs import RunReport
from iocmng.core.schedule import Schedule
from iocmng.core.source import Source
from iocmng.core.tally import NOTHING, Spread
from iocmng.errors import CheckFailure


@dataclass(frozen=True, slots=True)
class FilesRef:
    """Names the files that a plugin was started from, so that it starts from the same ones again.

    Attributes:
        digest: Digest of the bundle.
        commit: Their commit; None for a local directory that is in no repository.
        branch: Branch or tag they were taken from.
        signed_by: Who has signed them; None where that was not asked for when they were fetched.
    """

    digest: str
    commit: str | None = None
    branch: str | None = None
    signed_by: str | None = None


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """Desired state of one plugin.

    Attributes:
        kind: What the caller expects it to be; None takes either.
        running: Whether its cycles should run; the IOC is up either way.
        resources: Ray resources that its node must offer, beside those of config.yaml.
        node: Labels that its node must have, beside those of config.yaml.
        generation: Counts what was asked for under this name: 1 for the add, one more for each restart.
        files: Files to start from; None takes what the source holds now.
        schedule: When it runs by itself, in place of what config.yaml says; None leaves it to that.
    """

    name: str
    source: Source
    kind: Kind | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    running: bool = True
    auto_start: bool = True
    auto_start_on_boot: bool | None = None
    autostart_order: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    node: Mapping[str, str] = field(default_factory=dict[str, str])
    generation: int = 1
    files: FilesRef | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """One record of a running IOC, as GET /pvs shows it.

    Attributes:
        alias: A further name that it answers to.
    """

    name: str
    record_type: str
    direction: str
    built_in: bool
    alias: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All names that it answers to."""
        return (self.name,) if self.alias is None else (self.name, self.alias)


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """What is known of a plugin after its checks, and does not change while it runs.

    Attributes:
        parameters_schema: JSON Schema of its parameters; None where it declares none.
        parameters: As the plugin gets them, without its secrets.
        secrets: Names of the parameters whose values are never shown.
        declared: The same as config.yaml declares them; None where that does not.
    """

    kind: Kind
    class_name: str
    mode: str
    pv_prefix: str
    plugin_prefix: str
    parameters: Mapping[str, Any]
    pv_definitions: Mapping[str, Any]
    commit: str | None
    branch: str | None
    warnings: tuple[str, ...] = ()
    parameters_schema: Mapping[str, Any] | None = None
    declared: ParametersSchema | None = None
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    node_labels: Mapping[str, str] = field(default_factory=dict[str, str])
    schedule: Schedule | None = None
    concurrency: int = 1
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a plugin's IOC answers.

    Attributes:
        host: The node's own address.
        public_host: Where clients elsewhere reach the node, if it says so itself.
    """

    host: str
    ca_port: int
    pva_port: int
    pid: int
    node: str
    records: tuple[RecordInfo, ...] = ()
    public_host: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a plugin's process says of itself, as often as it changes.

    Attributes:
        version: Counts the reports of this process.
        status: One of the words of the REST contract: loaded, running, paused, stopped, error.
        state: Text of the STATUS record.
        running: Whether cycles go on (a paused task's do), or a run of a job.
        overruns: Cycles that were skipped because an earlier one took longer than the interval.
        log: Log lines since the last report.
        logged: How many log lines this process has written so far.
        hung: Whether a call of the author's code goes on for longer than the watchdog of config.yaml allows.
        run: The run that goes on, if there is one.
        wanted_runs: How often a client has written 1 to a job's RUN, and nobody has taken it.
        puts: PVs that a run has set in a process that serves none, since the last report, in their order.
        devices: Ophyd devices that it has made.
        writes: What clients have written to its PVs since the last report.
        cycle_times: How long the cycles of a task have taken since its process began, in seconds.
        cycle_failures: How many of them ended with an exception.
        clients: How many clients are connected by Channel Access and by PV Access; None where that is not known.
    """

    version: int
    status: str
    state: str
    message: str
    running: bool = False
    cycle_count: int = 0
    overruns: int = 0
    log: tuple[str, ...] = ()
    logged: int = 0
    hung: bool = False
    run: RunReport | None = None
    wanted_runs: int = 0
    puts: tuple[tuple[str, PvValue, Severity | None], ...] = ()
    writes: tuple[ClientPut, ...] = ()

    def kept(self) -> Report:
        """Return the report without what is handed on at once, and what belongs to a run."""
        return replace(self, log=(), run=None, wanted_runs=0, puts=(), writes=())

    def without_log(self) -> Report:
        """Return the report without its log lines."""
        return replace(self, log=(), run=self.run and replace(self.run, log=()))

    devices: tuple[CreatedDevice, ...] = ()
    cycle_times: Spread = NOTHING
    cycle_failures: int = 0
    clients: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """Observed state of one plugin.

    Attributes:
        reason: Why it came to be in this phase, for the events.
        crashes: How often in a row its process ended by itself, or could not be started again.
        last_exit: What is known of the last such end.
        started_at: When its process began to serve, on the monotonic clock.
        retry_at: When to try again, on the monotonic clock.
        next_try: The same moment in seconds since 1970-01-01 UTC, to be shown.
        silent: Whether its process has not answered for longer than it may.
    """

    phase: Phase
    generation: int = 0
    running: bool = False
    facts: PluginFacts | None = None
    endpoint: Endpoint | None = None
    report: Report | None = None
    message: str = ""
    reason: str = ""
    failures: tuple[CheckFailure, ...] = ()
    restarts: int = 0
    crashes: int = 0
    last_exit: str | None = None
    started_at: float | None = None
    retry_at: float | None = None
    next_try: float | None = None
    silent: bool = False
