"""The state in a PostgreSQL database.

The one connection holds a session lock, so what is written over it is written under the lock: a connection that was
lost has lost the lock too, and the next one must take it before it is used.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError

from iocmng.errors import InvalidRequest, StateUnavailable
from iocmng.store.database import ENGINE_OPTIONS, Database, driver_error, upsert
from iocmng.store.lock import release_in_children, wait_until
from iocmng.store.models import notes
from iocmng.store.schema import check_revision, migrate

LOCK_KEY = int.from_bytes(b"iocmng", "big")
"""Of the advisory lock that the server using a database holds."""

HOLDER = "holder"
"""Note that names the server that opened the state last."""

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
# A network that swallows packets must not hold a call for long. Those of the URL win.
_CONNECT_OPTIONS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
}


def open_postgresql(state_url: SecretStr, lock_timeout: float) -> Database:
    """Open the database that the URL names and bring it up to this release.

    Raises:
        InvalidRequest: If the URL does not fit, or the driver is not installed.
        StateUnavailable: If the database cannot be used, or another server uses it.
    """
    url = _checked_url(state_url)
    sessions = _Sessions(_place(url), lock_timeout)
    try:
        engine = sa.create_engine(url, pool_pre_ping=True, **ENGINE_OPTIONS)
    except ImportError as error:
        raise InvalidRequest(
            "IOCMNG_STATE_URL asks for PostgreSQL, and its driver is not installed: pip install iocmng[postgresql]"
        ) from error
    event.listen(engine, "do_connect", sessions.connect)
    database = Database(engine, lambda error: _explain(url, error), release=lambda: None)
    try:
        with database.writing() as connection:
            check_revision(connection, _place(url))
            migrate(connection)
            token = secrets.token_hex(16)
            upsert(connection, notes, [{"key": HOLDER, "value": token}])
        sessions.token = token
    except BaseException:
        engine.dispose()
        raise
    return database


@dataclass(slots=True, weakref_slot=True)
class _Sessions:
    """Makes connections that hold the lock.

    Attributes:
        token: What this server has written as HOLDER; none before it has.
        connection: The driver's newest connection.
    """

    place: str
    lock_timeout: float
    token: str | None = None
    connection: Any = None

    def __post_init__(self) -> None:
        release_in_children(self)

    def release(self) -> None:
        """Let go of a connection that was inherited, without a word to the server, for whom it is the parent's.

        The descriptor is not closed but turned away: the driver will close it once more, and may say good-bye on it.
        """
        if self.connection is not None and not self.connection.closed:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.dup2(descriptor, self.connection.fileno(), inheritable=False)
            os.close(descriptor)

    def connect(self, dialect: Any, record: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Return a connection that holds the lock; SQLAlchemy calls this for each new one."""
        connection = dialect.connect(*arguments, **options)
        try:
            with connection.cursor() as cursor:
                self._lock(cursor)
                self._check_holder(cursor)
                # Where the site has switched it off, an answered call could be lost.
                cursor.execute(
                    "SELECT set_config('synchronous_commit', 'on', false) "
                    "WHERE current_setting('synchronous_commit') = 'off'"
                )
            connection.commit()
        except BaseException:
            connection.close()
            raise
        self.connection = connection
        return connection

    def _lock(self, cursor: Any) -> None:
        def is_ours() -> bool:
            return cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()[0]

        if not wait_until(is_ours, self.lock_timeout):
            holder = cursor.execute(
                "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' "
                "AND (classid::bigint << 32) + objid::bigint = %s AND granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                (LOCK_KEY,),
            ).fetchone()
            by = f" ({holder[0]})" if holder and holder[0] else ""
            raise StateUnavailable(
                f"another iocmng server{by} uses the state in {self.place}. Stop it, or give this one a database of "
                "its own (IOCMNG_STATE_URL)"
            )

    def _check_holder(self, cursor: Any) -> None:
        """Refuse to go on with a state that another server had meanwhile: what this one remembers is void."""
        if self.token is None:
            return
        found = cursor.execute(f"SELECT value FROM {notes.name} WHERE key = %s", (HOLDER,)).fetchone()
        if found is None or found[0] != self.token:
            raise StateUnavailable(
                f"another iocmng server has used the state in {self.place} since this one lost its connection, or the "
                "database was restored from a backup; restart this server"
            )


def _checked_url(state_url: SecretStr) -> sa.URL:
    """Return the URL for psycopg; the text of an error never repeats it, it holds the password."""
    try:
        url = sa.make_url(state_url.get_secret_value())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in _SCHEMES or not url.database:
        raise InvalidRequest(
            "IOCMNG_STATE_URL must have the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE; leave it unset to keep "
            "the state in an SQLite file"
        )
    defaults = {**_CONNECT_OPTIONS, "application_name": f"iocmng {socket.gethostname()} process {os.getpid()}"}
    given = {name: value for name, value in defaults.items() if name not in url.query}
    return url.set(drivername="postgresql+psycopg").update_query_dict(given)


def _place(url: sa.URL) -> str:
    host = url.host or url.query.get("host") or "this machine"
    return f"PostgreSQL on {host}{f':{url.port}' if url.port else ''}, database {url.database}"


def _explain(url: sa.URL, error: Exception) -> str:
    """Return what happened, where, and what to do; never the password."""
    original = driver_error(error)
    text = " ".join(str(original).split())
    for secret in (url.password, url.query.get("password")):
        if secret:
            text = text.replace(str(secret), "***")
    match getattr(original, "sqlstate", None):
        case "53100":
            advice = "free space on the database's disk"
        case "25006":
            advice = "see that IOCMNG_STATE_URL names the primary server, not a standby"
        case "42501":
            advice = "see that its user may make tables there"
        case "28P01" | "28000" | "3D000":
            advice = "see that the user, the password and the database in IOCMNG_STATE_URL are right"
        case _:
            advice = "see that the database is up and can be reached"
    return f"the state in {_place(url)} cannot be used: {text.rstrip('.')}. To go on, {advice}, and try again"
