"""The figures that a server tells Prometheus: what each is called, what it counts, and by which tags. Pure.

Ray puts `ray_` before each name. No tag has a value without bounds: a run's number, a message or a time is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PLUGIN = "plugin"
"""The tag whose series go when the plugin of that name is removed."""


class MetricKind(StrEnum):
    """How a metric's values are to be read."""

    GAUGE = "gauge"  # what is now
    COUNTER = "counter"  # how often since the beginning; it only grows, or begins anew at 0
    HISTOGRAM = "histogram"  # how values spread


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name, to which Ray adds `ray_`.
        unit: What is counted.
        tags: Its tags, in the order in which their values are given.
        meaning: What it tells, in a sentence.
        bounds: Upper bounds of a histogram's buckets.
    """

    name: str
    kind: MetricKind
    unit: str
    tags: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The names of its series, each with its tags."""
        if self.kind is not MetricKind.HISTOGRAM:
            return ((self.name, self.tags),)
        return (
            (f"{self.name}_bucket", (*self.tags, "le")),
            (f"{self.name}_count", self.tags),
            (f"{self.name}_sum", self.tags),
        )


_GAUGE, _COUNTER, _HISTOGRAM = MetricKind.GAUGE, MetricKind.COUNTER, MetricKind.HISTOGRAM

_CYCLES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STARTS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_RUNS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)

PLUGINS = Metric(
    "iocmng_plugins", _GAUGE, "plugins", ("state",), "Plugins in each state, the `status` of the REST API; also 0."
)
PLUGIN_STATE = Metric(
    "iocmng_plugin_state",
    _GAUGE,
    "0 or 1",
    (PLUGIN, "state"),
    "Whether the plugin is in this state; one series for each state.",
)
PLUGIN_INFO = Metric(
    "iocmng_plugin_info",
    _GAUGE,
    "always 1",
    (PLUGIN, "type", "host", "node", "commit"),
    "Where the plugin's IOC runs: address and Ray's node id; and its commit, the first eight digits.",
)
RESTARTS = Metric(
    "iocmng_plugin_restarts_total",
    _COUNTER,
    "starts",
    (PLUGIN, "cause"),
    "New processes that took the place of an earlier one: `asked` for by somebody, or after a `crash`.",
)
CRASHES = Metric(
    "iocmng_plugin_crashes_total",
    _COUNTER,
    "ends",
    (PLUGIN,),
    "Ends of the plugin's process that nobody asked for, and starts after them that failed.",
)
RECORDS = Metric("iocmng_ioc_records", _GAUGE, "records", (PLUGIN,), "Records that the plugin's IOC serves.")
CLIENTS = Metric(
    "iocmng_ioc_clients",
    _GAUGE,
    "connections",
    (PLUGIN, "protocol"),
    "Clients connected to the plugin's IOC, by protocol: `ca` or `pva`.",
)
CYCLE_SECONDS = Metric(
    "iocmng_cycle_seconds",
    _HISTOGRAM,
    "seconds",
    (PLUGIN,),
    "How long a cycle of a task takes, or the answer of a triggered one to RUN.",
    _CYCLES,
)
CYCLE_FAILURES = Metric(
    "iocmng_cycle_failures_total", _COUNTER, "cycles", (PLUGIN,), "Cycles that ended with an exception."
)
OVERRUNS = Metric(
    "iocmng_cycle_overruns_total",
    _COUNTER,
    "cycles",
    (PLUGIN,),
    "Cycles that were left out because an earlier one took longer than the interval.",
)
STARTS = Metric(
    "iocmng_starts_total",
    _COUNTER,
    "starts",
    ("cause", "outcome"),
    "Starts of plugins: an `add`, by the `server` after its own start, a `restart`, `rollback`, `change`, `apply`, or "
    "after a `crash`. The outcome is `ok`, the check that failed, or the code of the error.",
)
START_SECONDS = Metric(
    "iocmng_start_seconds", _HISTOGRAM, "seconds", ("cause",), "How long a start took that came to a good end.", _STARTS
)
PHASE_SECONDS = Metric(
    "iocmng_start_phase_seconds",
    _HISTOGRAM,
    "seconds",
    ("phase",),
    "How long a phase of a start took that came to a good end: `fetch` the files, `prepare` a process with the code "
    "imported and the records made, `start` serving and initialize().",
    _STARTS,
)
RUNS = Metric(
    "iocmng_job_runs_total", _COUNTER, "runs", (PLUGIN, "result"), "Runs of the job that have ended, by how they did."
)
RUN_SECONDS = Metric(
    "iocmng_job_run_seconds", _HISTOGRAM, "seconds", (PLUGIN,), "How long a run of the job went on.", _RUNS
)
RUNS_RUNNING = Metric("iocmng_job_runs_running", _GAUGE, "runs", (PLUGIN,), "Runs of the job that go on.")
RUNS_QUEUED = Metric("iocmng_job_runs_queued", _GAUGE, "runs", (PLUGIN,), "Runs of the job that wait.")

METRICS: tuple[Metric, ...] = (
    *(PLUGINS, PLUGIN_STATE, PLUGIN_INFO, RESTARTS, CRASHES),
    *(RECORDS, CLIENTS, CYCLE_SECONDS, CYCLE_FAILURES, OVERRUNS),
    *(STARTS, START_SECONDS, PHASE_SECONDS),
    *(RUNS, RUN_SECONDS, RUNS_RUNNING, RUNS_QUEUED),
)
"""All metrics, in the order of docs/reference/metrics.md."""
