"""Secrets for a Controller that outlives its server lie in memory, for this user alone."""

import stat
from pathlib import Path

import pytest

from iocmng.errors import ServerUnavailable
from iocmng.loading.kept_secrets import forget_secrets, keep_secret, kept_secrets_directory
from iocmng.settings import Settings


@pytest.fixture
def settings(tmp_path):
    settings = Settings(plugins_dir=tmp_path)
    yield settings
    forget_secrets(settings)


def test_only_this_user_can_read_it_and_a_new_one_takes_its_place(settings, tmp_path):
    """File and directory are closed to others, lie outside of the state, and are gone when they are forgotten."""
    first = keep_secret(settings, "state_key", "one")
    second = keep_secret(settings, "state_key", "two \udcff")
    assert first == second
    assert second.read_bytes() == b"two \xff"
    assert tmp_path not in second.parents
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (second, second.parent)]
    assert modes == [0o600, 0o700]
    assert [file.name for file in second.parent.iterdir()] == ["state_key"]
    forget_secrets(settings)
    assert not second.parent.exists()


def test_where_it_cannot_be_kept_nothing_of_it_is_left(settings):
    """Neither the secret nor a part of it."""
    place = kept_secrets_directory(settings) / "state_key"
    place.mkdir(parents=True)
    place.parent.chmod(0o700)
    with pytest.raises(ServerUnavailable, match=r"cannot be kept .*IOCMNG_STATE_KEY_FILE"):
        keep_secret(settings, "state_key", "one")
    assert [file.name for file in place.parent.iterdir()] == ["state_key"]


@pytest.mark.parametrize("what", ["open", "link"])
def test_a_directory_that_others_may_enter_is_refused(settings, tmp_path, what):
    """Whoever has made a directory of that name before does not get the secret."""
    place: Path = kept_secrets_directory(settings)
    if what == "open":
        place.mkdir(mode=0o755)
        place.chmod(0o755)
    else:
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServerUnavailable, match=r"other users can get into it.*IOCMNG_STATE_KEY_FILE"):
        keep_secret(settings, "state_key", "one")
    if what == "link":
        place.unlink()
        assert not any((tmp_path / "elsewhere").iterdir())
