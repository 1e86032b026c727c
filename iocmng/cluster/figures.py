"""The figures of the Controller: what there is now, and what was counted, told again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from iocmng.cluster.registry import Registry
from iocmng.cluster.view import shown_status
from iocmng.core import metrics
from iocmng.core.builtin_pvs import Kind
from iocmng.core.lifecycle import STATUS_WORDS
from iocmng.core.ports.metrics import Meters
from iocmng.core.runs import ENDED
from iocmng.core.spec import Endpoint, PluginFacts, PluginStatus, Report
from iocmng.core.tally import Sample, sample, spread_samples

_AT_ONCE = 100
"""Figures that are collected before others have their turn; a hundred cost half a millisecond."""

_COMMIT = 8
"""Digits of a commit that are told."""


class Figures:
    """Reads them off the registry. What is no longer there is not told, and so it goes from Prometheus, too."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def run(self, meters: Meters) -> None:
        """Tell them until cancelled."""
        while True:
            samples: list[Sample] = []
            for one in self.samples():
                samples.append(one)
                if len(samples) % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            await asyncio.to_thread(meters.tell, samples)
            await asyncio.sleep(meters.period)

    def samples(self) -> Iterator[Sample]:
        """Yield all figures as they are now; between two of them, the registry may change."""
        self._registry.tally.keep(self._registry.desired)
        states = {name: self._state(name) for name in self._registry.desired}
        for word in STATUS_WORDS:
            yield sample(metrics.PLUGINS, list(states.values()).count(word), word)
        for name, state in states.items():
            for word in STATUS_WORDS:
                yield sample(metrics.PLUGIN_STATE, word == state, name, word)
            if status := self._registry.observed.get(name):
                yield from self._of_plugin(name, status)
        yield from self._registry.tally.samples()

    def _state(self, name: str) -> str:
        status = self._registry.observed.get(name)
        return shown_status(status) if status is not None else "loading"

    def _of_plugin(self, name: str, status: PluginStatus) -> Iterator[Sample]:
        tally, facts = self._registry.tally, status.facts
        # Told from the beginning: Prometheus sees no growth in a series that begins with 1.
        tally.begin(metrics.CRASHES, name)
        for cause in ("asked", "crash"):
            tally.begin(metrics.RESTARTS, name, cause)
        if facts is not None and facts.kind is Kind.JOB:
            yield from self._of_job(name)
        if facts is not None and status.endpoint is not None:
            yield from _of_ioc(name, facts, status.endpoint)
        if facts is not None and status.report is not None:
            yield from _of_process(name, facts, status.report)

    def _of_job(self, name: str) -> Iterator[Sample]:
        for state in ENDED:
            self._registry.tally.begin(metrics.RUNS, name, state.value)
        runs = self._registry.runs_of(name)
        yield sample(metrics.RUNS_RUNNING, len(runs["running"]), name)
        yield sample(metrics.RUNS_QUEUED, runs["queued"], name)


def _of_ioc(name: str, facts: PluginFacts, endpoint: Endpoint) -> Iterator[Sample]:
    commit = (facts.commit or "")[:_COMMIT]
    yield sample(metrics.PLUGIN_INFO, 1, name, facts.kind.value, endpoint.host, endpoint.node, commit)
    yield sample(metrics.RECORDS, len(endpoint.records), name)


def _of_process(name: str, facts: PluginFacts, report: Report) -> Iterator[Sample]:
    for protocol, count in zip(("ca", "pva"), report.clients or (), strict=False):
        yield sample(metrics.CLIENTS, count, name, protocol)
    if facts.kind is Kind.TASK:
        yield sample(metrics.CYCLE_FAILURES, report.cycle_failures, name)
        yield sample(metrics.OVERRUNS, report.overruns, name)
        yield from spread_samples(metrics.CYCLE_SECONDS, report.cycle_times, name)
