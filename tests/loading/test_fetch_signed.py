"""require_signed: only what an allowed key has signed is taken, with keys of ssh and of GPG."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from git import Repo
from loading_support import TASK, MakeRepo, Store, commit_files, only_failure, source_of
from signing import NAME, GpgHome, Key, git, has_gpg, signed_commit, signed_tag

from iocmng.core.source import GitSource, LocalSource
from iocmng.core.spec import FilesRef
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading.fetch import fetch, reopen
from iocmng.settings import Settings


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Key, Key]:
    """Two keys: one that is allowed, one that is not."""
    directory = tmp_path_factory.mktemp("keys")
    return Key(directory, "good"), Key(directory, "other")


@pytest.fixture
def signers(tmp_path: Path, keys: tuple[Key, Key]) -> Path:
    file = tmp_path / "allowed_signers"
    file.write_text(keys[0].allowed())
    return file


@pytest.fixture
def strict(settings: Settings, signers: Path) -> Settings:
    return settings.model_copy(update={"require_signed": True, "allowed_signers": signers})


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpgHome]:
    if not has_gpg():
        pytest.skip("gpg is not installed (apt install gnupg)")
    home = GpgHome(tmp_path_factory.mktemp("gpg") / "home")
    yield home
    home.close()


def refused(source: GitSource | LocalSource, settings: Settings, store: Store, words: str) -> None:
    with pytest.raises(PluginRejected, match=words) as caught:
        fetch(source, None, settings)
    assert only_failure(caught.value).step == "clone"
    assert store.is_empty


def test_signed_commit(make_repo: MakeRepo, strict: Settings, keys: tuple[Key, Key]):
    """A commit by an allowed key is taken, by branch or by its SHA, and the bundle says who has signed it."""
    repository = make_repo()
    commit = signed_commit(repository, keys[0])
    for source in (
        source_of(repository),
        source_of(repository, commit=commit),
        source_of(repository, commit=commit[:9]),
    ):
        bundle = fetch(source, None, strict)
        assert bundle.commit == commit
        assert bundle.signed_by is not None
        assert bundle.signed_by.startswith(f"{NAME} (ED25519 key SHA256:")


def test_unsigned_commit(make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key]):
    """A commit without a signature is refused, though its parent has one; the way out is named."""
    repository = make_repo()
    signed_commit(repository, keys[0])
    commit = commit_files(repository, {"more.py": ""})
    words = rf"commit {commit[:12]} carries no signature; sign it \(`git commit -S`.*IOCMNG_ALLOWED_SIGNERS"
    refused(source_of(repository), strict, store, words)


def test_unknown_key(make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key]):
    """A good signature by a key that is not allowed counts for nothing; the key is named."""
    repository = make_repo()
    signed_commit(repository, keys[1])
    refused(source_of(repository), strict, store, r"key that this server does not know \(ED25519 key SHA256:")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('valid-before="20200101"', "a key that has expired"),
        ('valid-after="20980101"', "a key that is not valid yet"),
        ('namespaces="file"', "a key that is not allowed to sign for git"),
    ],
)
def test_key_that_may_not_sign_now(
    make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key], signers: Path, options: str, words: str
):
    """An allowed key outside of its time, or for another purpose, is refused."""
    signers.write_text(keys[0].allowed(options))
    repository = make_repo()
    signed_commit(repository, keys[0])
    refused(source_of(repository), strict, store, words)


def test_commit_that_is_dated_back(
    make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key], signers: Path
):
    """An expired key cannot be used with a date at which it was valid: whoever has the key writes the date."""
    signers.write_text(keys[0].allowed('valid-before="20200101"'))
    repository = make_repo()
    signed_commit(repository, keys[0], {"GIT_COMMITTER_DATE": "2019-06-01T00:00:00Z"})
    refused(source_of(repository), strict, store, "a key that has expired")


def test_key_taken_off_the_list(
    make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key], signers: Path
):
    """A key is revoked by taking its line out of the file; the next fetch knows."""
    repository = make_repo()
    signed_commit(repository, keys[0])
    signers.write_text(keys[1].allowed())
    refused(source_of(repository), strict, store, "does not know")


def test_signature_of_another_commit(make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key]):
    """A signature that was cut out of one commit and put into another does not count."""
    repository = make_repo()
    signed = git(repository, "cat-file", "commit", signed_commit(repository, keys[0])) + "\n"
    commit_files(repository, {"monitor.py": TASK + "# changed\n"})
    forged = signed.replace(signed.split()[1], git(repository, "rev-parse", "HEAD^{tree}"), 1)
    _point_main_at(repository, forged)
    refused(source_of(repository), strict, store, "does not fit its content|cannot be checked")


def test_commit_with_two_signatures(make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key]):
    """A commit that carries a second signature is refused, whatever each one says."""
    repository = make_repo()
    signed = git(repository, "cat-file", "commit", signed_commit(repository, keys[0])) + "\n"
    head, _, message = signed.partition("\n\n")
    signature = head[head.index("gpgsig ") :]
    _point_main_at(repository, f"{head}\n{signature}\n\n{message}")
    refused(source_of(repository), strict, store, "several signatures")


def _point_main_at(repository: Repo, commit: str) -> None:
    file = Path(repository.git_dir) / "forged"
    file.write_text(commit)
    sha = git(repository, "hash-object", "-t", "commit", "--literally", "-w", str(file))
    git(repository, "update-ref", "refs/heads/main", sha)


def test_signed_tag(make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key]):
    """An unsigned commit is taken by a signed tag that names it, also together with its SHA; not without the tag."""
    repository = make_repo()
    commit = git(repository, "rev-parse", "HEAD")
    signed_tag(repository, keys[0], "v1")
    for source in (source_of(repository, branch="v1"), source_of(repository, branch="v1", commit=commit)):
        bundle = fetch(source, None, strict)
        assert (bundle.commit, bundle.branch) == (commit, "v1")
        assert bundle.signed_by
        assert NAME in bundle.signed_by
    _forget(store)
    refused(source_of(repository), strict, store, "carries no signature")


def _forget(store: Store) -> None:
    shutil.rmtree(store.state)


def test_tags_that_do_not_count(make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key]):
    """Light, unsigned and renamed tags, one by another key, and one of another commit are refused, each with why."""
    repository = make_repo()
    git(repository, "tag", "light")
    git(repository, "tag", "-a", "-m", "x", "unsigned")
    signed_tag(repository, keys[1], "stranger")
    signed_tag(repository, keys[0], "v1")
    git(repository, "update-ref", "refs/tags/v2", git(repository, "rev-parse", "v1"))
    refused(source_of(repository, branch="light"), strict, store, "tag light is no annotated tag")
    refused(source_of(repository, branch="unsigned"), strict, store, "tag unsigned carries no signature")
    refused(source_of(repository, branch="stranger"), strict, store, "tag stranger is signed .* does not know")
    refused(source_of(repository, branch="v2"), strict, store, "tag v2 was made as 'v1' and renamed")
    other = commit_files(repository, {"more.py": ""})
    refused(source_of(repository, branch="v1", commit=other), strict, store, "tag v1 names another commit")


def test_wish_of_a_plugin(make_repo: MakeRepo, settings: Settings, store: Store, keys: tuple[Key, Key], signers: Path):
    """A plugin can ask for a signature where the server does not; it cannot do without where the server does."""
    repository = make_repo()
    wish = replace(source_of(repository), require_signed=True)
    refused(wish, settings, store, "knows no keys; set IOCMNG_ALLOWED_SIGNERS or IOCMNG_GPG_HOME")
    lenient = settings.model_copy(update={"allowed_signers": signers})
    refused(wish, lenient, store, "carries no signature")
    assert fetch(source_of(repository), None, lenient).signed_by is None
    _forget(store)
    refused(source_of(repository), lenient.model_copy(update={"require_signed": True}), store, "carries no signature")
    signed_commit(repository, keys[0])
    assert fetch(wish, None, lenient).signed_by


def test_local_directory(sources: Path, strict: Settings, store: Store):
    """A directory has no signature, so it is refused; the way out is named."""
    (sources / "plugin").mkdir()
    (sources / "plugin" / "monitor.py").write_text(TASK)
    refused(LocalSource(str(sources / "plugin")), strict, store, "IOCMNG_REQUIRE_SIGNED.*local_path.*git_url")


def test_kept_files_that_were_never_verified(make_repo: MakeRepo, settings: Settings, strict: Settings, keys):
    """Files that were kept before a signature was asked for are not started again as they are; verified ones are."""
    repository = make_repo()
    source = source_of(repository)
    before = fetch(source, None, settings)
    kept = FilesRef(before.digest, before.commit, before.branch, before.signed_by)
    assert reopen(source, kept, settings) is not None
    assert reopen(source, kept, strict) is None
    assert reopen(replace(source, require_signed=True), kept, settings) is None
    signed_commit(repository, keys[0])
    bundle = fetch(source, None, strict)
    assert reopen(source, FilesRef(bundle.digest, bundle.commit, bundle.branch, bundle.signed_by), strict) is not None


def test_configuration_decides_nothing(
    make_repo: MakeRepo, strict: Settings, store: Store, keys: tuple[Key, Key], tmp_path: Path, monkeypatch
):
    """Neither the repository's configuration nor the user's, nor a variable, can name other keys or another program."""
    repository = make_repo()
    signed_commit(repository, keys[1])
    traitor, trace = tmp_path / "traitor", tmp_path / "trace"
    traitor.write_text(f'#!/bin/sh\ntouch {trace}\necho "Good \\"git\\" signature for x with ED25519 key SHA256:x"\n')
    traitor.chmod(0o755)
    loose = tmp_path / "loose"
    loose.write_text(keys[1].allowed())
    text = f'[gpg "ssh"]\n\tprogram = {traitor}\n\tallowedSignersFile = {loose}\n[gpg]\n\tprogram = {traitor}\n'
    with (Path(repository.git_dir) / "config").open("a") as file:
        file.write(text)
    (tmp_path / ".gitconfig").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'gpg.ssh.program={traitor}'")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    refused(source_of(repository), strict, store, "does not know")
    assert not trace.exists()


def test_missing_keys_and_programs(
    make_repo: MakeRepo, strict: Settings, store: Store, signers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the server lacks is its own trouble, and named: the file, the keyring, ssh-keygen."""
    source = source_of(make_repo())
    no_ring = strict.model_copy(update={"allowed_signers": None, "gpg_home": tmp_path / "none"})
    if has_gpg():
        with pytest.raises(SourceUnavailable, match=r"no keyring in .*none \(IOCMNG_GPG_HOME\)"):
            fetch(source, None, no_ring)
    signers.unlink()
    with pytest.raises(SourceUnavailable, match=r"cannot read .*allowed_signers \(IOCMNG_ALLOWED_SIGNERS\)"):
        fetch(source, None, strict)
    monkeypatch.setattr("iocmng.loading.signatures.shutil.which", lambda _: None)
    with pytest.raises(SourceUnavailable, match="ssh-keygen is not installed on the server"):
        fetch(source, None, strict)
    assert store.is_empty


