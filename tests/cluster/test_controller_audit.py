"""The audit in the Controller: numbered, kept many at a time, and never in the way of a change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from typing import Any

import pytest
from fakes import FakeLauncher, MemoryStore

from iocmng.base.audit_log import LOGGER
from iocmng.cluster import audit_book
from iocmng.cluster.controller import Controller
from iocmng.core.audit import AuditEntry, AuditKind, AuditQuery, Door
from iocmng.errors import StateUnavailable


def audited(what: str = "stop_plugin", door: Door = Door.REST) -> AuditEntry:
    """Return an entry as it comes in."""
    return AuditEntry(1e9, door, AuditKind.CHANGE, "ada", what)


@contextlib.asynccontextmanager
async def running(store: Any):
    """A Controller at work."""
    controller = Controller(FakeLauncher(), store, "S")
    await controller.start()
    try:
        yield controller
    finally:
        await controller.shutdown()


async def test_entries_are_numbered_and_come_back_newest_first() -> None:
    """Numbers rise, also in a later life of the Controller."""
    store = MemoryStore()
    async with running(store) as controller:
        await asyncio.gather(*(controller.add_audit([audited(f"call_{number}")]) for number in range(5)))
    async with running(store) as controller:
        await controller.add_audit([audited("last")])
        found = await controller.audit(AuditQuery())
    assert [one.id for one in found] == [6, 5, 4, 3, 2, 1]
    assert found[0].what == "last"


async def test_many_calls_are_one_transaction() -> None:
    """Batches that come while one is written are written together."""

    class SlowStore(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.sizes = threading.Event(), []

        def add_audit(self, entries: Any) -> None:
            self.gate.wait(30)
            self.sizes.append(len(entries))
            super().add_audit(entries)

    store = SlowStore()
    async with running(store) as controller:
        calls = [asyncio.create_task(controller.add_audit([audited()])) for _ in range(1000)]
        await asyncio.sleep(0)
        store.gate.set()
        await asyncio.gather(*calls)
    assert sum(store.sizes) == 1000
    assert len(store.sizes) <= 4
    assert max(store.sizes) <= audit_book.BATCH


async def test_a_store_that_cannot_be_written_takes_nothing() -> None:
    """Who brings entries is told, keeps them, and brings them again: none is there twice."""
    store = MemoryStore()
    async with running(store) as controller:
        store.full = True
        with pytest.raises(StateUnavailable):
            await controller.add_audit([audited()])
        store.full = False
        await controller.add_audit([audited()])
        assert len(await controller.audit(AuditQuery())) == 1


async def test_entries_of_other_doors_are_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    """The API has logged its own; a command in the cluster has no log that lasts."""
    caplog.set_level(logging.INFO, LOGGER)
    async with running(MemoryStore()) as controller:
        await controller.add_audit([audited("by_rest"), audited("by_cluster", Door.CLUSTER)])
    assert [json.loads(record.getMessage())["what"] for record in caplog.records if record.name == LOGGER] == [
        "by_cluster"
    ]
