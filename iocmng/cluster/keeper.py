"""The Controller's way to the store: calls in a thread of their own, and what an entry holds beside its spec."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, TypeVar

from iocmng.core.audit import AuditEntry, AuditQuery
from iocmng.core.ports.store import StateStore
from iocmng.core.runs import Run, RunState
from iocmng.core.spec import PluginSpec
from iocmng.core.state import Cause, Event, Generation, GenerationResult, PluginEntry
from iocmng.errors import StateUnavailable

EVENTS_IN_MEMORY = 1000
"""Events that wait for the store while it cannot be written; beyond, the oldest are lost."""

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(slots=True)
class _Card:
    """What is known of one plugin beside its spec."""

    entry: PluginEntry
    kept: deque[str] = field(default_factory=deque[str])


class Keeper:
    """Keeps what must outlive this process.

    The store blocks, so one thread makes all its calls, in the order in which they were asked for.
    """

    def __init__(self, store: StateStore, generations_kept: int) -> None:
        self._store = store
        self._generations_kept = generations_kept
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="iocmng-store")
        self._cards: dict[str, _Card] = {}
        self._credentials: dict[str, str | None] = {}
        self._events: deque[Event] = deque(maxlen=EVENTS_IN_MEMORY)
        self._has_events = asyncio.Event()
        self._writing = asyncio.Lock()
        self._complained = False
        self.last_event = self.last_run = self.last_audit = 0
        self.ended_runs: Mapping[str, tuple[int, RunState]] = {}

    async def load(self) -> list[PluginEntry]:
        """Read everything; return the entries.

        Raises:
            StateUnavailable: If the store cannot be read.
        """
        loaded = await self._call(self._store.load)
        self.last_event, self.last_run, self.ended_runs = loaded.last_event, loaded.last_run, loaded.ended_runs
        self.last_audit = loaded.last_audit
        for entry in loaded.entries:
            card = self._cards[entry.spec.name] = _Card(entry, deque(maxlen=self._generations_kept))
            for generation in reversed(await self._call(self._store.generations, entry.spec.name)):
                _keep(card, generation)
        return list(loaded.entries)

    def entry(self, name: str) -> PluginEntry | None:
        """Return what is kept of a plugin."""
        card = self._cards.get(name)
        return card.entry if card else None

    def entries(self) -> dict[str, PluginEntry]:
        """Return what is kept, by name."""
        return {name: card.entry for name, card in self._cards.items()}

    def next_number(self, spec: PluginSpec) -> int:
        """Return the number of the plugin's next generation."""
        card = self._cards.get(spec.name)
        return max(spec.generation, card.entry.newest if card else 0) + 1

    def kept_digests(self) -> set[str]:
        """Return the bundles that a rollback or a start without the repository may need."""
        specs = {card.entry.spec.files.digest for card in self._cards.values() if card.entry.spec.files}
        return specs.union(*(card.kept for card in self._cards.values()))

    async def save(
        self, spec: PluginSpec, *, owner: str | None = None, applied: Mapping[str, Any] | None = None
    ) -> None:
        """Keep what is desired of a plugin and, if given, which entry of which plugins file asks for it.

        Raises:
            StateUnavailable: If it cannot be kept; what was kept before stays.
        """
        entry = self.entry(spec.name) or PluginEntry(spec, newest=0)
        if owner is not None:
            entry = replace(entry, owner=owner, applied=applied)
        await self._keep(replace(entry, spec=spec, newest=max(entry.newest, spec.generation)), None)

    async def own(self, name: str, owner: str, applied: Mapping[str, Any]) -> None:
        """Keep which entry of which plugins file asks for a plugin that is known.

        Raises:
            StateUnavailable: If it cannot be kept.
        """
        if entry := self.entry(name):
            await self._keep(replace(entry, owner=owner, applied=applied), None)

    async def set_credential(self, name: str, credential: str | None) -> None:
        """Keep another PAT for a plugin that is known; None forgets the one there is.

        Raises:
            StateUnavailable: If it cannot be kept.
        """
        await self._call(self._store.set_credential, name, credential)

    async def note_start(self, spec: PluginSpec, cause: Cause) -> None:
        """Keep that a generation of a known plugin has started; a store that cannot be written is only logged."""
        entry = self.entry(spec.name)
        if entry is None:
            return
        generation = _generation(spec, cause, GenerationResult.STARTED, "")
        try:
            await self._keep(entry, generation)
        except StateUnavailable as error:
            _log.error("generation %d of %s could not be noted: %s", spec.generation, spec.name, error)

    async def note_node(self, name: str, remote_node: str | None) -> None:
        """Keep on which other node a known plugin is about to serve, before it does.

        Raises:
            StateUnavailable: If it cannot be kept.
        """
        entry = self.entry(name)
        if entry is not None and entry.remote_node != remote_node:
            await self._keep(replace(entry, remote_node=remote_node), None)

    async def note_failure(self, spec: PluginSpec, cause: Cause, message: str) -> None:
        """Keep that a generation of a known plugin has failed; a store that cannot be written is only logged."""
        card = self._cards.get(spec.name)
        if card is None:
            return
        card.entry = replace(card.entry, newest=max(card.entry.newest, spec.generation))
        try:
            await self._call(self._store.add_generation, _generation(spec, cause, GenerationResult.FAILED, message))
        except StateUnavailable as error:
            _log.error("a failed generation of %s could not be noted: %s", spec.name, error)

    async def forget(self, name: str) -> None:
        """Forget a plugin.

        Raises:
            StateUnavailable: If the store cannot be written; the plugin is kept then.
        """
        self._credentials.pop(name, None)
        # Also if it is not known here: a save that nobody waited for any longer may have come first.
        await self._call(self._store.delete, name)
        self._cards.pop(name, None)

    async def generations(self, name: str) -> list[Generation]:
        """Return a plugin's generations, newest first."""
        return await self._call(self._store.generations, name)

    async def save_run(self, run: Run) -> None:
        """Keep a run as it is now.

        Raises:
            StateUnavailable: If it cannot be kept.
        """
        await self._call(self._store.save_run, run)

    async def runs(self, job: str, states: Collection[RunState], before: int | None, limit: int) -> list[Run]:
        """Return a job's runs, newest first; see StateStore.runs."""
        return await self._call(self._store.runs, job, states, before, limit)

    async def run(self, job: str, run: int) -> Run | None:
        """Return a run of a job with its log lines."""
        return await self._call(self._store.run, job, run)

    async def open_runs(self) -> list[Run]:
        """Return all runs that have not ended, oldest first."""
        return await self._call(self._store.open_runs)

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries of the audit.

        Raises:
            StateUnavailable: If they cannot be kept.
        """
        await self._call(self._store.add_audit, entries)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries of the audit, newest first."""
        return await self._call(self._store.audit, query)

    def offer_credential(self, name: str, credential: str | None) -> None:
        """Use this PAT from now on; it is kept with the plugin's next save."""
        self._credentials[name] = credential

    def withdraw_credential(self, name: str) -> None:
        """Forget a PAT that was offered and never kept."""
        self._credentials.pop(name, None)

    async def credential(self, name: str) -> str | None:
        """Return the PAT of a plugin.

        Raises:
            StateUnavailable: If it cannot be read or decrypted.
        """
        if name in self._credentials:
            return self._credentials[name]
        return await self._call(self._store.credential, name)

    def add_event(self, event: Event) -> None:
        """Keep an event, soon."""
        self._events.append(event)
        self._has_events.set()

    async def events(self, name: str | None, after: int, limit: int) -> list[Event]:
        """Return events, oldest first; those that still wait to be written are among them."""
        await self._write_events()
        stored = await self._call(self._store.events, name, after, limit)
        waiting = [event for event in self._events if event.id > after and name in (None, event.plugin)]
        return [*stored, *(event for event in waiting if not stored or event.id > stored[-1].id)][-limit:]

    async def write_events(self) -> None:
        """Write events as they come, until cancelled."""
        while True:
            await self._has_events.wait()
            self._has_events.clear()
            await self._write_events()
            if self._complained:
                await asyncio.sleep(1.0)
                self._has_events.set()

    async def close(self) -> None:
        """Write what waits, and let go of the store."""
        await self._write_events()
        await self._call(self._store.close)
        self._thread.shutdown()

    async def _keep(self, entry: PluginEntry, generation: Generation | None) -> None:
        name = entry.spec.name
        if name in self._credentials:
            await self._call(self._store.set_credential, name, self._credentials[name])
            del self._credentials[name]
        await self._call(self._store.save, entry, generation)
        card = self._cards.get(name)
        if card is None:
            card = self._cards[name] = _Card(entry, deque(maxlen=self._generations_kept))
        card.entry = entry
        if generation is not None:
            _keep(card, generation)

    async def _write_events(self) -> None:
        async with self._writing:
            waiting = list(self._events)
            if not waiting:
                return
            try:
                await self._call(self._store.add_events, waiting)
            except StateUnavailable as error:
                if not self._complained:
                    _log.error("events cannot be kept at the moment: %s", error)
                self._complained = True
                return
            self._complained = False
            while self._events and self._events[0].id <= waiting[-1].id:
                self._events.popleft()

    async def _call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def _keep(card: _Card, generation: Generation) -> None:
    if generation.result is GenerationResult.STARTED and generation.files is not None:
        card.kept.append(generation.files.digest)


def _generation(spec: PluginSpec, cause: Cause, result: GenerationResult, message: str) -> Generation:
    return Generation(spec.name, spec.generation, cause, time.time(), spec, result, message)
