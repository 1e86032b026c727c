"""WantedRuns: the runs of a job that clients have asked for by RUN and that nobody has taken yet."""

from __future__ import annotations

import threading


class WantedRuns:
    """Keeps who has asked for each; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._who: list[str] = []

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self._who)

    def add(self, who: str) -> None:
        """Note one more, and who has asked for it."""
        with self._lock:
            self._who.append(who)

    def take(self) -> tuple[str, ...]:
        """Return who has asked for each, and leave none."""
        with self._lock:
            who, self._who = self._who, []
        return tuple(who)
