"""What is special about PostgreSQL: its URL, its driver, a connection that is lost."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from pydantic import SecretStr
from store_support import PASSWORD, OpenStore, Postgres, StoreProcess, entry, event, names
from support import wait_for

from iocmng.errors import InvalidRequest, IocmngError, StateUnavailable
from iocmng.settings import Settings
from iocmng.store import open_store


@pytest.fixture
def settings(postgres_settings: Settings) -> Settings:
    return postgres_settings


def _url(settings: Settings) -> str:
    assert settings.state_url
    return settings.state_url.get_secret_value()


def _cut_connections(postgres: Postgres, settings: Settings) -> None:
    with postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (_url(settings).rpartition("/")[2],),
        )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_is_taken(open_: OpenStore, settings: Settings, scheme: str):
    store = open_(state_url=SecretStr(_url(settings).replace("postgresql", scheme)))
    store.save(entry())
    assert names(store) == ["alpha"]
    assert not (settings.state / "state.sqlite").exists()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:dont-show-this@h/d",
        "sqlite:////tmp/dont-show-this",
        "dont-show-this",
        "postgresql://u:dont-show-this@h",
        "postgresql://u:p@h:dont-show-this/d",
    ],
)
def test_a_url_that_does_not_fit_is_refused_without_repeating_it(sqlite_settings: Settings, url: str):
    with pytest.raises(InvalidRequest, match="IOCMNG_STATE_URL must have the form") as caught:
        open_store(sqlite_settings.model_copy(update={"state_url": SecretStr(url)}))
    _has_no_password(caught.value)


def test_a_missing_driver_is_told(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    settings = sqlite_settings.model_copy(update={"state_url": SecretStr("postgresql://h/d")})
    with pytest.raises(InvalidRequest, match=r"pip install iocmng\[postgresql\]"):
        open_store(settings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(PASSWORD, "dont-show-this-either"), "password"),
        (lambda url: url.rpartition("/")[0] + "/nowhere", "nowhere"),
        (lambda url: url.rpartition(":")[0] + ":1/state", "is up and can be reached"),
        (lambda url: url + "?sslmode=require", "SSL"),
        (lambda url: url.replace("tester:" + PASSWORD, "tester") + "?password=dont-show-this-x", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_the_password(settings: Settings, change: Any, words: str):
    broken = settings.model_copy(update={"state_url": SecretStr(change(_url(settings)))})
    with pytest.raises(StateUnavailable, match=words) as caught:
        open_store(broken)
    _has_no_password(caught.value)


def test_a_connection_that_was_cut_is_made_again(postgres: Postgres, settings: Settings, open_: OpenStore):
    """The next call works, under the lock."""
    store = open_()
    store.save(entry("alpha"))
    for number in range(3):
        _cut_connections(postgres, settings)
        store.save(entry(f"plugin{number}"))
    assert len(names(store)) == 4
    with pytest.raises(StateUnavailable, match="another iocmng server"):
        open_(lock_timeout=0)


def test_a_database_that_is_down_is_told_and_found_again(postgres: Postgres, open_: OpenStore):
    """A call while it is down fails; the first one after works, and nothing is lost or doubled."""
    store = open_()
    store.save(entry("alpha"))
    store.add_events([event(1)])
    postgres.stop()
    for call in (store.load, lambda: store.save(entry("beta")), lambda: store.add_events([event(2)])):
        with pytest.raises(StateUnavailable, match=r"PostgreSQL on 127\.0\.0\.1.*try again") as caught:
            call()
        _has_no_password(caught.value)
    postgres.start()
    assert names(store) == ["alpha"]
    store.save(entry("beta"))
    store.add_events([event(2)])
    assert names(store) == ["alpha", "beta"]
    assert [item.id for item in store.events(None, 0, 9)] == [1, 2]


def test_a_connection_that_is_cut_within_a_call_undoes_the_call(
    postgres: Postgres, settings: Settings, open_: OpenStore
):
    store = open_()

    def cut_within_a_call() -> None:
        with store._database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO iocmng_notes VALUES ('half', 'done')")
            _cut_connections(postgres, settings)
            connection.exec_driver_sql("INSERT INTO iocmng_notes VALUES ('other half', 'done')")

    with pytest.raises(StateUnavailable):
        cut_within_a_call()
    assert store.note("half") is None
    store.set_note("half", "whole")
    assert store.note("half") == "whole"


def test_a_server_that_was_replaced_while_it_was_cut_off_does_not_go_on(
    postgres: Postgres, settings: Settings, open_: OpenStore
):
    """What it remembers is void: it must not write over what the other one wrote."""
    store = open_(lock_timeout=0.2)
    store.save(entry("alpha"))
    # The other one waits for the lock, so that it gets it when the connection is cut.
    process = StoreProcess(
        settings, "store.delete('alpha'); say('open'); sys.stdin.readline(); store.close(); say('end')"
    )
    database = _url(settings).rpartition("/")[2]
    with postgres.connect() as connection:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        wait_for(lambda: connection.execute(sessions, (database,)).fetchone()[0] == 2, "the other one is connected")
    with postgres.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = %s)",
            (database,),
        )
    assert process.line() == "open"
    with pytest.raises(StateUnavailable, match="another iocmng server"):
        store.save(entry("alpha", 2))
    assert process.process.stdin
    process.process.stdin.write("\n")
    process.process.stdin.flush()
    assert process.line() == "end"
    for _ in range(2):
        with pytest.raises(StateUnavailable, match="restart this server"):
            store.save(entry("alpha", 2))
    process.kill()
    store.close()
    assert names(open_()) == []


def test_a_server_that_keeps_commits_in_memory_is_told_not_to(postgres: Postgres, settings: Settings, open_: OpenStore):
    """synchronous_commit=off would lose what was answered."""
    database = _url(settings).rpartition("/")[2]
    with postgres.connect() as connection:
        connection.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    store = open_()
    with store._database.reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_user_who_may_not_make_tables_is_told(postgres: Postgres, settings: Settings):
    database = _url(settings).rpartition("/")[2]
    with postgres.connect() as connection:
        connection.execute(f"CREATE USER reader_{database} PASSWORD '{PASSWORD}'")
    url = _url(settings).replace("tester:", f"reader_{database}:")
    with pytest.raises(StateUnavailable, match="may make tables") as caught:
        open_store(settings.model_copy(update={"state_url": SecretStr(url)}))
    _has_no_password(caught.value)


def _has_no_password(error: IocmngError) -> None:
    """Look at the message and at all errors behind it, as a traceback shows them."""
    shown: BaseException | None = error
    while shown is not None:
        assert PASSWORD not in f"{shown} {shown!r}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
