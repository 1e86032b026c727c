"""EPICS clients of the benchmarks."""

from __future__ import annotations

import threading
import time
from typing import Any

from p4p.client.thread import Context

from tests.support import LOOPBACK


def pva_context() -> Context:
    """Return a PV Access client that looks for PVs on this machine only."""
    return Context("pva", conf=LOOPBACK, useenv=False)


class FirstValue:
    """Asks for a PV that is not there yet, until it answers; works in a thread while the block runs.

    A client that only waits would measure its own search intervals, which grow to half a minute; so this one forgets
    the channel and searches again every SEARCH_PERIOD, which is the error of the measurement.
    """

    SEARCH_PERIOD = 0.05

    def __init__(self, context: Context, pv: str, limit: float = 60.0) -> None:
        self._context = context
        self._pv = pv
        self._limit = limit
        self._thread = threading.Thread(target=self._search, daemon=True)
        self._started = 0.0
        self.seconds: float | None = None

    def __enter__(self) -> FirstValue:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        if error_type is not None:  # it will never be there
            self._limit = 0.0
        self._thread.join()

    def _search(self) -> None:
        while time.monotonic() < self._started + self._limit:
            try:
                self._context.get(self._pv, timeout=self.SEARCH_PERIOD)
            except TimeoutError:
                self._context.disconnect(self._pv)
            else:
                self.seconds = time.monotonic() - self._started
                return


def pva_round_trips(context: Context, put_pv: str, seen_pv: str, count: int, warm_up: int = 20) -> list[float]:
    """Put numbers to one PV, each when the other one has shown the number before; return the seconds of each trip."""
    seen: dict[float, float] = {}
    arrived = threading.Event()

    def note(value: Any) -> None:
        if isinstance(value, float):
            seen[float(value)] = time.monotonic()
            arrived.set()

    trips: list[float] = []
    subscription = context.monitor(seen_pv, note)
    try:
        if not arrived.wait(10):
            raise RuntimeError(f"no value of {seen_pv} within 10 s")
        for number in range(1, count + warm_up + 1):
            started = time.monotonic()
            context.put(put_pv, float(number), wait=False, get=False)
            while float(number) not in seen:
                arrived.clear()
                if float(number) not in seen and not arrived.wait(10):
                    raise RuntimeError(f"{seen_pv} did not become {number} within 10 s")
            trips.append(seen.pop(float(number)) - started)
    finally:
        subscription.close()
    return trips[warm_up:]
