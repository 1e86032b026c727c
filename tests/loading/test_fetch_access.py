"""Which repositories are asked at all, with which ssh key, and what of them is not taken."""

from __future__ import annotations

import os
import resource
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_https import GitServer, make_certificate
from loading_support import TASK, MakeRepo, Store, only_failure, source_of, write_files

from iocmng.core.source import GitSource, LocalSource
from iocmng.core.spec import FilesRef
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading import local
from iocmng.loading.fetch import fetch, reopen
from iocmng.loading.git_process import run_git
from iocmng.loading.processes import Deadline
from iocmng.settings import Settings

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nc4nary-line-one\nc4nary-line-two\n-----END OPENSSH PRIVATE KEY-----"
SSH_URL = "ssh://git@git.example.invalid/controls/pump.git"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"


def refused(source: GitSource | LocalSource, settings: Settings, store: Store, words: str, secret: str | None = None):
    with pytest.raises(PluginRejected, match=words) as caught:
        fetch(source, secret, settings)
    assert only_failure(caught.value).step == "clone"
    assert "c4nary" not in str(caught.value)
    assert store.is_empty


# IOCMNG_GIT_ALLOW.


def test_allowed_repositories_of_this_machine(make_repo: MakeRepo, settings: Settings, store: Store, tmp_path: Path):
    """A repository on the disk is compared by its real path: a link below the pattern does not lead out of it."""
    inside = make_repo(name="repo")
    allowing = settings.model_copy(update={"git_allow": (f"file://{settings.roots[0]}/repo*",)})
    other = make_repo(name="other")
    (settings.roots[0] / "repo-link").symlink_to(str(other.working_dir))
    refused(source_of(other), allowing, store, "IOCMNG_GIT_ALLOW")
    refused(GitSource(f"file://{settings.roots[0]}/repo-link"), allowing, store, "IOCMNG_GIT_ALLOW")
    assert fetch(source_of(inside), None, allowing).commit


def test_kept_files_of_a_repository_that_is_no_longer_allowed(make_repo: MakeRepo, settings: Settings):
    """A start from kept files, as after a restart of the server or for a rollback, obeys the list too."""
    source = source_of(make_repo())
    bundle = fetch(source, None, settings)
    kept = FilesRef(bundle.digest, bundle.commit, bundle.branch)
    assert reopen(source, kept, settings) is not None
    with pytest.raises(PluginRejected, match="IOCMNG_GIT_ALLOW"):
        reopen(source, kept, settings.model_copy(update={"git_allow": ("https://git.example.org/*",)}))


@pytest.fixture
def server(make_repo: MakeRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    certificate = make_certificate(tmp_path)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate[0]))
    with GitServer(Path(make_repo().working_dir), "tok3n", *certificate).serving() as git_server:
        yield git_server


def test_redirection_is_not_followed_where_a_list_is_set(server: GitServer, settings: Settings, store: Store):
    """An allowed address that leads on elsewhere is not followed; the way out is named."""
    allowing = settings.model_copy(update={"git_allow": (f"https://localhost:{server.port}/*",)})
    server.moved_to = server.url
    moved = server.url.replace("repo", "moved")
    with pytest.raises(SourceUnavailable, match=r"leads on to another address.*IOCMNG_GIT_ALLOW"):
        fetch(GitSource(moved), "tok3n", allowing)
    assert store.is_empty
    assert fetch(GitSource(server.url), "tok3n", allowing).commit
    assert fetch(GitSource(moved), "tok3n", settings).commit


# ssh keys.


class FakeSsh:
    """An ssh that notes how it was called and what key it could read, and answers nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        script = directory / "ssh"
        script.write_text(
            f"#!/bin/sh\ncd {shlex.quote(str(directory))}\nprintf '%s\\n' \"$@\" > arguments\nenv > environment\n"
            'for word in "$@"; do case $word in IdentityFile=*) file=${word#IdentityFile=}; cat $file > key; '
            "stat -L -c %a $file > mode;; esac; done\necho 'Permission denied (publickey).' >&2\nexit 255\n"
        )
        script.chmod(0o755)

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSsh:
    directory = tmp_path / "ssh-program"
    directory.mkdir()
    fake = FakeSsh(directory)
    monkeypatch.setenv("GIT_SSH", str(directory / "ssh"))
    return fake


@pytest.fixture
def known(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "known_hosts").write_text("")
    return settings.model_copy(update={"ssh_known_hosts": tmp_path / "known_hosts", "secrets_dir": tmp_path})


def test_key_is_lent_to_ssh_alone(known: Settings, store: Store, ssh: FakeSsh, monkeypatch: pytest.MonkeyPatch):
    """The key is read by ssh as its owner's file, without agent, configuration or other host keys; nothing is left."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    with pytest.raises(SourceUnavailable, match="access was refused") as caught:
        fetch(GitSource(SSH_URL, has_credential=True, uses_key=True), KEY.replace("\n", "\r\n"), known)
    assert (ssh.read("key"), ssh.read("mode").strip()) == (KEY + "\n", "600")
    arguments = ssh.read("arguments").splitlines()
    assert arguments[:2] == ["-F", "/dev/null"]
    wanted = {"BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes"}
    assert wanted <= set(arguments)
    assert f'UserKnownHostsFile="{known.ssh_known_hosts}"' in arguments
    assert "SSH_AUTH_SOCK=/agent" not in ssh.read("environment")
    (file,) = (word.partition("=")[2] for word in arguments if word.startswith("IdentityFile="))
    assert not Path(file).exists()
    for text in (*arguments, ssh.read("environment"), str(caught.value)):
        assert "c4nary" not in text
    assert store.is_empty


