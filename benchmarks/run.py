"""`python -m benchmarks.run`: measures, writes one JSON document and prints a table.

Nothing fails because it is slow: the aims stand beside the figures. A benchmark that cannot be done at all makes the
exit status 1; the others go on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    baseline,
    blocking,
    figures,
    growth,
    http_reads,
    jitter,
    jobs,
    machine,
    reload,
    roundtrip,
    startup,
)
from benchmarks.lab import Lab
from benchmarks.machine import LoadMeter
from benchmarks.report import Result, table

RESULTS = Path(__file__).parent / "results" / "latest.json"

BENCHMARKS: dict[str, Callable[[Lab], Result]] = {
    "startup": startup.run,
    "plugins": growth.run,
    "http": http_reads.run_python,
    "blocking": blocking.run,
    "haproxy": http_reads.run_haproxy,
    "roundtrip": roundtrip.run,
    "jitter": jitter.run,
    "reload": reload.run,
    "jobs": jobs.run,
    "baseline": baseline.run,
    "figures": figures.run,
}
"""In this order each finds the server that the one before leaves, where it can use it."""


def main() -> int:
    """Return the exit status."""
    options = _options()
    # Ended from outside, we still end what we have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    document: dict[str, Any] = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "benchmarks": {},
    }
    lab = Lab(options.plugins)
    try:
        for name in options.only or BENCHMARKS:
            document["benchmarks"][name] = _measured(name, lab)
    finally:
        lab.close()
        document["machine"]["calibration_ms_at_end"] = round(machine.calibration() * 1000, 1)
        document["stops"] = lab.stops
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    before = json.loads(options.compare.read_text(encoding="utf-8")) if options.compare else None
    print(*table(document, before), sep="\n")
    print(f"\n{options.json}")
    return int(any("error" in benchmark for benchmark in document["benchmarks"].values()))


def _measured(name: str, lab: Lab) -> dict[str, Any]:
    _say(f"{name} ...")
    meter = LoadMeter()
    try:
        result = BENCHMARKS[name](lab)
    except Exception as error:  # noqa: BLE001  one that fails must not cost the others
        traceback.print_exc()
        return {"load": meter.stop(), "error": f"{type(error).__name__}: {error}"}
    document = result.document(meter.stop())
    _say(f"{name}: {document['load']['seconds']:.0f} s")
    return document


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="one benchmark; may be given again")
    parser.add_argument("--plugins", type=int, default=50, metavar="N", help="the full load (default: 50)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help=f"default: {RESULTS}")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier JSON document: show ratios to it")
    options = parser.parse_args()
    if options.plugins < 1:
        parser.error("--plugins: 1 at least")
    return options


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
