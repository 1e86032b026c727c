"""Alembic's entry: it is run by schema.py with an open connection, inside that connection's transaction."""

from alembic import context

from iocmng.store.models import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by making it anew
    transactional_ddl=True,  # on SQLite too, because sqlite.py begins its transactions itself
)
context.run_migrations()
