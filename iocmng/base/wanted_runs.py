"""WantedRuns: the runs of a job that clients have asked for by RUN and that nobody has taken yet."""

from __future__ import annotations

import threading


class WantedRuns:
    """Counts them; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    @property
    def number(self) -> int:
        """How many there are."""
        return self._number

    def add(self) -> None:
        """Note one more."""
        with self._lock:
            self._number += 1

    def take(self) -> int:
        """Return how many there are, and leave none."""
        with self._lock:
            number, self._number = self._number, 0
        return number
