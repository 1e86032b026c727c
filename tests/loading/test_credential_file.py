"""pat_file: a credential that is only referenced."""

from pathlib import Path

import pytest

from iocmng.errors import PluginRejected
from iocmng.loading.credential_file import read_credential_file
from iocmng.settings import Settings


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A secrets directory as Kubernetes mounts one: files are links into a directory that is a link itself."""
    directory = tmp_path / "secrets"
    (directory / "..2026").mkdir(parents=True)
    (directory / "..2026" / "git").write_text("tok3n\n")
    (directory / "..data").symlink_to("..2026")
    (directory / "git").symlink_to("..data/git")
    (tmp_path / "outside").write_text("0utside")
    (directory / "leads-out").symlink_to(tmp_path / "outside")
    (directory / "empty").write_text("\n")
    (directory / "huge").write_text("x" * 5000)
    return directory


def test_the_token_is_read_without_its_line_end(secrets: Path, tmp_path: Path) -> None:
    """Links within the directory are followed."""
    assert read_credential_file("git", "pat_file", Settings(plugins_dir=tmp_path, secrets_dir=secrets)) == "tok3n"


@pytest.mark.parametrize("name", ["../outside", "leads-out", "/etc/passwd", "none", "empty", "huge", "a\0b", ".."])
def test_what_is_no_token_of_the_directory_is_refused(secrets: Path, tmp_path: Path, name: str) -> None:
    """The sentence names the file and never what it holds."""
    with pytest.raises(PluginRejected) as caught:
        read_credential_file(name, "pat_file", Settings(plugins_dir=tmp_path, secrets_dir=secrets))
    assert "pat_file" in str(caught.value)
    assert "0utside" not in str(caught.value)


def test_without_a_secrets_directory_it_says_how_to_have_one(tmp_path: Path) -> None:
    """The setting is named."""
    with pytest.raises(PluginRejected, match="IOCMNG_SECRETS_DIR"):
        read_credential_file("git", "pat_file", Settings(plugins_dir=tmp_path))
