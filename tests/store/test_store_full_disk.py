"""A disk that is full: a clear error, nothing lost, and everything goes on once there is room."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_support import entry, event, names, spec

from iocmng.core.state import PluginEntry
from iocmng.errors import StateUnavailable
from iocmng.settings import Settings
from iocmng.store import open_store

pytestmark = pytest.mark.thorough

BIG = PluginEntry(spec("big", parameters={"text": "x" * 400_000}))


@contextlib.contextmanager
def filled(directory: Path) -> Iterator[None]:
    """Fill a disk to the last byte."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"\0" * 512)
    yield
    filler.unlink()


def test_a_full_disk_is_told_and_forgotten_when_there_is_room(small_disk: Path):
    """What failed has left nothing; reading goes on all the time."""
    store = open_store(Settings(plugins_dir=small_disk))
    store.save(entry("alpha"))
    with filled(small_disk):
        for _ in range(3):
            with pytest.raises(StateUnavailable, match=r"full.*Nothing was changed; free space in"):
                store.save(BIG)
            with pytest.raises(StateUnavailable, match="free space"):
                store.add_events([event(number) for number in range(1, 5000)])
            assert names(store) == ["alpha"]
            assert store.load().last_event == 0
    store.save(BIG)
    store.add_events([event(1)])
    assert names(store) == ["alpha", "big"]
    assert [item.id for item in store.events(None, 0, 9)] == [1]
    store.close()


def test_a_server_that_starts_on_a_full_disk_loses_nothing(small_disk: Path):
    """It starts, or it says why it does not."""
    settings = Settings(plugins_dir=small_disk)
    store = open_store(settings)
    store.save(entry("alpha"))
    store.close()
    with filled(small_disk), contextlib.suppress(StateUnavailable):
        store = open_store(settings)
        assert names(store) == ["alpha"]
        store.close()
    store = open_store(settings)
    assert names(store) == ["alpha"]
    store.close()


def test_a_first_start_on_a_full_disk_is_told(small_disk: Path):
    settings = Settings(plugins_dir=small_disk)
    with filled(small_disk), pytest.raises(StateUnavailable):
        open_store(settings)
    store = open_store(settings)
    store.save(entry("alpha"))
    assert names(store) == ["alpha"]
    store.close()


def test_a_limit_on_the_size_of_files_is_told_too(sqlite_settings: Settings):
    """Quotas and limits look like a disk that fails."""
    store = open_store(sqlite_settings)
    store.save(entry("alpha"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StateUnavailable, match="has room"):
            store.save(BIG)
        assert names(store) == ["alpha"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.save(BIG)
    assert names(store) == ["alpha", "big"]
    store.close()
