"""The SQLite file: how it lies there, and what happens when it is damaged, moved or newer."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from store_support import entry, event, names

from iocmng.errors import StateUnavailable
from iocmng.settings import Settings
from iocmng.store import open_store


@pytest.fixture
def settings(sqlite_settings: Settings) -> Settings:
    return sqlite_settings


@pytest.fixture
def file(settings: Settings) -> Path:
    """A state file with 20 plugins and 2000 events, of which there is a good copy."""
    store = open_store(settings)
    for number in range(20):
        store.save(entry(f"plugin{number:02}"))
    store.add_events([event(number) for number in range(1, 2001)])
    store.close()
    open_store(settings).close()
    return settings.state / "state.sqlite"


def test_the_files_are_for_this_user_only(settings: Settings):
    """Whatever the umask says."""
    before = os.umask(0)
    try:
        store = open_store(settings)
        store.save(entry())
        store.close()
        store = open_store(settings)
        store.save(entry())
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in settings.state.iterdir()}
    assert modes.keys() >= {"state.sqlite", "state.sqlite-wal", "state.sqlite.good", "state.lock", "state.key"}
    assert set(modes.values()) == {0o600}, modes
    store.close()


def test_a_mode_that_was_widened_is_put_right(file: Path, settings: Settings):
    file.chmod(0o644)
    open_store(settings).close()
    assert file.stat().st_mode & 0o777 == 0o600


def test_every_commit_is_on_the_disk_before_it_is_answered(settings: Settings):
    store = open_store(settings)
    with store._database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}
    store.close()


def test_a_directory_name_may_hold_anything(tmp_path: Path):
    settings = Settings(plugins_dir=tmp_path / "a b%20?#&é%(here)s")
    store = open_store(settings)
    store.save(entry())
    store.close()
    store = open_store(settings)
    assert names(store) == ["alpha"]
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a b%20?#&é%(here)s"]


def _overwrite(file: Path, start: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(data)


def _other_tables(file: Path) -> None:
    file.unlink()
    with contextlib.closing(sqlite3.connect(file)) as raw:
        raw.execute("CREATE TABLE recipes (name TEXT)")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "text": lambda file: file.write_text("this is no database\n" * 1000),
    "half": lambda file: os.truncate(file, file.stat().st_size // 2 // 4096 * 4096),
    "half a page": lambda file: os.truncate(file, file.stat().st_size - 2000),
    "a few bytes": lambda file: os.truncate(file, 60),
    "empty": lambda file: os.truncate(file, 0),
    "header": lambda file: _overwrite(file, 0, b"\xff" * 100),
    "first page": lambda file: _overwrite(file, 100, b"\xff" * 3000),
    "a page in the middle": lambda file: _overwrite(file, 4096 * 12, b"\xff" * 4096),
    "all but the header": lambda file: _overwrite(file, 4096, b"\0" * (file.stat().st_size - 4096)),
    "other tables": _other_tables,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_left_alone(
    file: Path, settings: Settings, damage: Callable[[Path], object], tmp_path: Path
):
    """It is never emptied or moved; the way out that the message tells works."""
    damage(file)
    before = file.read_bytes()
    listed = {path.name for path in settings.state.iterdir()}

    with pytest.raises(StateUnavailable) as caught:
        open_store(settings)

    for words in (f"{file} is damaged", "move state.sqlite", "put a copy of state.sqlite.good in its place"):
        assert words in caught.value.message
    assert file.read_bytes() == before
    assert {path.name for path in settings.state.iterdir()} - listed <= {"state.sqlite-wal", "state.sqlite-shm"}

    _move_away(file, tmp_path)
    shutil.copy(file.with_name("state.sqlite.good"), file)
    store = open_store(settings)
    assert len(names(store)) == 20
    store.save(entry("another"))
    store.close()


def test_to_begin_with_none_keeps_the_good_copy(file: Path, settings: Settings, tmp_path: Path):
    """Who starts without plugins may still change his mind."""
    _overwrite(file, 0, b"\xff" * 100)
    _move_away(file, tmp_path)
    for _ in range(2):
        store = open_store(settings)
        assert names(store) == []
        store.close()
    _move_away(file, tmp_path)
    shutil.copy(file.with_name("state.sqlite.good"), file)
    store = open_store(settings)
    assert len(names(store)) == 20
    store.close()


def test_without_a_good_copy_the_message_promises_none(settings: Settings):
    settings.state.mkdir(parents=True)
    (settings.state / "state.sqlite").write_text("no database")
    with pytest.raises(StateUnavailable) as caught:
        open_store(settings)
    assert "state.sqlite.good" not in caught.value.message
    assert "with no plugins" in caught.value.message


def test_a_write_ahead_log_without_its_file_is_refused(file: Path, settings: Settings):
    """SQLite would delete it, with the newest changes in it."""
    log = file.with_name("state.sqlite-wal")
    file.rename(file.with_name("lost"))
    log.write_bytes(b"x" * 5000)
    with pytest.raises(StateUnavailable, match=r"state\.sqlite-wal is there and state\.sqlite is not"):
        open_store(settings)
    assert log.read_bytes() == b"x" * 5000


def test_a_state_that_is_a_directory_is_refused(settings: Settings):
    (settings.state / "state.sqlite").mkdir(parents=True)
    with pytest.raises(StateUnavailable, match=r"state\.sqlite"):
        open_store(settings)


def test_a_state_directory_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "plugins").write_text("a file")
    with pytest.raises(StateUnavailable, match="plugins"):
        open_store(Settings(plugins_dir=tmp_path / "plugins"))


def test_a_file_that_is_damaged_while_it_is_used_is_told(file: Path, settings: Settings):
    store = open_store(settings)
    _overwrite(file, 100, b"\xff" * (file.stat().st_size - 100))
    with pytest.raises(StateUnavailable, match=r"is damaged.*put a copy of state.sqlite.good in its place"):
        store.load()
    store.close()


def test_a_file_that_is_moved_away_while_it_is_used_takes_no_more_writes(file: Path, settings: Settings):
    """What is written into a file without a name is lost with the process."""
    store = open_store(settings)
    moved = file.rename(file.with_name("moved"))
    with pytest.raises(StateUnavailable, match="moved or replaced"):
        store.save(entry("new"))
    moved.rename(file)
    store.save(entry("new"))
    store.close()


def test_another_program_that_holds_the_file_is_told(file: Path, settings: Settings):
    store = open_store(settings)
    with store._database.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable, match=r"locked.*end the other program"):
            store.save(entry("new"))
        assert len(names(store)) == 20, "reading goes on"
    store.save(entry("new"))
    store.close()


def test_a_good_copy_that_cannot_be_written_keeps_nothing_down(
    file: Path, settings: Settings, caplog: pytest.LogCaptureFixture
):
    copy = file.with_name("state.sqlite.good")
    copy.unlink()
    copy.mkdir()
    (copy / "in the way").touch()
    store = open_store(settings)
    assert len(names(store)) == 20
    assert "was not copied" in caplog.text
    assert not list(settings.state.glob("*.new*"))
    store.close()


def test_the_good_copy_is_complete_while_changes_still_stand_in_the_log(settings: Settings):
    """The copy is of the state, not of the file: what a killed server left in the log is in it."""
    from store_support import StoreProcess

    process = StoreProcess(settings, "store.save(entry('in the log')); say('saved'); time.sleep(600)")
    process.line()
    process.kill()
    assert (settings.state / "state.sqlite-wal").stat().st_size > 0
    open_store(settings).close()
    good = settings.state / "state.sqlite.good"
    with contextlib.closing(sqlite3.connect(good)) as raw:
        assert raw.execute("SELECT name FROM iocmng_plugins").fetchall() == [("in the log",)]


def _move_away(file: Path, tmp_path: Path) -> None:
    target = tmp_path / f"away{len(list(tmp_path.iterdir()))}"
    target.mkdir()
    for path in (file, file.with_name("state.sqlite-wal"), file.with_name("state.sqlite-shm")):
        if path.exists():
            path.rename(target / path.name)
