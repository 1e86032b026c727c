"""How long to wait before another try while something keeps failing."""

from __future__ import annotations

from dataclasses import dataclass


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
