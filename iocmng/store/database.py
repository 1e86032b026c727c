"""One open database: its transactions, and its errors as StateUnavailable."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from iocmng.errors import StateUnavailable

WRITES = "iocmng_writes"
"""Execution option of a connection that is going to write."""

ENGINE_OPTIONS: dict[str, Any] = {
    # One connection serves one caller at a time, and in PostgreSQL it is the one that holds the lock.
    "pool_size": 1,
    "max_overflow": 0,
    "pool_timeout": 30,
    # What an error shows must not hold what stood in a row.
    "hide_parameters": True,
}


@dataclass(slots=True)
class Database:
    """An engine with what is special about its kind of database.

    Attributes:
        explain: Makes the sentence for an error.
        release: Lets others use the state.
        before_write: Raises StateUnavailable where a write would be lost.
    """

    engine: sa.Engine
    explain: Callable[[Exception], str]
    release: Callable[[], None]
    before_write: Callable[[], None] = lambda: None
    closed: bool = field(default=False, init=False)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a connection for one transaction that only reads."""
        with self._transaction(self.engine) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a connection for one transaction; it is durable once the block has ended, and undone if it raises."""
        with self._transaction(self.engine.execution_options(**{WRITES: True})) as connection:
            self.before_write()
            yield connection

    @contextlib.contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        if self.closed:
            raise StateUnavailable("the state is closed, because the server is stopping; nothing was changed")
        try:
            with engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as error:
            raise StateUnavailable(self.explain(error)) from error

    def close(self) -> None:
        """Close the connection and let others use the state."""
        if not self.closed:
            self.closed = True
            self.engine.dispose()
            self.release()


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own error, without the statement that SQLAlchemy adds."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def upsert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Write rows, over those of the same primary key where there are any.

    A caller that lost its connection cannot know whether its call was kept: it may simply make it again.
    """
    connection.execute(_upsert(connection.dialect.name, table, tuple(rows[0])), rows)


@functools.cache
def _upsert(dialect: str, table: sa.Table, names: tuple[str, ...]) -> sa.Insert:
    """Return the statement; to build it takes longer than to execute it."""
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    others = {name: insert.excluded[name] for name in names if name not in keys}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)
