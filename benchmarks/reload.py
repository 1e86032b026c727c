"""Benchmark 10: a hot reload as a monitoring client sees it: from the disconnection to the first new value."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from p4p.client.thread import Disconnected

from benchmarks.clients import pva_context
from benchmarks.lab import PREFIX, Lab
from benchmarks.processes import settle
from benchmarks.report import Result
from benchmarks.sources import MONITOR
from benchmarks.stats import summary
from tests.support import TOOLS

RELOADS = 20
BACK_LIMIT = 30.0
AIM = "below 100 ms for a task that stops promptly"


class Gaps:
    """Notes when a client lost a PV and when it had a value again."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._lost_at: float | None = None
        self._back = threading.Event()

    def lost(self) -> None:
        """Note that the client is disconnected."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()

    def value(self) -> None:
        """Note that the client has a value."""
        if self._lost_at is not None:
            self.seconds.append(time.monotonic() - self._lost_at)
            self._lost_at = None
        self._back.set()

    def wait(self, count: int) -> None:
        """Wait until so many gaps have ended."""
        deadline = time.monotonic() + BACK_LIMIT
        while len(self.seconds) < count and time.monotonic() < deadline:
            self._back.wait(0.05)
            self._back.clear()


def run(lab: Lab) -> Result:
    """Restart a task again and again while camonitor and a PV Access client watch one of its PVs."""
    result = Result()
    server = lab.empty()
    server.add_plugin("reload", MONITOR)
    settle(server.process.pid)
    pv = f"{PREFIX}:RELOAD:STATUS"
    requests: list[float] = []
    with _camonitor(pv) as by_ca, pva_context() as context:
        by_pva = Gaps()

        def seen(value: Any) -> None:
            (by_pva.lost if isinstance(value, Disconnected) else by_pva.value)()

        with context.monitor(pv, seen, notify_disconnect=True):
            for number in range(1, RELOADS + 1):
                started = time.monotonic()
                server.http.post("/plugins/reload/restart").raise_for_status()
                requests.append(time.monotonic() - started)
                by_ca.wait(number)
                by_pva.wait(number)
    server.http.delete("/plugins/reload").raise_for_status()
    for name, gaps in (("Channel Access (camonitor)", by_ca), ("PV Access (p4p)", by_pva)):
        numbers = summary(gaps.seconds)
        result.add(f"gap at a {name} client, median of {len(gaps.seconds)}", numbers["p50"] * 1000, "ms", AIM)
        result.add(f"gap at a {name} client, max", numbers["max"] * 1000, "ms")
        result.details[name] = numbers
    result.add("POST restart, median", summary(requests)["p50"], "s")
    return result


@contextmanager
def _camonitor(pv: str) -> Iterator[Gaps]:
    gaps = Gaps()
    process = subprocess.Popen([TOOLS / "camonitor", pv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if "disconnected" in line:
                gaps.lost()
            elif line.startswith(pv):
                gaps.value()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield gaps
    finally:
        process.terminate()
        process.wait()
        reader.join()
