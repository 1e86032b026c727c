"""Benchmark 5: a client's put, the plugin's on_write, its set_pv of an output, the monitor at the client."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.clients import pva_context, pva_round_trips
from benchmarks.lab import PREFIX, Lab
from benchmarks.processes import settle
from benchmarks.report import Result
from benchmarks.sources import ECHO
from benchmarks.stats import summary

COUNT = 1000


def run(lab: Lab) -> Result:
    """Make the trips one after the other, over PV Access and over Channel Access, with no other plugin."""
    result = Result()
    server = lab.empty()
    server.add_plugin("echo", ECHO)
    settle(server.process.pid)
    put_pv, seen_pv = f"{PREFIX}:ECHO:IN", f"{PREFIX}:ECHO:OUT"
    with pva_context() as context:
        pva = pva_round_trips(context, put_pv, seen_pv, COUNT)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ca_round_trip", put_pv, seen_pv, str(COUNT)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the Channel Access client failed: {done.stderr[-1000:]}")
    ca: list[float] = json.loads(done.stdout.splitlines()[-1])
    server.http.delete("/plugins/echo").raise_for_status()
    for name, trips in (("PV Access (p4p)", pva), ("Channel Access (cothread)", ca)):
        numbers = summary(trips)
        for key in ("p50", "p99", "max"):
            result.add(f"{name}, {'median' if key == 'p50' else key} of {len(trips)}", numbers[key] * 1000, "ms")
        result.details[name] = numbers
    return result
