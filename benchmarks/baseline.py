"""Benchmark 2, second part: memory of a plugin process against that of a plain Ray actor that only runs softioc."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.growth import BASELINE_COUNT, measure_memory
from benchmarks.lab import Lab
from benchmarks.processes import descendants, end_by_pid
from benchmarks.report import Result

LIMIT = 300.0


def run(lab: Lab) -> Result:
    """Measure the plain actors alone on the machine, since shared pages count less the more processes share them."""
    result = Result()
    count = min(BASELINE_COUNT, lab.plugin_count)
    plugins: dict[str, Any] | None = lab.facts.get("plugin_memory", {}).get(count)
    if plugins is None:
        server = lab.server()
        server.set_monitors(count)
        plugins = measure_memory(server)
    lab.stop()
    plain = _plain(count)
    result.add(f"one of {count} plugin processes, median (PSS)", plugins["median_mib"], "MiB")
    result.add(f"one of {count} plain actors with softioc, median (PSS)", plain["median_mib"], "MiB")
    result.add("ratio of the medians", plugins["median_mib"] / plain["median_mib"], "", "<= 1.15")
    result.add("ratio of the sums", plugins["plugins_mib"] / plain["actors_mib"], "", "<= 1.15")
    each = plain["cpu_by_role_percent"].get("plain actor", 0.0) / count
    result.add("idle CPU of one plain actor, doing nothing at all", each, "% of core")
    result.add(f"start of {count} plain actors, all at once", plain["seconds"], "s")
    result.details = {"plugins": plugins, "plain": plain}
    return result


def _plain(count: int) -> dict[str, Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.plain", str(count)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            pids = list(descendants(process.pid))
            process.kill()
            end_by_pid(pids)
    if process.returncode != 0:
        raise RuntimeError(f"the plain actors failed with status {process.returncode}")
    return json.loads(output.splitlines()[-1])
