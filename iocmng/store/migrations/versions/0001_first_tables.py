"""The first tables: plugins, their generations and credentials, events, notes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "iocmng_plugins",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("newest", sa.Integer, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_iocmng_plugins"),
    )
    op.create_table(
        "iocmng_generations",
        sa.Column("plugin", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("plugin", "number", name="pk_iocmng_generations"),
        sa.ForeignKeyConstraint(
            ["plugin"], ["iocmng_plugins.name"], name="fk_iocmng_generations_plugin", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "iocmng_credentials",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ciphertext", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_iocmng_credentials"),
    )
    op.create_table(
        "iocmng_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("plugin", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("previous", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("node", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_iocmng_events"),
    )
    op.create_index("ix_iocmng_events_plugin_id", "iocmng_events", ["plugin", "id"])
    op.create_table(
        "iocmng_notes",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_iocmng_notes"),
    )
