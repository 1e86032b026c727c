"""The tables and the revisions that make them."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from store_support import OpenStore, entry, names

from iocmng.errors import StateUnavailable
from iocmng.store import schema
from iocmng.store.models import VERSION_TABLE, metadata


def test_the_revisions_make_the_tables_of_the_models(open_: OpenStore):
    """Who changes models.py has to write a revision."""
    store = open_()
    with store._database.reading() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        [head] = ScriptDirectory(str(schema._MIGRATIONS)).get_heads()
        assert context.get_current_heads() == (head,)


def test_the_revisions_are_one_line():
    script = ScriptDirectory(str(schema._MIGRATIONS))
    revisions = [item.revision for item in script.walk_revisions()]
    assert revisions[-1] == "0001"
    assert len(script.get_heads()) == 1


def test_every_table_says_whose_it_is():
    """A PostgreSQL database may hold other things."""
    assert all(name.startswith("iocmng_") for name in [*metadata.tables, VERSION_TABLE])


def test_a_state_of_a_newer_release_is_refused_and_left_alone(open_: OpenStore, run_sql: Any):
    store = open_()
    store.save(entry("alpha"))
    store.close()
    [known] = ScriptDirectory(str(schema._MIGRATIONS)).get_heads()
    run_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for _ in range(2):
        with pytest.raises(StateUnavailable, match=r"newer release of iocmng.*9999.*Use that release") as caught:
            open_(lock_timeout=0)
        assert "damaged" not in caught.value.message
    run_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{known}'")
    assert names(open_()) == ["alpha"]
