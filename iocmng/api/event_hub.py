"""Hands each event to all open streams, so that none misses one and none gets one twice."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from iocmng.core.ports.controller import ControllerClient
from iocmng.core.runs import Run
from iocmng.core.state import Event, Snapshot
from iocmng.errors import ServerUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What open streams may cost.

    Attributes:
        streams: Streams that one replica holds open at once.
        waiting: Events that may wait for a client that does not take them; one more ends its stream.
        replayed: Events from the past that a stream begins with at most.
        keep_alive: Seconds of silence until a comment is sent, so that proxies keep the connection.
        longest: Seconds after which a stream ends, so that what proxies buffer for a stalled client stays bounded.
        farewell: Seconds that a stream which ends has for what is still to be sent.
        catch_up: Seconds that the Controller has to tell what happened while it was out of reach.
        retry: Seconds after which a client connects again.
        logs: Logs that one replica sends to followers at once; each is a call that waits at the Controller.
        log_lines: Lines of a log that are sent at once.
        log_bytes: What of a log is sent in one answer. Proxies take it all in, also for a client that takes nothing.
        patience: Seconds for which a log's follower waits for a Controller that is out of reach.
    """

    streams: int = 100
    waiting: int = 1000
    replayed: int = 10_000
    keep_alive: float = 15.0
    longest: float = 3600.0
    farewell: float = 1.0
    catch_up: float = 10.0
    retry: float = 3.0
    logs: int = 50
    log_lines: int = 500
    log_bytes: int = 8 * 1024 * 1024
    patience: float = 60.0


class Subscription:
    """What one stream still has to send.

    Attributes:
        position: Id of the newest event that it has been given, or that it was opened behind.
        ended: Set when nothing more will come.
    """

    def __init__(self, position: int, plugin: str | None, most_waiting: int) -> None:
        self.position = position
        self.ended = asyncio.Event()
        self._plugin = plugin
        self._most_waiting = most_waiting
        self._waiting: deque[Event | Run] = deque()
        self._news = asyncio.Event()

    def offer(self, event: Event) -> None:
        """Keep an event until it is taken, unless it is known or belongs to another plugin."""
        if self.ended.is_set() or event.id <= self.position:
            return
        if (self._plugin is not None and event.plugin != self._plugin) or self._add(event):
            self.position = event.id

    def offer_run(self, run: Run) -> None:
        """Keep what happened to a run until it is taken, unless it is of another job. It has no id to resume by."""
        if not self.ended.is_set() and self._plugin in (None, run.job):
            self._add(run)

    def _add(self, news: Event | Run) -> bool:
        is_room = len(self._waiting) < self._most_waiting
        if is_room:
            self._waiting.append(news)
            self._news.set()
        else:
            logger.warning("a client of /events is too slow: %d events wait for it; it is let go", self._most_waiting)
            self.end()
        return is_room

    def skip_to(self, position: int) -> None:
        """Drop what waits up to this id: it has been given in another way."""
        self.position = max(self.position, position)
        self._waiting = deque(news for news in self._waiting if isinstance(news, Run) or news.id > position)

    def end(self) -> None:
        """Take nothing more."""
        self.ended.set()
        self._news.set()

    async def take(self, seconds: float) -> list[Event | Run] | None:
        """Return what waits; an empty list if nothing comes in time, None after the end."""
        if not self._waiting and not self.ended.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return []
        self._news.clear()
        events, self._waiting = list(self._waiting), deque()
        return events if events or not self.ended.is_set() else None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a stream begins.

    Attributes:
        position: Id behind which it begins.
        missed: What happened since then, oldest first.
        is_cut: Whether more was missed than is replayed.
        subscription: What happens from now on.
    """

    position: int
    missed: Sequence[Event]
    is_cut: bool
    subscription: Subscription


class EventHub:
    """The open streams of one replica. The follower tells it of each snapshot."""

    def __init__(self, client: ControllerClient, limits: StreamLimits | None = None) -> None:
        self.limits = limits or StreamLimits()
        self._client = client
        self._open: set[Subscription] = set()
        self._is_closed = False

    @asynccontextmanager
    async def opened(self, after: int | None, plugin: str | None) -> AsyncIterator[Opening]:
        """Open a stream.

        Args:
            after: Id of the last event that the client has; None begins with what happens from now on.
            plugin: Only events of this plugin; None is all.

        Raises:
            ServerUnavailable: If too many streams are open, or the Controller cannot be reached.
        """
        newest = await self._client.events(None, 0, 1)
        # An id beyond the newest is of an earlier life of the state: with it, the client would wait for ever.
        last = newest[-1].id if newest else 0
        position = last if after is None else min(after, last)
        subscription = self._join(Subscription(position, plugin, self.limits.waiting))
        try:
            # What happens from here on is given to the subscription; what happened before is in the store.
            missed = await self._client.events(plugin, position, self.limits.replayed)
            if missed:
                subscription.skip_to(missed[-1].id)
            yield Opening(position, missed, len(missed) >= self.limits.replayed, subscription)
        finally:
            self._open.discard(subscription)

    async def take(self, snapshot: Snapshot) -> None:
        """Hand on what a snapshot tells; where it may have left something out, ask the Controller for it."""
        events: Iterable[Event] = snapshot.events
        if snapshot.complete and self._open:
            events = await self._catch_up()
        for event in events:
            for subscription in list(self._open):
                subscription.offer(event)
        for run in snapshot.runs:
            for subscription in list(self._open):
                subscription.offer_run(run)

    def close(self) -> None:
        """End all streams and open no more."""
        self._is_closed = True
        self._end_all()

    def _join(self, subscription: Subscription) -> Subscription:
        if self._is_closed:
            raise ServerUnavailable("this server is stopping; try again")
        if len(self._open) >= self.limits.streams:
            raise ServerUnavailable(
                f"{len(self._open)} streams of events are open here, and this server holds no more; close some, try "
                "again later, or ask for /events?stream=false"
            )
        self._open.add(subscription)
        return subscription

    async def _catch_up(self) -> list[Event]:
        """Return what no open stream may miss; where that cannot be told, end the streams: clients resume by id."""
        known = min(subscription.position for subscription in self._open)
        try:
            async with asyncio.timeout(self.limits.catch_up):
                # The last known event is asked for too: without it the ids have begun anew.
                events = await self._client.events(None, max(known - 1, 0), self.limits.replayed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the follower must go on
            logger.warning("cannot tell what happened while the Controller was out of reach (%s)", error)
            events = None
        if events is None or len(events) >= self.limits.replayed or (known and not events):
            self._end_all()
            return []
        return events

    def _end_all(self) -> None:
        for subscription in self._open:
            subscription.end()
