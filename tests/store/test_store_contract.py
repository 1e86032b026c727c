"""What core.ports.store.StateStore promises, on each kind of database."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from store_support import OpenStore, entry, event, generation, names, spec

from iocmng.core.ports.store import StateStore
from iocmng.core.schedule import Schedule
from iocmng.core.source import GitSource, LocalSource
from iocmng.core.spec import FilesRef, PluginSpec
from iocmng.core.state import Loaded, PluginEntry
from iocmng.errors import StateUnavailable
from iocmng.store import SqlStateStore

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(), max_size=20)  # with NUL and half surrogate pairs
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", fullmatch=True),
    "parameters": st.dictionaries(TEXT, JSON, max_size=4),
    "applied": st.none() | st.dictionaries(TEXT, JSON, max_size=4),
    "owner": st.none() | TEXT,
    "resources": st.dictionaries(TEXT, st.floats(0, 1e6) | st.integers(0, 9), max_size=2),
    "node": st.dictionaries(TEXT, TEXT, max_size=2),
    "newest": st.integers(1, 2**31 - 1),
}


def _built(cls: type[Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy that fills every field of a dataclass, those of tomorrow included."""
    chosen = PARTS | parts
    return st.builds(cls, **{item.name: chosen.get(item.name, ...) for item in dataclasses.fields(cls)})


SPECS = _built(
    PluginSpec,
    source=_built(GitSource) | _built(LocalSource),
    files=st.none() | _built(FilesRef),
    schedule=st.none() | _built(Schedule),
)
ENTRIES = _built(PluginEntry, spec=SPECS)


def test_is_a_state_store(store: SqlStateStore):
    """The class has every method of the port."""
    as_port: StateStore = store
    assert isinstance(as_port, SqlStateStore)
    missing = [name for name in vars(StateStore) if not name.startswith("_") and not hasattr(SqlStateStore, name)]
    assert missing == []


def test_a_new_state_is_empty(store: SqlStateStore):
    assert store.load() == Loaded()
    assert store.generations("alpha") == []
    assert store.events(None, 0, 10) == []
    assert store.credential("alpha") is None


def test_what_was_saved_is_there_after_opening_again(open_: OpenStore):
    """Everything survives the end of the process."""
    store = open_()
    kept = entry("alpha", 3, owner="/etc/plugins.yaml", applied={"name": "alpha", "parameters": {"a": [1, 2.5]}})
    store.save(kept, generation("alpha", 3))
    store.set_credential("alpha", "secret")
    store.add_events([event(1), event(2)])
    store.set_note("colour", "blue")
    store.close()

    again = open_()

    assert again.load() == Loaded((kept,), 2)
    assert again.generations("alpha") == [generation("alpha", 3)]
    assert again.credential("alpha") == "secret"
    assert again.events(None, 0, 10) == [event(1), event(2)]
    assert again.note("colour") == "blue"
    assert again.note("none") is None


@given(kept=ENTRIES)
@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_entry_comes_back_as_it_was(store: SqlStateStore, kept: PluginEntry):
    """Also numbers beyond 64 bits, NUL, half surrogate pairs, and every field that core may get."""
    store.save(kept)
    [found] = store.load().entries
    assert found == kept
    store.delete(kept.spec.name)


def test_a_save_writes_over_what_was_there(store: SqlStateStore):
    store.save(entry("alpha", 1), generation("alpha", 1))
    store.save(entry("alpha", 2, owner="/f"), generation("alpha", 2))
    assert store.load().entries == (entry("alpha", 2, owner="/f"),)
    assert [item.number for item in store.generations("alpha")] == [2, 1]


def test_the_same_call_may_be_made_again(store: SqlStateStore):
    """A caller that has lost its connection does not know whether its call was kept."""
    for _ in range(2):
        store.save(entry(), generation("alpha", 1))
        store.add_generation(generation("alpha", 2, "failed", "no luck"))
        store.add_events([event(1), event(2)])
    assert [item.number for item in store.generations("alpha")] == [2, 1]
    assert store.events(None, 0, 10) == [event(1), event(2)]


