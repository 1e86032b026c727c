"""Benchmark 1: from the start of the process to the first 200 of /readyz, and the memory of an idle server."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.processes import cpu_percent, memory, settle
from benchmarks.report import Result

STARTS = 2
IDLE_SECONDS = 5.0


def run(lab: Lab) -> Result:
    """Start a server twice; the second one stays."""
    result = Result()
    starts: list[dict[str, float]] = []
    for _ in range(STARTS):
        server = lab.fresh()
        starts.append(server.phases)
    server = lab.server()
    settle(server.process.pid)
    processes = server.processes()
    idle = memory(processes)
    cpu = cpu_percent(processes, IDLE_SECONDS)
    result.add("process start to the first 200 of /readyz", min(start["ready"] for start in starts), "s")
    result.add("idle memory of the whole server, no plugin (PSS)", idle.total, "MiB")
    for role, size in idle.by_role.items():
        result.add(f"  {role}", size, "MiB")
    result.add("idle CPU, no plugin", sum(cpu.values()), "% of core")
    result.details = {
        "phases": starts,
        "memory_by_role_mib": idle.by_role,
        "processes": len(processes),
        "cpu_by_role_percent": cpu,
        "stop": lab.stops[-1:],
    }
    return result
