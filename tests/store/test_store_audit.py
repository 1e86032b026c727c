"""The audit in the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from store_support import OpenStore, entry

from iocmng.core.audit import AuditEntry, AuditKind, AuditQuery, Door
from iocmng.errors import StateUnavailable
from iocmng.store import SqlStateStore
from iocmng.store.audit_table import REFUSED_SHARE


def audited(number: int, **changes: Any) -> AuditEntry:
    """Return an entry of the audit."""
    given = {"who": "ada", "what": "add_plugin", "plugin": "alpha", "kind": AuditKind.CHANGE, "door": Door.REST}
    return AuditEntry(at=1e9 + number, id=number, **(given | changes))


def ids(entries: list[AuditEntry]) -> list[int]:
    return [one.id for one in entries]


def test_an_entry_comes_back_as_it_was(open_: OpenStore) -> None:
    """All of it, whatever its texts hold, also after the store was closed."""
    full = audited(
        1,
        method="POST",
        role="admin",
        address="10.0.0.7:5123",
        claimed="1.2.3.4",
        request={"parameters": {"a\x00b": ["\ud800", None, 1.5]}},
        status=201,
        code="",
        duration=12.5,
    )
    store = open_()
    store.add_audit([full, audited(2, door=Door.EPICS, kind=AuditKind.WRITE, who="nobody\x00@host")])
    store.close()
    second, first = open_().audit(AuditQuery())
    assert first == full
    assert second.who == "nobody\ufffd@host"
    assert second.status is None


def test_the_newest_come_first_page_by_page(store: SqlStateStore) -> None:
    """`before` and `limit` give each entry once."""
    store.add_audit([audited(number) for number in range(1, 8)])
    assert ids(store.audit(AuditQuery(limit=3))) == [7, 6, 5]
    assert ids(store.audit(AuditQuery(limit=3, before=5))) == [4, 3, 2]
    assert ids(store.audit(AuditQuery(limit=3, before=2))) == [1]
    assert ids(store.audit(AuditQuery(limit=2**80, before=2**80)))[-1] == 1


def test_what_is_asked_for(store: SqlStateStore) -> None:
    """By plugin, by who, by the beginning of what, by time; a pattern of LIKE is none."""
    store.add_audit(
        [
            audited(1, plugin="beta"),
            audited(2, who="bob"),
            audited(3, what="remove_task"),
            audited(4, what="removing"),
        ]
    )
    assert ids(store.audit(AuditQuery(plugin="beta"))) == [1]
    assert ids(store.audit(AuditQuery(who="bob"))) == [2]
    assert ids(store.audit(AuditQuery(what="remove_"))) == [3]
    assert ids(store.audit(AuditQuery(what="%"))) == []
    assert ids(store.audit(AuditQuery(since=1e9 + 3))) == [4, 3]
    assert ids(store.audit(AuditQuery(who="ada", plugin="alpha", what="remov"))) == [4, 3]
    assert store.audit(AuditQuery(who="no\x00body")) == []


def test_the_oldest_of_each_kind_are_dropped(open_: OpenStore) -> None:
    """Neither strangers nor writes of PVs drive out a change; also after the store was opened again."""
    store = open_(audit_kept=100)
    store.add_audit([audited(1)])
    for number in range(2, 302, 50):
        store.add_audit([audited(number + place, kind=AuditKind.REFUSED) for place in range(50)])
    store.close()
    store = open_(audit_kept=100)
    store.add_audit([audited(1000 + number, kind=AuditKind.WRITE) for number in range(130)])
    store.add_audit([audited(2000, kind=AuditKind.REFUSED)])
    kept = store.audit(AuditQuery(limit=1000))
    refused = [one.id for one in kept if one.kind is AuditKind.REFUSED]
    assert refused == [2000, *range(301, 292, -1)]
    assert len(refused) == 100 // REFUSED_SHARE
    assert [one.id for one in kept if one.kind is AuditKind.WRITE] == list(range(1129, 1029, -1))
    assert ids(kept)[-1] == 1


def test_numbers_go_on_after_a_restart(open_: OpenStore) -> None:
    """The Controller learns the highest number that there has been."""
    store = open_(audit_kept=100)
    assert store.load().last_audit == 0
    store.add_audit([audited(number) for number in range(1, 151)])
    store.close()
    assert open_().load().last_audit == 150


def test_the_audit_outlives_the_plugin(store: SqlStateStore) -> None:
    """What was done to a plugin that is gone can still be asked for."""
    store.save(entry("alpha"))
    store.add_audit([audited(1)])
    store.delete("alpha")
    assert ids(store.audit(AuditQuery(plugin="alpha"))) == [1]


def test_the_same_entries_twice_are_kept_once(store: SqlStateStore) -> None:
    """Who has lost the connection may make the call again."""
    store.add_audit([audited(1)])
    store.add_audit([audited(1), audited(2)])
    store.add_audit([])
    assert ids(store.audit(AuditQuery())) == [2, 1]


def test_a_store_that_fails_keeps_nothing_of_the_call(store: SqlStateStore, run_sql: Any) -> None:
    """A batch is kept as a whole or not at all, and the count is right afterwards."""
    store.add_audit([audited(1)])
    bad = replace(audited(2), at=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(StateUnavailable):
        store.add_audit([audited(3), bad])
    assert ids(store.audit(AuditQuery())) == [1]
    store.add_audit([audited(2)])
    assert store._audit_counts == {AuditKind.CHANGE: 2}
