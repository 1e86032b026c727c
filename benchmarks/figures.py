"""Benchmark 11: what the figures for Prometheus cost: on the path of a cycle, and in the Controller.

`python -m benchmarks.figures COUNT` starts a Ray and prints what it costs there, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.lab import Lab
from benchmarks.report import Result
from iocmng.base.board import StatusBoard
from iocmng.cluster.figures import Figures
from iocmng.cluster.registry import Registry
from iocmng.core.builtin_pvs import Kind
from iocmng.core.lifecycle import Phase
from iocmng.core.source import LocalSource
from iocmng.core.spec import Endpoint, PluginFacts, PluginSpec, Report
from iocmng.core.tally import Sample, Spread
from iocmng.testing import FakePvs

LIMIT = 300.0
ROUNDS = 200_000


def run(lab: Lab) -> Result:
    """Measure in this process, and in one with a Ray."""
    result = Result()
    board = StatusBoard(FakePvs(), frozenset())
    result.add("a cycle is timed", _nanoseconds(lambda: board.note_cycle(0.02), ROUNDS), "ns", "< 1000")
    figures = Figures(_registry(lab.plugin_count))
    collecting = _nanoseconds(lambda: _samples(figures), 20) / 1e6
    result.add(f"{len(_samples(figures))} figures of {lab.plugin_count} plugins are collected", collecting, "ms")
    telling = _in_ray(lab.plugin_count)
    result.add("they are told to Ray, in a thread, every 5 s", telling, "ms", "< 50")
    return result


def _nanoseconds(call: Callable[[], object], rounds: int) -> float:
    """Return the time of the CPU that a call takes: with others on the machine, it stays what it is."""
    began = time.thread_time_ns()
    for _ in range(rounds):
        call()
    return (time.thread_time_ns() - began) / rounds


def _samples(figures: Figures) -> list[Sample]:
    return list(figures.samples())


def _registry(count: int) -> Registry:
    registry = Registry()
    facts = PluginFacts(Kind.TASK, "C", "continuous", "P", "P", {}, {"inputs": {}, "outputs": {}}, "a" * 40, "main")
    for number in range(count):
        name = f"plugin-{number}"
        registry.desire(PluginSpec(name, LocalSource("/p")))
        report = Report(1, "running", "RUN", "", True, cycle_times=Spread((1,) * 13, 1.0), clients=(1, 0))
        for phase in (Phase.FETCHING, Phase.PREPARING, Phase.STARTING):
            registry.observe(name, phase)
        registry.observe(name, Phase.ACTIVE, facts=facts, endpoint=Endpoint("h", 1, 2, 3, "n"), report=report)
    return registry


def _in_ray(count: int) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.figures", str(count)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print how many milliseconds it takes to tell Ray all figures, the first time apart."""
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}
    import ray

    ray.init(address="local", num_cpus=1, object_store_memory=128 * 1024 * 1024, include_dashboard=False)
    from iocmng.cluster.ray_meters import RayMeters

    meters, samples = RayMeters(), _samples(Figures(_registry(int(sys.argv[1]))))
    meters.tell(samples)
    print(json.dumps(_nanoseconds(lambda: meters.tell(samples), 10) / 1e6))


if __name__ == "__main__":
    main()