def test_key_by_reference(known: Settings, ssh: FakeSsh, tmp_path: Path):
    """ssh_key_file is read from the secrets directory at the fetch."""
    (tmp_path / "deploy").write_text(KEY)
    with pytest.raises(SourceUnavailable):
        fetch(GitSource(SSH_URL, has_credential=True, credential_file="deploy", uses_key=True), None, known)
    assert ssh.read("key") == KEY + "\n"
    with pytest.raises(PluginRejected, match=r"ssh_key_file '\.\./x' leads out"):
        fetch(GitSource(SSH_URL, has_credential=True, credential_file="../x", uses_key=True), None, known)


def test_key_that_cannot_be_used(settings: Settings, known: Settings, store: Store, ssh: FakeSsh):
    """Without known hosts, for another protocol, or not the form of a key: refused, and ssh is not asked."""
    keyed = GitSource(SSH_URL, has_credential=True, uses_key=True)
    refused(keyed, settings, store, "IOCMNG_SSH_KNOWN_HOSTS.*ssh-keyscan", KEY)
    refused(keyed, known, store, "is no private key", "c4nary")
    https = GitSource("https://git.example.invalid/a.git", has_credential=True, uses_key=True)
    refused(https, known, store, "for an ssh repository", KEY)
    refused(GitSource("https://git.example.invalid/a.git", has_credential=True), known, store, "line break", KEY)
    assert not (ssh.directory / "arguments").exists()


# What is not taken.


def test_pointer_of_git_lfs(make_repo: MakeRepo, settings: Settings, store: Store, sources: Path):
    """A pointer of Git LFS is refused with its path, in a repository and a directory; a text about one is not."""
    files = {"monitor.py": TASK, "data/table.bin": POINTER}
    with pytest.raises(PluginRejected, match=r"pointer of Git LFS.*git lfs untrack") as caught:
        fetch(source_of(make_repo(files, "lfs")), None, settings)
    assert only_failure(caught.value).file == "data/table.bin"
    write_files(sources / "plain", files)
    refused(LocalSource(str(sources / "plain")), settings, store, "pointer of Git LFS")
    assert fetch(source_of(make_repo({"monitor.py": TASK, "README": f"A pointer: {POINTER}"}, "text")), None, settings)


def test_largest_file_of_a_fetch(tmp_path: Path):
    """The system itself stops git at the limit, however fast the transfer is."""
    limit = resource.getpagesize()
    command = f"alias.write=!head -c {10 * limit} /dev/zero > big"
    finished = run_git(("-c", command, "write"), tmp_path, Deadline.after(20), largest_file=limit)
    assert finished.returncode != 0
    assert (tmp_path / "big").stat().st_size == limit


def test_directory_that_is_exchanged_for_a_link(
    sources: Path, settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A directory that becomes a link out of the root, after it was looked at, is not followed."""
    write_files(tmp_path / "outside", {"secret.py": "c4nary"})
    write_files(sources / "plugin", {"monitor.py": TASK, "lib/a.py": ""})
    scan = local._scan

    def exchange(directory: int, path: str) -> list[os.DirEntry[str]]:
        found = scan(directory, path)
        for entry in found:
            entry.is_dir(follow_symlinks=False)
        if (sources / "plugin" / "lib").is_dir() and not (sources / "plugin" / "lib").is_symlink():
            (sources / "plugin" / "lib").rename(sources / "moved")
            (sources / "plugin" / "lib").symlink_to(tmp_path / "outside")
        return found

    monkeypatch.setattr(local, "_scan", exchange)
    refused(LocalSource(str(sources / "plugin")), settings, store, "cannot read .*plugin/lib")
