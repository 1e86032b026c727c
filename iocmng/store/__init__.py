"""The StateStore on SQLAlchemy: an SQLite file by default, PostgreSQL by URL."""

from iocmng.store.legacy import import_legacy_once, read_legacy
from iocmng.store.opening import open_store
from iocmng.store.store import SqlStateStore

__all__ = ["SqlStateStore", "import_legacy_once", "open_store", "read_legacy"]
