"""The audit in the Controller: numbers the entries, and has the store keep them, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from iocmng.base.audit_log import log_entry
from iocmng.cluster.keeper import Keeper
from iocmng.core.audit import AuditEntry, AuditKind, AuditQuery, Door, cut
from iocmng.core.client_puts import ClientPut
from iocmng.errors import StateUnavailable

WAITING = 5000
"""Entries that wait for the store while it cannot be written; beyond, new ones are in the log only."""

BATCH = 500
"""Entries of one transaction: a change that is to be kept meanwhile waits for no more than these."""

PAUSE = 0.2
"""Seconds in which entries that nobody waits for are gathered."""

TRY_AGAIN = 2.0
"""Seconds between two tries while the store cannot be written."""

_log = logging.getLogger(__name__)


class AuditBook:
    """Keeps the entries of the audit, whoever brings them."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._waiting: list[AuditEntry] = []
        self._writing = asyncio.Lock()
        self._news = asyncio.Event()
        self._lost = 0
        self._writes: set[asyncio.Task[None]] = set()

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries; return when they are kept.

        Raises:
            StateUnavailable: If they cannot be kept now. They are not taken then: who has them tries again.
        """
        for entry in entries:
            if entry.door is not Door.REST:  # the API has logged its own
                log_entry(entry)
        taken = list(entries)
        self._waiting += taken
        try:
            await self._write_all()
        except StateUnavailable:
            self._waiting = [entry for entry in self._waiting if not any(entry is one for one in taken)]
            raise

    def note(self, entry: AuditEntry) -> None:
        """Log an entry, and keep it soon."""
        log_entry(entry)
        if len(self._waiting) >= WAITING:
            self._lost += 1
            return
        self._waiting.append(entry)
        self._news.set()

    def note_put(self, plugin: str, put: ClientPut) -> None:
        """Log what a client has written to a plugin's PV, and keep it soon."""
        request = {"pv": cut(put.pv), "before": cut(put.before), "value": cut(put.value), "count": put.count}
        entry = AuditEntry(
            *(time.time(), Door.EPICS, AuditKind.WRITE, cut(put.who), "put"),
            method=put.protocol,
            plugin=plugin,
            request=request,
        )
        self.note(entry)

    async def find(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries, newest first; those that wait are written before, where that is possible."""
        with contextlib.suppress(StateUnavailable):
            await self._write_all()
        return await self._keeper.audit(query)

    async def write(self) -> None:
        """Write what was noted, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PAUSE)
            self._news.clear()
            try:
                await self._write_all()
            except StateUnavailable as error:
                _log.error("%d entries of the audit wait for the state: %s", len(self._waiting), error)
                await asyncio.sleep(TRY_AGAIN)
                self._news.set()

    async def close(self) -> None:
        """Write what waits, where that is possible."""
        try:
            await self._write_all()
        except StateUnavailable as error:
            _log.error("%d entries of the audit are in the log only: %s", len(self._waiting), error)

    async def _write_all(self) -> None:
        """Write what waits, to the end: also if who waits for that is cancelled."""
        writing = asyncio.create_task(self._write_waiting())
        self._writes.add(writing)
        writing.add_done_callback(self._writes.discard)
        await asyncio.shield(writing)

    async def _write_waiting(self) -> None:
        async with self._writing:
            while self._waiting:
                batch = self._waiting[:BATCH]
                first = self._keeper.last_audit + 1
                await self._keeper.add_audit([replace(entry, id=first + place) for place, entry in enumerate(batch)])
                self._keeper.last_audit += len(batch)
                del self._waiting[: len(batch)]
            if self._lost:
                _log.error("%d entries of the audit are in the log only: too many waited for the state", self._lost)
                self._lost = 0
