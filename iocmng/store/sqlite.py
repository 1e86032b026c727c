"""The state as an SQLite file: checked before use, copied while it is good, and never emptied or moved by us."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from iocmng.errors import StateUnavailable
from iocmng.store.database import ENGINE_OPTIONS, WRITES, Database, driver_error
from iocmng.store.lock import FileLock
from iocmng.store.models import VERSION_TABLE, plugins
from iocmng.store.schema import check_revision, migrate

_log = logging.getLogger(__name__)

FILE = "state.sqlite"
GOOD = "state.sqlite.good"
LOCK = "state.lock"

_BUSY_MILLISECONDS = 5000
_PRAGMAS = (
    f"PRAGMA busy_timeout={_BUSY_MILLISECONDS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # each commit is on the disk before it is answered
    "PRAGMA foreign_keys=ON",
)
# After these the connection may be of no more use; after a full disk it still reads, while a new one could not be made.
_STALE = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}


def open_sqlite(directory: Path, lock_timeout: float) -> Database:
    """Open the file in a state directory, make it where there is none, and bring it up to this release.

    Raises:
        StateUnavailable: If another server uses it, if it is damaged, or if it was written by a newer release.
    """
    file = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / LOCK, lock_timeout)
    except OSError as error:
        raise StateUnavailable(_explain(file, error)) from error
    try:
        return _open(file, lock)
    except BaseException:
        lock.release()
        raise


def _open(file: Path, lock: FileLock) -> Database:
    try:
        _prepare(file)
        opened = file.stat()
    except (OSError, sqlite3.Error) as error:
        raise StateUnavailable(_explain(file, error)) from error
    engine = _engine(file)

    def explain(error: Exception) -> str:
        if _code(driver_error(error)) in _STALE:
            engine.dispose()
        return _explain(file, error)

    def check_place() -> None:
        """Without this check, what is written after somebody has moved the file would be lost with its last name."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(opened, file.stat()):
                return
        raise StateUnavailable(f"{file} was moved or replaced while the server uses it; restart the server")

    database = Database(engine, explain, lock.release, check_place)
    try:
        with database.writing() as connection:
            migrate(connection)
    except BaseException:
        engine.dispose()
        raise
    return database


def _prepare(file: Path) -> None:
    """See to it that there is a file, that it is good, and that there is a copy of it."""
    if not file.exists():
        if _size(file.with_name(f"{FILE}-wal")):  # SQLite would delete what stands in it
            raise StateUnavailable(_damaged(file, f"{FILE}-wal is there and {FILE} is not"))
        _create(file)
        return
    if file.is_file() and not _size(file):  # SQLite would take it for an empty database
        raise StateUnavailable(_damaged(file, "it is empty"))
    with contextlib.suppress(PermissionError):  # it may belong to another user of the group
        file.chmod(0o600)
    if _check(file):
        _copy(file)


def _create(file: Path) -> None:
    """Make the file: complete or not there at all."""
    new = _fresh(file.with_name(f"{FILE}.new"))
    engine = _engine(new, pragmas=())
    try:
        with engine.begin() as connection:
            migrate(connection)
    except SQLAlchemyError as error:
        raise StateUnavailable(_explain(file, error)) from error
    finally:
        engine.dispose()
    _publish(new, file)


def _check(file: Path) -> bool:
    """Check a file without changing it; return whether it holds plugins.

    Raises:
        StateUnavailable: If it is damaged, or was not written by this release or an older one.
    """
    with contextlib.closing(sqlite3.connect(_uri(file, "ro"), uri=True)) as raw:
        raw.execute(_PRAGMAS[0])
        found = raw.execute("PRAGMA quick_check(3)").fetchall()
        if found != [("ok",)]:
            raise StateUnavailable(_damaged(file, "; ".join(" ".join(str(row[0]).split()) for row in found)[:300]))
        tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if VERSION_TABLE not in tables:
            raise StateUnavailable(_damaged(file, "its tables are not those of iocmng"))
        holds_plugins = plugins.name in tables and bool(raw.execute(f"SELECT 1 FROM {plugins.name} LIMIT 1").fetchone())
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(_uri(file, "ro"), uri=True))
    try:
        with engine.connect() as connection:
            check_revision(connection, str(file))
    except SQLAlchemyError as error:
        raise StateUnavailable(_explain(file, error)) from error
    finally:
        engine.dispose()
    return holds_plugins


def _copy(file: Path) -> None:
    """Copy a good file; that there is no room for it must not keep the server down."""
    new = file.with_name(f"{GOOD}.new")
    try:
        _fresh(new)
        with (
            contextlib.closing(sqlite3.connect(_uri(file, "ro"), uri=True)) as source,
            contextlib.closing(sqlite3.connect(new)) as target,
        ):
            source.backup(target)
        _publish(new, file.with_name(GOOD))
    except (OSError, sqlite3.Error) as error:
        _log.warning("%s was not copied to %s: %s", file, GOOD, error)
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _engine(file: Path, pragmas: tuple[str, ...] = _PRAGMAS) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level=None: the transactions begin as we say, those that change tables included.
        raw = sqlite3.connect(_uri(file, "rw"), uri=True, isolation_level=None, check_same_thread=False)
        try:
            for pragma in pragmas:
                raw.execute(pragma).close()
        except BaseException:
            raw.close()
            raise
        return raw

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool, **ENGINE_OPTIONS)

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _uri(file: Path, mode: str) -> str:
    return f"file:{quote(os.fsencode(file))}?mode={mode}"


def _fresh(file: Path) -> Path:
    """Make an empty file that only this user can read; SQLite gives its companions the same mode."""
    for leftover in (file, *_companions(file)):
        leftover.unlink(missing_ok=True)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return file


def _publish(new: Path, final: Path) -> None:
    """Give a complete file its name, durably."""
    with _descriptor(new) as descriptor:
        os.fsync(descriptor)
    new.rename(final)
    with _descriptor(final.parent) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _companions(file: Path) -> list[Path]:
    return [file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _code(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _damaged(file: Path, what: str) -> str:
    put_back = f", put a copy of {GOOD} in its place" if file.with_name(GOOD).exists() else ""
    begin = ", or start without one, with no plugins" if put_back else "; the server then starts with no plugins"
    return (
        f"{file} is damaged: {what}. Nothing was changed. The way out: stop the server, move {FILE} and, where they "
        f"are there, {FILE}-wal and {FILE}-shm together into another directory{put_back}{begin}"
    )


def _explain(file: Path, error: BaseException) -> str:
    """Return what happened, where, and what to do."""
    original = driver_error(error)
    text = str(original)
    match _code(original):
        case sqlite3.SQLITE_FULL:
            advice = f"free space in {file.parent}"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _damaged(file, text)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            advice = "end the other program that has the file open"
        case sqlite3.SQLITE_IOERR:
            advice = f"see that the disk of {file.parent} is well and has room"
        case _:
            advice = f"see that this user may write {file.parent} and what is in it"
    return f"the state in {file} cannot be used: {text}. Nothing was changed; {advice}, and try again"
