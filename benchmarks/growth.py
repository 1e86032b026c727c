"""Benchmark 2: plugins added one after the other: time, memory, and the CPU use of the idle whole."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.clients import FirstValue, pva_context
from benchmarks.lab import PREFIX, BenchServer, Lab, monitor_name
from benchmarks.processes import cpu_percent, memory, settle
from benchmarks.report import Result
from benchmarks.sources import MONITOR
from benchmarks.stats import median, summary

CHECKPOINTS = (10, 30, 50)
BASELINE_COUNT = 30
"""Number of plain actors that plugin processes are compared with."""

CPU_SECONDS = 10.0


def run(lab: Lab) -> Result:
    """Add the plugins; the server keeps them for what follows."""
    result = Result()
    server = lab.empty()
    answers: list[float] = []
    first_values: list[float] = []
    memories: dict[int, dict[str, Any]] = {}
    checkpoints = sorted({count for count in CHECKPOINTS if count < lab.plugin_count} | {lab.plugin_count})
    with pva_context() as context:
        for number in range(lab.plugin_count):
            name = monitor_name(number)
            with FirstValue(context, f"{PREFIX}:{name.upper()}:READING") as first:
                started = time.monotonic()
                server.add_plugin(name, MONITOR)
                answers.append(time.monotonic() - started)
            if first.seconds is None:
                raise RuntimeError(f"{name} was added, but its PV did not answer")
            first_values.append(first.seconds)
            if number + 1 in checkpoints:
                memories[number + 1] = measure_memory(server)
    settle(server.process.pid)
    cpu = cpu_percent(server.processes(), CPU_SECONDS)
    lab.facts["plugin_memory"] = memories
    _figures(result, summary(answers), summary(first_values), memories)
    result.add(f"CPU of the idle whole, {lab.plugin_count} plugins at 1 Hz", sum(cpu.values()), "% of core")
    result.add("  one plugin of these", cpu.get("plugins", 0.0) / lab.plugin_count, "% of core")
    for role, percent in cpu.items():
        if percent >= 0.5:
            result.add(f"  {role}", percent, "% of core")
    result.details = {
        "add_seconds": answers,
        "first_value_seconds": first_values,
        "memory": memories,
        "cpu_by_role_percent": cpu,
    }
    return result


def measure_memory(server: BenchServer) -> dict[str, Any]:
    """Return the memory of the plugin processes and of the whole, once the server is calm."""
    settle(server.process.pid)
    pids = server.plugin_pids()
    taken = memory(server.processes())
    each = [size for pid, size in taken.by_pid.items() if pid in pids]
    return {
        "plugins": len(each),
        "median_mib": median(each),
        "max_mib": max(each),
        "plugins_mib": sum(each),
        "total_mib": taken.total,
        "by_role_mib": taken.by_role,
    }


def _figures(
    result: Result, answers: dict[str, float], first_values: dict[str, float], memories: dict[int, dict[str, Any]]
) -> None:
    result.add("POST to 201, median", answers["p50"], "s")
    result.add("POST to 201, p95", answers["p95"], "s")
    result.add("POST to the first PV value at a PVA client, median", first_values["p50"], "s")
    result.add("POST to the first PV value at a PVA client, p95", first_values["p95"], "s")
    for count, taken in memories.items():
        result.add(f"memory of one of {count} plugin processes, median (PSS)", taken["median_mib"], "MiB")
        result.add(f"memory of {count} plugin processes", taken["plugins_mib"], "MiB")
        result.add(f"memory of the whole server with {count} plugins", taken["total_mib"], "MiB")
