"""The audit in the Controller: numbered, kept many at a time, and never in the way of a change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from dataclasses import replace
from typing import Any

import pytest
from controller_support import until
from fakes import FakeLauncher, MemoryStore
from run_support import is_so

from iocmng.base.audit_log import LOGGER
from iocmng.cluster import audit_book
from iocmng.cluster.controller import Controller
from iocmng.core.audit import AuditEntry, AuditKind, AuditQuery, Door
from iocmng.core.client_puts import ClientPut
from iocmng.core.request import PluginRequest
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


async def test_what_clients_write_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A plugin's process reports the puts of clients, and each becomes an entry, in the log, too."""
    caplog.set_level(logging.INFO, LOGGER)
    store = MemoryStore()
    controller = Controller(launcher := FakeLauncher(), store, "S")
    await controller.start()
    await controller.add(PluginRequest(name="p", local_path="/p"), None, True)
    handle = launcher.handles[0]
    report = handle.report()
    put = ClientPut("S:P:ENABLE", "ada@console", "ca", "ENABLED", "DISABLED")
    handle.reports.put_nowait(replace(report, writes=(put, replace(put, count=7))))
    await until(lambda: is_so(len(controller._audit._waiting) + len(store.audited) == 2))
    found = await controller.audit(AuditQuery())
    await controller.shutdown()
    entry = found[1]
    assert (entry.door, entry.kind, entry.who, entry.what) == (Door.EPICS, AuditKind.WRITE, "ada@console", "put")
    assert (entry.method, entry.plugin) == ("ca", "p")
    assert entry.request == {"pv": "S:P:ENABLE", "before": "ENABLED", "value": "DISABLED", "count": 1}
    assert found[0].request["count"] == 7
    assert caplog.text.count("ada@console") == 2


async def test_a_state_that_is_down_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries that nobody waits for wait themselves; too many of them are in the log only."""
    monkeypatch.setattr(audit_book, "TRY_AGAIN", 0.01)
    monkeypatch.setattr(audit_book, "WAITING", 3)
    store = MemoryStore()
    async with running(store) as controller:
        store.full = True
        for number in range(5):
            controller._audit.note_put("p", ClientPut(f"S:P:{number}", "ada@console", "ca", "0", "1"))
        await until(lambda: is_so("wait for the state" in caplog.text))
        store.full = False
        await until(lambda: is_so(len(store.audited) == 3))
    assert [entry.request["pv"] for entry in store.audited] == ["S:P:0", "S:P:1", "S:P:2"]