def test_delete_forgets_all_but_the_events(store: SqlStateStore):
    store.save(entry("alpha"), generation("alpha", 1))
    store.save(entry("beta"), generation("beta", 1))
    for name in ("alpha", "beta"):
        store.set_credential(name, f"pat of {name}")
    store.add_events([event(1, "alpha")])

    store.delete("alpha")
    store.delete("alpha")
    store.delete("never there")

    assert names(store) == ["beta"]
    assert store.generations("alpha") == []
    assert store.credential("alpha") is None
    assert store.credential("beta") == "pat of beta"
    assert store.events("alpha", 0, 10) == [event(1, "alpha")]
    store.save(entry("alpha"))
    assert store.generations("alpha") == [], "a plugin of the same name inherits nothing"


def test_a_failed_generation_counts_and_changes_nothing_else(store: SqlStateStore):
    kept = entry("alpha", 1, owner="/f")
    store.save(kept, generation("alpha", 1))
    store.add_generation(generation("alpha", 4, "failed", "no such branch"))
    assert store.load().entries == (dataclasses.replace(kept, newest=4),)
    assert store.generations("alpha")[0] == generation("alpha", 4, "failed", "no such branch")
    store.add_generation(generation("alpha", 2, "failed"))
    assert store.load().entries[0].newest == 4, "it never goes back"


def test_a_generation_of_a_plugin_that_is_gone_leaves_nothing(store: SqlStateStore):
    store.add_generation(generation("alpha", 1, "failed"))
    store.save(entry("alpha"))
    assert store.generations("alpha") == []


def test_generations_are_pruned_but_never_the_last_two_that_started(open_: OpenStore):
    """The newest stay, the one that runs, and one to go back to."""
    store = open_(generations_kept=3)
    for number in (1, 2):
        store.save(entry("alpha", number), generation("alpha", number))
    store.save(entry("beta"), generation("beta", 1))
    for number in range(3, 9):
        store.add_generation(generation("alpha", number, "failed"))
    assert [item.number for item in store.generations("alpha")] == [8, 7, 6, 2, 1]
    assert [item.number for item in store.generations("beta")] == [1]
    store.save(entry("alpha", 9), generation("alpha", 9))
    assert [item.number for item in store.generations("alpha")] == [9, 8, 7, 2]


def test_events_are_the_newest_above_an_id_oldest_first(store: SqlStateStore):
    store.add_events([event(number, "alpha" if number % 2 else "beta") for number in range(1, 11)])
    assert [item.id for item in store.events(None, 0, 3)] == [8, 9, 10]
    assert [item.id for item in store.events(None, 8, 100)] == [9, 10]
    assert [item.id for item in store.events("alpha", 2, 3)] == [5, 7, 9]
    assert store.events("gamma", 0, 3) == []
    store.add_events([])


def test_questions_that_make_no_sense_have_empty_answers(store: SqlStateStore):
    """They come from the query of a GET, and must not look like a broken database."""
    store.add_events([event(1)])
    assert store.events(None, 2**70, 2**70) == []
    assert store.events(None, -(2**62), 2**70) == [event(1)]
    assert store.events(None, 0, -1) == []
    for name in ("\x00", "\ud800", "' OR 1=1 --"):
        assert store.events(name, 0, 9) == []
        assert store.generations(name) == []


def test_events_beyond_the_limit_are_dropped(open_: OpenStore):
    """The limit holds after every call and after opening again, and ids may have gaps."""
    store = open_(events_kept=100)
    for start in range(1, 500, 40):
        store.add_events([event(number) for number in range(start, start + 40, 2)])
        assert len(store.events(None, 0, 1000)) <= 100
    assert [item.id for item in store.events(None, 0, 1000)] == list(range(321, 521, 2))
    store.close()
    again = open_(events_kept=150)
    again.add_events([event(number) for number in range(1001, 1101)])
    found = [item.id for item in again.events(None, 0, 1000)]
    assert (len(found), found[0], found[-1]) == (150, 421, 1100)


def test_more_events_at_once_than_are_kept(open_: OpenStore):
    store = open_(events_kept=100)
    store.add_events([event(number) for number in range(1, 301)])
    assert [item.id for item in store.events(None, 0, 1000)] == list(range(201, 301))


