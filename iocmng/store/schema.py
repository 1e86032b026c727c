"""Brings the tables up to this release by the revisions in migrations/."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from iocmng.errors import StateUnavailable
from iocmng.store.models import VERSION_TABLE

_MIGRATIONS = Path(__file__).parent / "migrations"


def check_revision(connection: sa.Connection, place: str) -> None:
    """Check that this release knows the tables' revision.

    Raises:
        StateUnavailable: If a newer release has written them.
    """
    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    if unknown := set(context.get_current_heads()) - known:
        raise StateUnavailable(
            f"{place} was written by a newer release of iocmng (its revision is {', '.join(sorted(unknown))}). Nothing "
            "was changed. Use that release or a newer one, or give this one a state of its own (IOCMNG_STATE_DIR or "
            "IOCMNG_STATE_URL)"
        )


def migrate(connection: sa.Connection) -> None:
    """Bring the tables to this release's revision, within the connection's transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