# GPG.


@pytest.fixture
def gpg_strict(settings: Settings, gpg: GpgHome, tmp_path: Path) -> Settings:
    return settings.model_copy(update={"require_signed": True, "gpg_home": gpg.export(tmp_path / "ring")})


def test_gpg_commit_and_tag(make_repo: MakeRepo, gpg_strict: Settings, gpg: GpgHome):
    """Commits and tags that a key of the keyring has signed are taken; the keyring's own home is left as it is."""
    assert gpg_strict.gpg_home
    before = sorted(path.name for path in gpg_strict.gpg_home.iterdir())
    repository = make_repo()
    signed_tag(repository, gpg, "v1")
    bundle = fetch(source_of(repository, branch="v1"), None, gpg_strict)
    assert bundle.signed_by
    assert NAME in bundle.signed_by
    commit = signed_commit(repository, gpg)
    assert fetch(source_of(repository), None, gpg_strict).commit == commit
    assert sorted(path.name for path in gpg_strict.gpg_home.iterdir()) == before


def test_gpg_key_that_is_not_in_the_keyring(
    make_repo: MakeRepo, gpg_strict: Settings, gpg: GpgHome, store: Store, tmp_path: Path
):
    """A good signature by another key is refused; so is one of a kind for which the server has no keys."""
    stranger = GpgHome(tmp_path / "stranger")
    repository = make_repo()
    signed_commit(repository, stranger)
    stranger.close()
    refused(source_of(repository), gpg_strict, store, "a key that this server does not know")


