"""Until when the PVs of a plugin may be served by a process that nobody can reach."""

from __future__ import annotations

import asyncio
import time


class Unseen:
    """Plugins with a process on a node that is cut off; no other process may serve their PVs until its lease is over.

    It holds for every way in which a plugin is started, those included that somebody asks for.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, name: str, seconds: float) -> None:
        """Note that PVs of a plugin may be served for so many seconds; 0 changes nothing."""
        if seconds > 0:
            self._until[name] = max(self._until.get(name, 0.0), time.monotonic() + seconds)

    def left(self, name: str) -> float:
        """Return for how many seconds they may be."""
        left = self._until.get(name, 0.0) - time.monotonic()
        if left <= 0:
            self._until.pop(name, None)
        return max(0.0, left)

    async def over(self, name: str) -> None:
        """Return when they no longer can be."""
        while left := self.left(name):  # noqa: ASYNC110  nobody tells; it may have become longer meanwhile
            await asyncio.sleep(left)
