"""Counts wrong credentials, by address and in total; see docs/adr/0018 for what this can do, and what it cannot."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from iocmng.errors import TooManyTries

logger = logging.getLogger(__name__)

PERIOD = 60.0
"""Seconds for which a try counts."""

BY_ADDRESS = 10
"""Wrong credentials from one address within the period that are answered as such."""

IN_TOTAL = 200
"""The same from all addresses together."""

MOST_ADDRESSES = 1024
"""Addresses that are remembered; beyond them those that have been quiet for longest are forgotten."""


class FailedTries:
    """Tells who has tried too often. One process counts for itself; nothing is shared between replicas."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all: deque[float] = deque(maxlen=IN_TOTAL)
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, address: str) -> None:
        """Count a wrong credential.

        Raises:
            TooManyTries: If there have been too many; this one is not counted then, so that the wait has an end.
        """
        now = self._clock()
        own = self._by_address.setdefault(address, deque(maxlen=BY_ADDRESS))
        self._by_address.move_to_end(address)
        if len(self._by_address) > MOST_ADDRESSES:
            self._by_address.popitem(last=False)
        wait = max(_wait(own, now), _wait(self._all, now))
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyTries(
                f"too many calls with wrong credentials have come from here; wait for {seconds} s. A right token is "
                "taken at once",
                retry_after=seconds,
            )
        own.append(now)
        self._all.append(now)
        if len(own) == BY_ADDRESS and _wait(own, now) > 0:
            logger.warning(
                "%d calls with wrong credentials have come from %s within %.0f s", BY_ADDRESS, address, PERIOD
            )


def _wait(times: deque[float], now: float) -> float:
    """Return for how long no more may come, where there are as many as may be."""
    return times[0] + PERIOD - now if len(times) == times.maxlen else 0.0
