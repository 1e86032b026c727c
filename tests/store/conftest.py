"""Fixtures of the store tests: real SQLite files and, where its programs are installed, a real PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from store_support import OpenStore, Postgres, postgres_binaries

from iocmng.settings import Settings
from iocmng.store import SqlStateStore, open_store


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: neither initdb on PATH nor /usr/lib/postgresql/*/bin")
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no setpriv")
    server = Postgres(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """The PostgreSQL server, running."""
    if postgres_server.process is None:
        postgres_server.start()
    return postgres_server


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> Settings:
    return Settings(plugins_dir=tmp_path / "plugins")


@pytest.fixture
def postgres_settings(tmp_path: Path, postgres: Postgres) -> Settings:
    return Settings(plugins_dir=tmp_path / "plugins", state_url=postgres.new_database())  # pyright: ignore


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Settings of an empty state, on each kind of database."""
    return request.getfixturevalue({"sqlite": "sqlite_settings", "postgresql": "postgres_settings"}[request.param])


@pytest.fixture
def open_(settings: Settings) -> Iterator[OpenStore]:
    """Open the state, with changed settings where any are given; closed at the end."""
    opened: list[SqlStateStore] = []

    def open_again(lock_timeout: float = 5.0, **changes: Any) -> SqlStateStore:
        opened.append(open_store(settings.model_copy(update=changes), lock_timeout))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_: OpenStore) -> SqlStateStore:
    return open_()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here: it takes root and the right to mount")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture
def run_sql(settings: Settings) -> Callable[[str], None]:
    """Run a statement on the database, past the store."""

    def run(statement: str) -> None:
        if settings.state_url is None:
            with contextlib.closing(sqlite3.connect(settings.state / "state.sqlite", isolation_level=None)) as raw:
                raw.execute(statement)
        else:
            with psycopg.connect(settings.state_url.get_secret_value(), autocommit=True) as raw:
                raw.execute(statement.encode())

    return run


@pytest.fixture
def count_statements() -> Callable[[str], contextlib.AbstractContextManager[Callable[[], int]]]:
    """Count the statements of all engines that hold certain words."""

    @contextlib.contextmanager
    def counting(words: str) -> Iterator[Callable[[], int]]:
        seen: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        yield lambda: sum(words in statement for statement in seen)
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        assert seen, "nothing was executed at all"

    return counting
