"""Round trips over Channel Access, in a process of its own: `python -m benchmarks.ca_round_trip PUT_PV SEEN_PV COUNT`.

cothread's client must own the main thread, and the addresses must stand in the environment before it is imported.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from tests.support import LOOPBACK

WARM_UP = 20
FIRST_VALUE = 1_000_000.0
"""Not a number that the PV Access trips have used: an unchanged value would make no monitor event."""


def main() -> None:
    """Put numbers to one PV, each when the other one has shown the number before; print the seconds of each trip."""
    os.environ.update(LOOPBACK)
    import cothread
    from cothread.catools import camonitor, caput, connect

    put_pv, seen_pv, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seen: dict[float, float] = {}
    arrived = cothread.Event()

    def note(value: Any) -> None:
        seen[float(value)] = time.monotonic()
        arrived.Signal()

    connect([put_pv, seen_pv], timeout=30)
    camonitor(seen_pv, note)
    trips: list[float] = []
    for number in range(count + WARM_UP):
        value = FIRST_VALUE + number
        started = time.monotonic()
        caput(put_pv, value, wait=False)
        while value not in seen:
            arrived.Wait(10)
        trips.append(seen.pop(value) - started)
    print(json.dumps(trips[WARM_UP:]))


if __name__ == "__main__":
    main()
