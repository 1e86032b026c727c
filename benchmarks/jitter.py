"""Benchmark 6: how well a task of 10 Hz keeps to its grid, alone and beside a plugin that spins."""

from __future__ import annotations

import time
from typing import Any

from p4p.client.thread import Context

from benchmarks.clients import pva_context
from benchmarks.lab import PREFIX, BenchServer, Lab
from benchmarks.processes import settle
from benchmarks.report import Result
from benchmarks.sources import JITTER, JITTER_INTERVAL, SPINNER

SECONDS = 20.0
MARGIN = 15.0
PVS = ("MEAN", "P50", "P99", "MAX", "SKIPPED", "COUNT")


def run(lab: Lab) -> Result:
    """Measure twice, on a server with no other plugin."""
    result = Result()
    server = lab.empty()
    with pva_context() as context:
        server.add_plugin("spinner", SPINNER, auto_start=False)
        settle(server.process.pid)
        _measure(result, server, context, "alone")
        server.http.post("/tasks/spinner/start").raise_for_status()
        _measure(result, server, context, "beside a spinning plugin")
    server.http.delete("/plugins/spinner").raise_for_status()
    return result


def _measure(result: Result, server: BenchServer, context: Context, when: str) -> None:
    server.add_plugin("jitter", JITTER, parameters={"duration": SECONDS})
    try:
        names = [f"{PREFIX}:JITTER:{name}" for name in PVS]
        end = time.monotonic() + SECONDS + MARGIN
        while not (values := _read(context, names))["COUNT"]:
            if time.monotonic() > end:
                raise RuntimeError("the jitter task told no result")
            time.sleep(1.0)
        overruns = server.get("jitter")["overruns"]
    finally:
        server.http.delete("/plugins/jitter").raise_for_status()
    result.add(f"mean period, {when}", values["MEAN"] * 1000, "ms", f"{JITTER_INTERVAL * 1000:g}")
    result.add(f"later than the grid, {when}, median", values["P50"] * 1000, "ms")
    result.add(f"later than the grid, {when}, p99", values["P99"] * 1000, "ms")
    result.add(f"later than the grid, {when}, max", values["MAX"] * 1000, "ms")
    result.add(f"overruns, {when}", overruns, "", "0")
    result.details[when] = {**values, "overruns": overruns}


def _read(context: Context, names: list[str]) -> dict[str, float]:
    values: list[Any] = context.get(names)  # pyright: ignore[reportAssignmentType]  it takes one name or many
    return {name: float(value) for name, value in zip(PVS, values, strict=True)}
