"""Benchmark 4: reads while a slow add, a sleeping job and a spinning task go on."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.lab import BenchServer, Lab, in_background
from benchmarks.load import Generator, Job, Outcome
from benchmarks.processes import settle
from benchmarks.report import Result
from benchmarks.sources import SLEEPING_JOB, SLOW_ADD, SLOW_ADD_SECONDS, SPINNER
from benchmarks.stats import percentile, summary

PLUGINS = 30
RATE = 25.0
"""Calls per second of each of the two reads."""

CALM_SECONDS = 6.0
BLOCKED_SECONDS = SLOW_ADD_SECONDS + 4.0
PATHS = ("/api/v1/health", "/api/v1/tasks")
AIM = "p99 < 100"


def run(lab: Lab) -> Result:
    """Call the two reads 50 times a second together, first undisturbed, then with everything at once."""
    result = Result()
    server = lab.server()
    server.set_monitors(min(PLUGINS, lab.plugin_count))
    server.add_plugin("spinner", SPINNER, auto_start=False)
    server.add_plugin("sleeper", SLEEPING_JOB)
    settle(server.process.pid)
    calm = Generator(_job(server, CALM_SECONDS)).result()
    done: dict[str, float] = {}
    server.http.post("/tasks/spinner/start").raise_for_status()
    generator = Generator(_job(server, BLOCKED_SECONDS))
    time.sleep(0.5)
    with in_background(_slow_add, server, done), in_background(_sleep, server, done):
        blocked = generator.result()
    for name in ("spinner", "sleeper", "slow"):
        server.http.delete(f"/plugins/{name}").raise_for_status()
    _figures(result, "undisturbed", calm, "")
    _figures(result, "all at once", blocked, AIM)
    result.add("the slow add, POST to 201", done["add"], "s")
    result.add("the job that sleeps 5 s, POST to 200", done["job"], "s")
    result.details |= {"done_seconds": done, "slowest_reads": _slowest(blocked)}
    return result


def _job(server: BenchServer, seconds: float) -> Job:
    return Job(server.port, [("GET", path) for path in PATHS], seconds, RATE)


def _slow_add(server: BenchServer, done: dict[str, float]) -> None:
    started = time.monotonic()
    server.add_plugin("slow", SLOW_ADD)
    done["add"] = time.monotonic() - started


def _sleep(server: BenchServer, done: dict[str, float]) -> None:
    started = time.monotonic()
    server.http.post("/jobs/sleeper/run").raise_for_status()
    done["job"] = time.monotonic() - started


def _figures(result: Result, when: str, outcome: Outcome, aim: str) -> None:
    for path, connection in zip(PATHS, outcome.latencies, strict=True):
        latencies = [latency for _, latency in connection]
        name = f"GET {path}, {when}"
        result.add(f"{name}, p50", percentile(latencies, 50) * 1000, "ms")
        result.add(f"{name}, p99", percentile(latencies, 99) * 1000, "ms", aim)
        result.add(f"{name}, max", max(latencies) * 1000, "ms")
        result.details[name] = summary(latencies)
    result.details[f"errors, {when}"] = outcome.errors


def _slowest(outcome: Outcome) -> list[dict[str, Any]]:
    reads = [
        {"path": path, "at_seconds": round(at, 2), "milliseconds": round(latency * 1000, 1)}
        for path, connection in zip(PATHS, outcome.latencies, strict=True)
        for at, latency in connection
    ]
    return sorted(reads, key=lambda read: -read["milliseconds"])[:20]
