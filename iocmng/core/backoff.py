"""How long to wait before another try while something keeps failing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off.

    Attributes:
        first: Seconds to wait after the first failure.
        factor: Each further failure multiplies the wait by this.
        limit: Longest wait in seconds.
    """

    first: float = 1.0
    factor: float = 2.0
    limit: float = 60.0

    def delay(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row (counted from 1)."""
        if failures < 1:
            return 0.0
        # The exponent is capped so that a task that fails for a year does not overflow a float.
        return min(self.limit, self.first * self.factor ** min(failures - 1, 64))


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a plugin whose process has ended by itself is started again.

    Attributes:
        backoff: Waits from the second start in a row on; the first is made at once.
        stable_after: Seconds of service after which earlier ends are forgotten.
        jitter: A wait is shortened or lengthened by up to this part of it, so that plugins that ended together do not
            all start together.
        draw: Returns a number from 0 to 1.
    """

    backoff: Backoff = field(default_factory=Backoff)
    stable_after: float = 60.0
    jitter: float = 0.2
    draw: Callable[[], float] = random.random

    def delay(self, crashes: int) -> float:
        """Return the seconds to wait after so many ends in a row (counted from 1)."""
        return self.backoff.delay(crashes - 1) * (1 + self.jitter * (2 * self.draw() - 1))
