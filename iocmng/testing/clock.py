"""FakeClock: time that only the test turns."""

from __future__ import annotations


class FakeClock:
    """A clock that stands still until it is told to go on.

    Args:
        now: Seconds that it shows at first.
    """

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """Return the seconds that it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Turn it forward; nothing else happens.

        Raises:
            ValueError: If the seconds are below zero.
        """
        if seconds < 0:
            raise ValueError(f"time goes forward only, not by {seconds:g} s")
        self.now += seconds

    sleep = advance
    """Put it in the place of time.sleep, and code that waits takes time on this clock and none of yours."""
