"""Credentials and signatures that an add, a PATCH and a rollback ask for."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from iocmng.cluster.replacements import _source_of_then
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.core.source import GitSource, LocalSource
from iocmng.errors import InvalidRequest
from iocmng.settings import load_settings

HTTPS, SSH = "https://example.org/a.git", "ssh://git@example.org/a.git"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n"


def spec(url=SSH, **fields):
    return PluginRequest.model_validate({"name": "pump", "git_url": url, **fields}).spec(None)


def changed(of, **patch):
    return PluginChange.model_validate(patch).of(of).source


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ssh_key": KEY}, "ssh_key is for ssh: git_url must be ssh://USER@HOST/PATH"),
        ({"ssh_key_file": "deploy"}, "ssh_key_file is for ssh"),
        ({"pat": "hunter2", "ssh_key": KEY}, "give pat or ssh_key, not both"),
        ({"pat": "hunter2", "pat_file": "a", "ssh_key_file": "b"}, "pat or pat_file or ssh_key_file, not all of them"),
        ({"ssh_key": "hunter2" * 3000}, "at most 16384"),
    ],
)
def test_credentials_that_do_not_fit_are_refused_and_not_shown(fields, words):
    """The sentence names the keys of the body, and nothing of their contents."""
    with pytest.raises(ValidationError) as caught:
        spec(HTTPS, **fields)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", [SSH, "git@example.org:a.git"])
def test_an_ssh_key_is_taken_for_ssh(url):
    """By value or by file; the source says that there is one, and holds none."""
    by_value, by_file = spec(url, ssh_key=KEY).source, spec(url, ssh_key_file="deploy").source
    assert (by_value.has_credential, by_value.uses_key, by_value.credential_file) == (True, True, None)
    assert (by_file.has_credential, by_file.uses_key, by_file.credential_file) == (True, True, "deploy")
    assert "hunter2" not in repr(by_value)


def test_a_patch_replaces_and_forgets_the_credential():
    """A new key takes the place of a token or a file; null takes it away."""
    by_file = spec(ssh_key_file="deploy")
    assert changed(by_file, ssh_key=KEY) == replace(by_file.source, credential_file=None)
    assert changed(by_file, pat="hunter2") == replace(by_file.source, credential_file=None, uses_key=False)
    gone = replace(by_file.source, has_credential=False, credential_file=None, uses_key=False)
    assert changed(by_file, ssh_key=None) == gone
    assert changed(by_file, autostart_order=1) == by_file.source


def test_a_patch_whose_key_does_not_fit_is_refused():
    """A key fits neither https nor a directory, and not beside a token."""
    with pytest.raises(InvalidRequest, match="does not come from an ssh repository"):
        changed(spec(HTTPS), ssh_key=KEY)
    local = PluginRequest(name="pump", local_path="/srv/pump").spec(None)
    with pytest.raises(InvalidRequest, match="branch, commit, pat, ssh_key and require_signed do not fit it"):
        changed(local, ssh_key=KEY)
    with pytest.raises(ValidationError, match="give pat or ssh_key, not both"):
        changed(spec(), ssh_key=KEY, pat="hunter2")


def test_a_rollback_takes_the_present_credential_to_its_own_repository_only():
    """Where the earlier generation came from elsewhere, or the present one names a file, it goes without."""
    present = GitSource(SSH, has_credential=True, uses_key=True)
    earlier = GitSource(SSH, branch="old")
    assert _source_of_then(present, earlier) == replace(earlier, has_credential=True, uses_key=True)
    elsewhere = GitSource("ssh://git@example.com/b.git", has_credential=True, uses_key=True)
    assert _source_of_then(present, elsewhere) == replace(elsewhere, has_credential=False, uses_key=False)
    by_file = replace(present, credential_file="deploy")
    assert _source_of_then(by_file, earlier) == earlier
    assert _source_of_then(present, by_file) == by_file
    assert _source_of_then(LocalSource("/srv/pump"), earlier) == earlier


def test_a_rollback_asks_for_the_signatures_of_now_and_of_then():
    """What either of them asks for is asked for: an earlier generation is no way around it."""
    strict, lenient = GitSource(SSH, require_signed=True), GitSource(SSH)
    assert _source_of_then(strict, lenient).require_signed
    assert _source_of_then(lenient, strict).require_signed
    assert not _source_of_then(lenient, lenient).require_signed
    assert _source_of_then(strict, replace(lenient, credential_file="deploy")).require_signed
    assert _source_of_then(strict, GitSource(HTTPS)).require_signed
    assert _source_of_then(strict, LocalSource("/srv/pump")) == LocalSource("/srv/pump")


def test_a_patch_asks_for_signatures_and_no_longer():
    """With true the plugin is fetched anew, since what runs may carry none; false and null take the wish back."""
    lenient, strict = spec(), spec(require_signed=True)
    assert changed(lenient, require_signed=True).require_signed
    assert not changed(strict, require_signed=False).require_signed
    assert not changed(strict, require_signed=None).require_signed
    assert changed(strict, autostart_order=1).require_signed
    assert PluginChange(require_signed=True).needs_replacement
    assert not PluginChange(require_signed=False).needs_replacement
    with pytest.raises(InvalidRequest, match="local directory"):
        changed(PluginRequest(name="pump", local_path="/srv/pump").spec(None), require_signed=False)


def test_signatures_cannot_be_asked_for_without_keys(tmp_path):
    """The server does not start, and the sentence names both settings that say which keys count."""
    with pytest.raises(InvalidRequest, match=r"IOCMNG_ALLOWED_SIGNERS .ssh. or IOCMNG_GPG_HOME"):
        load_settings(require_signed=True)
    assert load_settings(require_signed=True, allowed_signers=tmp_path / "signers").require_signed
    assert load_settings(require_signed=True, gpg_home=tmp_path).require_signed
