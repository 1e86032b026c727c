"""The tables. A change here needs a revision in migrations/versions; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

VERSION_TABLE = "iocmng_revision"

# Every table says whose it is, because a PostgreSQL database may hold other things beside them.
metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# Structured values are JSON in text columns, not JSON columns: PostgreSQL refuses some strings that JSON can write,
# and the text comes back as it was.
plugins = sa.Table(
    "iocmng_plugins",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("newest", sa.Integer, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
)

generations = sa.Table(
    "iocmng_generations",
    metadata,
    sa.Column("plugin", sa.Text, sa.ForeignKey("iocmng_plugins.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)

# No foreign key: a credential is written before its plugin.
credentials = sa.Table(
    "iocmng_credentials",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("ciphertext", sa.Text, nullable=False),
)

# No foreign key: events outlive their plugin.
events = sa.Table(
    "iocmng_events",
    metadata,
    # SQLite's rowid is an INTEGER and no BIGINT, though it holds as much.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("plugin", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("previous", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("node", sa.Text),
    sa.Index(None, "plugin", "id"),
)

# No foreign key: a run that ends while its job is removed must not fail. A run of an unknown job is not written.
runs = sa.Table(
    "iocmng_runs",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("queued_at", sa.Double, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("timeout", sa.Double),
    sa.Column("progress", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("log", sa.Text, nullable=False),
    sa.Index(None, "job", "id"),
)

# No foreign key: what was done to a plugin outlives it.
audit = sa.Table(
    "iocmng_audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("door", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("claimed", sa.Text, nullable=False),
    sa.Column("plugin", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("duration", sa.Double, nullable=False),
    sa.Index(None, "kind", "id"),
    sa.Index(None, "plugin", "id"),
)

notes = sa.Table(
    "iocmng_notes",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
