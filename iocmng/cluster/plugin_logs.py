"""The log lines of all plugins, and who waits for more of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable

from iocmng.core.log_lines import NumberedLog

LOG_LINES = 2000
"""Log lines kept for each plugin."""


class PluginLogs:
    """The newest lines by plugin name."""

    def __init__(self) -> None:
        self._logs: dict[str, NumberedLog] = {}
        self._news: dict[str, asyncio.Event] = {}

    def of(self, name: str) -> NumberedLog:
        """Return a plugin's log."""
        if name not in self._logs:
            # Microseconds: no plugin writes lines faster, so a later log's numbers are higher, also in a later life.
            self._logs[name] = NumberedLog(LOG_LINES, time.time_ns() // 1000)
        return self._logs[name]

    def add(self, name: str, lines: Iterable[str], generation: int) -> None:
        """Keep lines that a generation of a plugin has written."""
        self.of(name).extend(lines, generation)
        self._tell(name)

    async def more(self, name: str, within: float) -> None:
        """Wait until a plugin has logged something or its log is forgotten, or so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._news.setdefault(name, asyncio.Event()).wait()

    def forget(self, name: str) -> None:
        """Drop a plugin's log."""
        self._logs.pop(name, None)
        self._tell(name)

    def __contains__(self, name: str) -> bool:
        return name in self._logs

    def _tell(self, name: str) -> None:
        if news := self._news.pop(name, None):
            news.set()
