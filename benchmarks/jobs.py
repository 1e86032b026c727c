"""Benchmark 7: runs of an empty job through REST."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.load import Generator, Job, rate_and_latency
from benchmarks.processes import settle
from benchmarks.report import Result
from benchmarks.sources import EMPTY_JOB

SECONDS = 5.0
WARM_UP_SECONDS = 1.0
JOBS = 8


def run(lab: Lab) -> Result:
    """Run one job over one connection, then eight jobs over eight."""
    result = Result()
    server = lab.empty()
    names = [f"job{number}" for number in range(JOBS)]
    for name in names:
        server.add_plugin(name, EMPTY_JOB)
    settle(server.process.pid)
    for count in (1, JOBS):
        requests = [("POST", f"/api/v1/jobs/{name}/run") for name in names[:count]]
        Generator(Job(server.port, requests, WARM_UP_SECONDS)).result()
        found = rate_and_latency(Generator(Job(server.port, requests, SECONDS)).result())
        said = f"POST /jobs/{{n}}/run, {count} job{'s' if count > 1 else ''} and connection{'s' if count > 1 else ''}"
        result.add(said, found["per_second"], "1/s")
        result.add(f"  {said}, p50", found["p50_ms"], "ms")
        result.add(f"  {said}, p99", found["p99_ms"], "ms")
        result.details[said] = found
    for name in names:
        server.http.delete(f"/plugins/{name}").raise_for_status()
    return result
