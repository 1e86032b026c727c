"""Takes the audit's entries to the Controller. No call waits for that: an entry is logged at once, and kept soon."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass

from iocmng.base.audit_log import log_entry
from iocmng.core.audit import NOBODY, AuditEntry, AuditKind, Door
from iocmng.core.ports.controller import ControllerClient
from iocmng.errors import IocmngError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrailLimits:
    """What the way to the store may cost.

    Attributes:
        waiting: Entries that wait for the Controller; beyond, new ones are in the log only.
        batch: Entries of one call.
        pause: Seconds in which entries are gathered.
        retry: Seconds between two tries while they cannot be kept.
        answer: Seconds in which the Controller has to answer a call.
        farewell: Seconds that the end of the application, or a read of the audit, waits for entries to be kept.
        strangers: Refused calls of strangers that are kept in each period; of the others, the number.
        period: Seconds.
    """

    waiting: int = 2000
    batch: int = 200
    pause: float = 0.1
    retry: float = 2.0
    answer: float = 30.0
    farewell: float = 2.0
    strangers: int = 20
    period: float = 60.0


class AuditTrail:
    """The entries of one application, on their way."""

    def __init__(self, limits: TrailLimits | None = None) -> None:
        self._limits = limits or TrailLimits()
        self._waiting: deque[AuditEntry] = deque()
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()
        self._lost = 0
        self._period_ends = 0.0
        self._strangers = self._unkept = 0

    def record(self, entry: AuditEntry) -> None:
        """Log an entry, and keep it soon: unless it is one of too many that were refused, or too many wait already."""
        log_entry(entry)
        if entry.kind is AuditKind.REFUSED and not self._admits():
            return
        self._put(entry)

    async def run(self, client: ControllerClient) -> None:
        """Send entries as they come, until cancelled."""
        complained = False
        while True:
            await self._wait_for_news()
            try:
                await self._send(client)
            except (IocmngError, TimeoutError) as error:
                if not complained:
                    _log.error("entries of the audit are in the log only at the moment: %s", error or "no answer")
                complained = True
                await asyncio.sleep(self._limits.retry)
                self._news.set()
            except Exception:  # noqa: BLE001  boundary: the entries to come are to be kept whatever is wrong with these
                _log.exception("entries of the audit are in the log only, by a mistake of iocmng itself")
                self._drop(self._limits.batch)
                self._news.set()
            else:
                complained = False

    async def flush(self, client: ControllerClient) -> None:
        """Send what waits, if that is soon done."""
        with contextlib.suppress(IocmngError, TimeoutError):
            async with asyncio.timeout(self._limits.farewell):
                await self._send(client)

    async def close(self, client: ControllerClient) -> None:
        """Send what waits; what then still does is in the log only."""
        self._end_period()
        await self.flush(client)
        if self._waiting:
            _log.error("%d entries of the audit are in the log only", len(self._waiting))
            self._waiting.clear()

    async def _wait_for_news(self) -> None:
        timeout = self._limits.period if self._unkept else None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout)
            await asyncio.sleep(self._limits.pause)
        if time.monotonic() >= self._period_ends:
            self._end_period()
        self._news.clear()

    async def _send(self, client: ControllerClient) -> None:
        async with self._sending:
            while self._waiting:
                batch = [self._waiting[place] for place in range(min(len(self._waiting), self._limits.batch))]
                await asyncio.wait_for(client.add_audit(batch), self._limits.answer)
                self._drop(len(batch))
            if self._lost:
                _log.error("%d entries of the audit are in the log only: too many waited", self._lost)
                lost, self._lost = self._lost, 0
                self._put(_gap("entries_lost", AuditKind.CHANGE, lost))

    def _drop(self, number: int) -> None:
        for _ in range(min(number, len(self._waiting))):
            self._waiting.popleft()

    def _put(self, entry: AuditEntry) -> None:
        if len(self._waiting) >= self._limits.waiting:
            self._lost += 1
            return
        self._waiting.append(entry)
        self._news.set()

    def _admits(self) -> bool:
        """Tell whether one more refused call is kept in this period."""
        if time.monotonic() >= self._period_ends:
            self._end_period()
            self._period_ends = time.monotonic() + self._limits.period
        self._strangers += 1
        if self._strangers <= self._limits.strangers:
            return True
        if not self._unkept:
            self._news.set()  # the writer is to look again when the period has ended
        self._unkept += 1
        return False

    def _end_period(self) -> None:
        if self._unkept:
            self._put(_gap("more_refused_calls", AuditKind.REFUSED, self._unkept))
        self._strangers = self._unkept = 0


def _gap(what: str, kind: AuditKind, number: int) -> AuditEntry:
    """Return the entry that stands for entries that are in the log only."""
    return AuditEntry(time.time(), Door.REST, kind, NOBODY, what, request={"number": number})