def test_signature_of_the_other_kind(
    make_repo: MakeRepo, gpg_strict: Settings, strict: Settings, gpg: GpgHome, keys: tuple[Key, Key], store: Store
):
    """Where only keys of one kind are set, the other kind's signatures do not count."""
    by_ssh, by_gpg = make_repo(name="ssh"), make_repo(name="gpg")
    signed_commit(by_ssh, keys[0])
    signed_commit(by_gpg, gpg)
    refused(source_of(by_ssh), gpg_strict, store, "no keys for")
    refused(source_of(by_gpg), strict, store, "no keys for")
    both = strict.model_copy(update={"gpg_home": gpg_strict.gpg_home})
    assert fetch(source_of(by_ssh), None, both).signed_by
    assert fetch(source_of(by_gpg), None, both).signed_by


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_gpg_key_that_no_longer_counts(
    make_repo: MakeRepo, settings: Settings, store: Store, gpg: GpgHome, tmp_path: Path, how: str
):
    """A signature by a key that has expired or was revoked since is refused, and the reason told."""
    home = GpgHome(tmp_path / "home", long_ago=how == "expired")
    repository = make_repo()
    signed_commit(repository, home)
    if how == "revoked":
        listed = home.gpg("--with-colons", "--list-keys").splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        certificate = home.directory / "openpgp-revocs.d" / f"{fingerprint}.rev"
        certificate.write_text(certificate.read_text().replace(":-----BEGIN", "-----BEGIN"))
        home.gpg("--import", str(certificate))
    ring = home.export(tmp_path / "ring")
    home.close()
    strict = settings.model_copy(update={"require_signed": True, "gpg_home": ring})
    refused(source_of(repository), strict, store, f"a key that (has|was) {how}")
