"""One server at a time uses a state."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from store_support import OpenStore, StoreProcess, entry, names
from support import wait_for

from iocmng.errors import StateUnavailable
from iocmng.settings import Settings
from iocmng.store import open_store

HOLDER = "say('open'); time.sleep(600)"


def test_a_second_server_is_refused_until_the_first_is_killed(settings: Settings):
    """The refusal says which process has the state, and kill -9 frees it."""
    process = StoreProcess(settings, HOLDER)
    process.line()
    try:
        with pytest.raises(StateUnavailable, match="another iocmng server") as caught:
            open_store(settings, lock_timeout=0.2)
        assert f"process {process.process.pid}" in caught.value.message
        assert "dont-show-this" not in caught.value.message
    finally:
        process.kill()
    open_store(settings, lock_timeout=30).close()


def test_a_second_store_of_the_same_process_is_refused_too(open_: OpenStore):
    first = open_()
    first.save(entry())
    with pytest.raises(StateUnavailable, match="another iocmng server"):
        open_(lock_timeout=0)
    first.close()
    assert names(open_(lock_timeout=0)) == ["alpha"]


def test_a_server_waits_for_the_one_that_it_replaces(settings: Settings, open_: OpenStore):
    """The old pod may take a moment to end."""
    first = open_()
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(open_, lock_timeout=60)
        first.save(entry())
        assert not second.done()
        first.close()
        assert names(second.result(60)) == ["alpha"]


def test_an_open_that_fails_lets_go_of_the_state(sqlite_settings: Settings):
    sqlite_settings.state.mkdir(parents=True)
    file = sqlite_settings.state / "state.sqlite"
    file.write_text("no database")
    with pytest.raises(StateUnavailable, match="damaged"):
        open_store(sqlite_settings)
    file.unlink()
    open_store(sqlite_settings, lock_timeout=0).close()


def test_the_lock_file_names_its_holder(sqlite_settings: Settings):
    store = open_store(sqlite_settings)
    lock = sqlite_settings.state / "state.lock"
    assert lock.read_text().split()[0] == str(os.getpid())
    assert lock.stat().st_mode & 0o777 == 0o600
    store.close()


def test_a_lock_file_that_was_removed_while_one_waited_is_no_lock(sqlite_settings: Settings):
    """The one who waits must not get a lock on a file that has no name any longer."""
    first = open_store(sqlite_settings)
    lock = sqlite_settings.state / "state.lock"
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(open_store, sqlite_settings, 60)
        lock.rename(lock.with_name("elsewhere"))
        wait_for(lock.exists, "the one who waits has made a new file")
        waiting.result(60).close()
    first.close()
