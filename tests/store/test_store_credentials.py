"""Credentials: never in clear, tied to their plugin, and lost alone when the key is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from store_support import PAT, OpenStore, entry, names

from iocmng.errors import StateUnavailable
from iocmng.settings import Settings
from iocmng.store import open_store
from iocmng.store.credentials import read_key

FERNET_KEY = SecretStr("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")


@pytest.mark.parametrize("key", [None, SecretStr("correct horse battery staple"), FERNET_KEY])
def test_a_credential_comes_back_with_every_form_of_key(open_: OpenStore, key: SecretStr | None):
    """No key, a passphrase, a Fernet key."""
    store = open_(state_key=key)
    store.save(entry("alpha"))
    store.set_credential("alpha", PAT)
    store.set_credential("beta", "first é \ud800")
    store.set_credential("beta", "second é \ud800")
    assert store.credential("beta") == "second é \ud800"
    store.close()
    again = open_(state_key=key)
    assert again.credential("alpha") == PAT
    again.set_credential("alpha", None)
    again.set_credential("alpha", None)
    assert again.credential("alpha") is None


def test_the_credential_stands_in_no_file_of_the_state(sqlite_settings: Settings):
    """Neither in the file, its log, its good copy, nor beside them."""
    for _ in range(2):
        store = open_store(sqlite_settings)
        store.save(entry("alpha"))
        store.set_credential("alpha", PAT)
        found = {path.name: path.read_bytes() for path in sqlite_settings.state.iterdir()}
        assert {"state.sqlite", "state.sqlite-wal"} <= set(found)
        assert not [name for name, content in found.items() if PAT.encode() in content]
        store.close()
    assert "state.sqlite.good" in found


def test_a_ciphertext_in_another_plugins_row_is_refused(open_: OpenStore, run_sql: Any):
    """Who can write the database cannot have a PAT sent to a repository of his own."""
    store = open_()
    for name in ("alpha", "beta"):
        store.save(entry(name))
        store.set_credential(name, f"pat of {name}")
    run_sql("UPDATE iocmng_credentials SET name = 'gamma' WHERE name = 'alpha'")
    run_sql("UPDATE iocmng_credentials SET name = 'alpha' WHERE name = 'beta'")
    with pytest.raises(StateUnavailable, match=r"alpha cannot be decrypted.*another plugin"):
        store.credential("alpha")


@pytest.mark.parametrize("text", ["", "not a token", "gAAAAAB\u00e9"])
def test_a_damaged_ciphertext_is_told(store: Any, run_sql: Any, text: str):
    store.save(entry("alpha"))
    store.set_credential("alpha", PAT)
    run_sql(f"UPDATE iocmng_credentials SET ciphertext = '{text}'")
    with pytest.raises(StateUnavailable, match="cannot be decrypted"):
        store.credential("alpha")


def test_another_key_loses_the_credentials_and_nothing_else(open_: OpenStore):
    """The message tells the way out, and the way out works."""
    store = open_(state_key=SecretStr("the old one"))
    store.save(entry("alpha"))
    store.set_credential("alpha", PAT)
    store.close()

    store = open_(state_key=SecretStr("a new one"))

    with pytest.raises(StateUnavailable) as caught:
        store.credential("alpha")
    assert "PATCH /plugins/alpha" in caught.value.message
    assert PAT not in caught.value.message
    assert names(store) == ["alpha"]
    store.set_credential("alpha", "a new pat")
    assert store.credential("alpha") == "a new pat"


def test_the_same_passphrase_makes_another_key_in_another_state(tmp_path: Path):
    """The salt is the state's own."""
    tokens: list[tuple[Settings, str]] = []
    for name in ("one", "two"):
        settings = Settings(plugins_dir=tmp_path / name, state_key=SecretStr("same"))
        store = open_store(settings)
        store.save(entry("alpha"))
        store.set_credential("alpha", PAT)
        store.close()
        with contextlib.closing(sqlite3.connect(settings.state / "state.sqlite")) as raw:
            tokens.append((settings, raw.execute("SELECT ciphertext FROM iocmng_credentials").fetchone()[0]))
    settings, _ = tokens[0]
    with contextlib.closing(sqlite3.connect(settings.state / "state.sqlite", isolation_level=None)) as raw:
        raw.execute("UPDATE iocmng_credentials SET ciphertext = ?", (tokens[1][1],))
    store = open_store(settings)
    with pytest.raises(StateUnavailable, match="cannot be decrypted"):
        store.credential("alpha")
    store.close()


def test_a_key_is_made_where_none_is_given(sqlite_settings: Settings):
    open_store(sqlite_settings).close()
    file = sqlite_settings.state / "state.key"
    assert file.stat().st_mode & 0o777 == 0o600
    Fernet(file.read_bytes().strip())
    before = file.read_bytes()
    open_store(sqlite_settings).close()
    assert file.read_bytes() == before
    assert [path.name for path in sqlite_settings.state.glob("state.key*")] == ["state.key"]


def test_no_key_is_made_where_one_is_given(sqlite_settings: Settings, tmp_path: Path):
    """The setting wins over the file, the file over the one in the state directory."""
    file = tmp_path / "key"
    file.write_text("  from a file\n")
    changes = {"state_key_file": file}
    settings = sqlite_settings.model_copy(update=changes)
    assert read_key(settings) == b"from a file"
    assert read_key(settings.model_copy(update={"state_key": SecretStr("given")})) == b"given"
    open_store(settings).close()
    assert not (settings.state / "state.key").exists()


def test_processes_that_race_for_a_key_agree(tmp_path: Path):
    """Two servers on one PostgreSQL database may start at once."""
    settings = Settings(plugins_dir=tmp_path)
    gate = threading.Barrier(8)

    def read() -> bytes:
        gate.wait()
        return read_key(settings)

    with ThreadPoolExecutor(8) as threads:
        keys = {future.result() for future in [threads.submit(read) for _ in range(8)]}
    assert len(keys) == 1
    assert os.listdir(settings.state) == ["state.key"]  # noqa: PTH208


@pytest.mark.parametrize("what", ["a directory", "missing", "empty"])
def test_a_key_file_that_cannot_be_used_is_refused_at_once(sqlite_settings: Settings, tmp_path: Path, what: str):
    """Before anything is opened, with the name of the file."""
    file = tmp_path / "key"
    if what == "a directory":
        file.mkdir()
    elif what == "empty":
        file.write_text("\n")
    with pytest.raises(StateUnavailable, match=f"{file}"):
        open_store(sqlite_settings.model_copy(update={"state_key_file": file}))
    assert not (sqlite_settings.state / "state.sqlite").exists()
