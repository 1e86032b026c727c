"""open_store: from the settings to a store that can be used."""

from __future__ import annotations

import base64
import os

import sqlalchemy as sa
from pydantic import SecretStr

from iocmng.errors import StateUnavailable
from iocmng.settings import Settings
from iocmng.store.credentials import Cipher, read_key
from iocmng.store.database import Database, upsert
from iocmng.store.lock import LOCK_TIMEOUT
from iocmng.store.models import credentials, notes, plugins
from iocmng.store.postgresql import open_postgresql
from iocmng.store.sqlite import open_sqlite
from iocmng.store.store import Kept, SqlStateStore

SALT = "credential_salt"
"""Note that holds the salt of the credentials' key."""


def open_store(settings: Settings, lock_timeout: float = LOCK_TIMEOUT) -> SqlStateStore:
    """Open the state, make it where there is none, and bring its tables up to this release.

    One server at a time uses a state: the store holds a lock until it is closed or its process ends.

    Args:
        settings: Say where the state is, how much of it is kept, and which key encrypts its credentials.
        lock_timeout: Seconds to wait for another server to let go of the state.

    Raises:
        StateUnavailable: If the state cannot be used: damaged, of a newer release, in use by another server, its disk
            full, its database or its key file not to be reached.
        InvalidRequest: If the setting state_url does not fit.
    """
    key = read_key(settings)
    state_url = _read_url(settings)
    if state_url is None:
        database = open_sqlite(settings.state, lock_timeout)
    else:
        database = open_postgresql(state_url, lock_timeout)
    try:
        cipher = Cipher(key, lambda: _salt(database))
        _forget_orphans(database)
    except BaseException:
        database.close()
        raise
    kept = Kept(settings.generations_kept, settings.events_kept, settings.runs_kept, settings.audit_kept)
    return SqlStateStore(database, cipher, kept)


def _read_url(settings: Settings) -> SecretStr | None:
    file = settings.state_url_file
    if settings.state_url is not None or file is None:
        return settings.state_url
    try:
        return SecretStr(file.read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StateUnavailable(
            f"the URL of the state in {file} cannot be read: {reason}. See that this user may read the file, or name "
            "another one in IOCMNG_STATE_URL_FILE"
        ) from None


def _salt(database: Database) -> bytes:
    """Return the salt that is kept with the state; make one where there is none."""
    with database.writing() as connection:
        text = connection.scalar(sa.select(notes.c.value).where(notes.c.key == SALT))
        if text is None:
            text = base64.b64encode(os.urandom(16)).decode()
            upsert(connection, notes, [{"key": SALT, "value": text}])
    return base64.b64decode(text)


def _forget_orphans(database: Database) -> None:
    """Remove the credentials of adds that ended between the credential and the plugin."""
    known = sa.select(plugins.c.name)
    with database.writing() as connection:
        connection.execute(sa.delete(credentials).where(credentials.c.name.not_in(known)))
