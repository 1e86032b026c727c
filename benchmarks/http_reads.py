"""Benchmark 3: requests per second and latencies of the reads, with each of the two proxies."""

from __future__ import annotations

from typing import Any

from benchmarks.lab import BenchServer, Lab, Proxy, monitor_name
from benchmarks.load import closed_loop
from benchmarks.processes import memory, settle
from benchmarks.report import Result

SECONDS = 4.0
WARM_UP_SECONDS = 1.0
CONNECTIONS = (1, 16)
BASE = "/api/v1"


def run_python(lab: Lab) -> Result:
    """Measure with Ray Serve's own proxy."""
    return _run(lab, "python", {})


def run_haproxy(lab: Lab) -> Result:
    """Measure with HAProxy, and how that server starts and stops."""
    result = _run(lab, "haproxy", {(f"GET {BASE}/tasks", 16): ">= 1500"})
    server = lab.server("haproxy")
    idle = memory(server.processes())
    result.add("process start to the first 200 of /readyz", server.phases["ready"], "s")
    for role in ("HAProxy manager", "haproxy", "Serve proxy"):
        result.add(f"memory of {role} (PSS)", idle.by_role.get(role, 0.0), "MiB")
    stop = lab.stop() or {}
    result.add(f"stop with {stop.get('plugins')} plugins, SIGTERM to the end", stop.get("seconds", 0.0), "s")
    result.add("processes left behind", len(stop.get("left_behind", ())), "")
    result.details |= {"phases": server.phases, "memory_by_role_mib": idle.by_role, "stop": stop}
    return result


def _run(lab: Lab, proxy: Proxy, aims: dict[tuple[str, int], str]) -> Result:
    result = Result()
    server = lab.server(proxy)
    server.set_monitors(lab.plugin_count)
    settle(server.process.pid)
    for path in (f"{BASE}/health", f"{BASE}/tasks", f"{BASE}/plugins/{monitor_name(0)}"):
        for connections in CONNECTIONS:
            _measure(result, server, path, connections, aims)
    return result


def _measure(
    result: Result, server: BenchServer, path: str, connections: int, aims: dict[tuple[str, int], str]
) -> None:
    closed_loop(server.port, path, connections, WARM_UP_SECONDS)
    found: dict[str, Any] = closed_loop(server.port, path, connections, SECONDS)
    name = f"GET {path}"
    said = f"{name}, {connections} connection{'s' if connections > 1 else ''}"
    result.add(said, found["per_second"], "1/s", aims.get((name, connections), ""))
    result.add(f"  {said}, p50", found["p50_ms"], "ms")
    result.add(f"  {said}, p99", found["p99_ms"], "ms")
    result.details[said] = found
