"""The secrets of the state are lent in memory, and read back as they were."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr

from iocmng.cluster.lent_secrets import lent_secrets, regained_secrets
from iocmng.errors import InvalidRequest, StateUnavailable
from iocmng.settings import Settings
from iocmng.store import open_store
from iocmng.store.credentials import read_key

pytestmark = pytest.mark.thorough


def test_what_is_handed_on_holds_no_secret(tmp_path: Path) -> None:
    """Settings on their way hold paths in place of values; the key is the same one, and gone with the server."""
    given = Settings(
        plugins_dir=tmp_path, state_key=SecretStr("s3cret-Ä"), state_url=SecretStr("postgresql://u:s3cret@h/d")
    )
    with lent_secrets(given) as lent:
        assert b"s3cret" not in pickle.dumps(lent)
        assert read_key(lent) == read_key(given)
        assert lent.state_url_file is not None
        assert lent.state_url_file.read_text() == "postgresql://u:s3cret@h/d"
        kept = lent.without_secrets()
        assert (kept.state_key_file, kept.state_url_file) == (None, None)
    with pytest.raises(StateUnavailable):
        read_key(lent)


def test_a_key_with_blanks_around_it_stays_what_it_is(tmp_path: Path) -> None:
    """A file is read without the blanks at its ends, so such a key is handed on by value."""
    given = Settings(plugins_dir=tmp_path, state_key=SecretStr(" blanks "))
    with lent_secrets(given) as lent:
        assert read_key(lent) == b" blanks "


def test_the_url_of_the_state_in_a_file(tmp_path: Path) -> None:
    """IOCMNG_STATE_URL_FILE is read as IOCMNG_STATE_URL is; without the file the state cannot be used."""
    file = tmp_path / "url"
    settings = Settings(plugins_dir=tmp_path / "plugins", state_url_file=file)
    with pytest.raises(StateUnavailable, match="IOCMNG_STATE_URL_FILE"):
        open_store(settings)
    file.write_text("mysql://u:s3cret@h/d\n")
    with pytest.raises(InvalidRequest, match="IOCMNG_STATE_URL must have the form") as refused:
        open_store(settings)
    assert "s3cret" not in str(refused.value)


def test_a_head_that_has_lost_its_memory_uses_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is there counts; where it is gone, the variable of the Controller's own process does."""
    monkeypatch.setenv("IOCMNG_STATE_KEY", "of the environment")
    file = tmp_path / "key"
    settings = Settings.model_construct(state_key_file=file)
    assert read_key(regained_secrets(settings)) == b"of the environment"
    file.write_text("of the file")
    assert read_key(regained_secrets(settings)) == b"of the file"


def test_the_token_of_the_settings_can_be_told_from_others_without_being_there(tmp_path: Path) -> None:
    """What the API's replicas get holds the hash of IOCMNG_TOKEN; callers are asked all the same."""
    given = Settings(plugins_dir=tmp_path, token=SecretStr("a s3cret token of length"))
    sent = pickle.loads(pickle.dumps(given.with_token(given.hashed_token)))
    assert b"s3cret" not in pickle.dumps(sent)
    assert (sent.hashed_token, sent.asks_who, sent.host) == (given.hashed_token, True, given.host)
    assert given.without_callers().hashed_token is None