def test_events_are_counted_once_and_not_at_every_call(open_: OpenStore, count_statements: Any):
    """With ten million events, counting takes seconds."""
    store = open_(events_kept=100)
    store.add_events([event(1)])
    with count_statements("count(") as counted:
        for number in range(2, 300):
            store.add_events([event(number)])
    assert counted() == 0
    assert len(store.events(None, 0, 1000)) == 100


def test_the_last_event_is_known_when_its_row_is_gone(open_: OpenStore, run_sql: Any):
    """An id is never given twice, whatever was removed."""
    store = open_()
    store.add_events([event(number) for number in (1, 2, 7)])
    store.delete("alpha")
    store.close()
    run_sql("DELETE FROM iocmng_events")
    again = open_()
    assert again.load().last_event == 7
    again.add_events([event(8)])
    assert again.load().last_event == 8


def test_a_sentence_with_characters_that_no_database_takes_is_kept_readable(store: SqlStateStore):
    """An author's exception may hold anything; an event that cannot be written would hold up all others."""
    store.add_events([dataclasses.replace(event(1), reason="bad \x00 and \ud800 here")])
    assert store.events(None, 0, 1)[0].reason == "bad \ufffd and ? here"
    store.save(entry(), dataclasses.replace(generation("alpha", 1), message="\x00"))
    assert store.generations("alpha")[0].message == "\ufffd"


def test_a_call_that_fails_keeps_nothing(store: SqlStateStore, run_sql: Any):
    """A plugin and its generation are one transaction."""
    store.save(entry("alpha"))
    run_sql("ALTER TABLE iocmng_generations RENAME TO elsewhere")
    with pytest.raises(StateUnavailable):
        store.save(entry("alpha", 2), generation("alpha", 2))
    run_sql("ALTER TABLE elsewhere RENAME TO iocmng_generations")
    assert store.load().entries == (entry("alpha"),)
    store.save(entry("alpha", 2), generation("alpha", 2))
    assert store.load().entries == (entry("alpha", 2),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"spec": {"source": {"type": "git", "url": "u"}, "name": "alpha", "colour": 1}}', "know colour"),
        ('{"spec": {"source": {"type": "git", "url": "u"}, "name": "alpha"}, "shape": 1}', "know shape"),
        ('{"spec": {"source": {"type": "git", "url": "u", "mirror": 1}, "name": "alpha"}}', "know mirror"),
        ('{"spec": {"source": {"type": "svn", "url": "u"}, "name": "alpha"}}', "type of its source"),
        ('{"spec": {"source": {"type": "git", "url": "u"}, "name": 5}}', "does not fit: name"),
        ('{"spec": {"source": {"type": "git", "url": "u"}, "name": "a", "files": [1]}}', "no JSON object"),
        ("{}", "type of its source"),
        ("[]", "no JSON object"),
        ("{", "no JSON"),
    ],
)
def test_an_entry_that_this_release_does_not_understand_is_refused(
    store: SqlStateStore, run_sql: Any, text: str, words: str
):
    """Nothing that another release wrote is lost without a word."""
    store.save(entry("alpha"))
    run_sql(f"UPDATE iocmng_plugins SET entry = '{text}'")
    with pytest.raises(StateUnavailable, match="plugin alpha cannot be read") as caught:
        store.load()
    assert words in caught.value.message


def test_a_field_that_is_new_in_this_release_has_its_default(store: SqlStateStore, run_sql: Any):
    store.save(entry("alpha"))
    run_sql(
        """UPDATE iocmng_plugins SET entry = '{"spec": {"source": {"type": "git", "url": "u"}, "name": "alpha"}}'"""
    )
    assert store.load().entries == (PluginEntry(PluginSpec("alpha", GitSource("u"))),)


def test_a_closed_store_says_so(store: SqlStateStore):
    store.close()
    store.close()
    for call in (store.load, lambda: store.save(entry())):
        with pytest.raises(StateUnavailable, match="closed"):
            call()


def test_any_thread_may_call(store: SqlStateStore):
    """One at a time, but not always the same one."""
    from concurrent.futures import ThreadPoolExecutor

    for number in range(4):
        with ThreadPoolExecutor(1) as thread:
            thread.submit(store.save, entry(f"plugin{number}")).result()
    assert len(names(store)) == 4
    assert spec("plugin0") == store.load().entries[0].spec
