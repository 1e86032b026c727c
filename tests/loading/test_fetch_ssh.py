"""A private repository that a real sshd serves: which key gets in, and which host is believed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from git import Repo
from git_ssh import SshServer, fingerprint, make_key, ssh_server
from loading_support import TASK, Store, commit_files, only_failure

from iocmng.core.source import GitSource
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Path]:
    """A repository that lies below no local root: only sshd leads to it."""
    with Repo.init(tmp_path / "served", initial_branch="main") as repository:
        commit_files(repository, {"monitor.py": TASK}, "first")
        yield tmp_path / "served"


@pytest.fixture
def known(settings: Settings, sshd: SshServer) -> Settings:
    return settings.model_copy(update={"ssh_known_hosts": sshd.known_hosts, "secrets_dir": sshd.key_file.parent})


def keyed(sshd: SshServer, repository: Path, credential_file: str | None = None) -> GitSource:
    return GitSource(sshd.url(repository), has_credential=True, uses_key=True, credential_file=credential_file)


def unreachable(source: GitSource, key: str | None, settings: Settings, store: Store, words: str) -> None:
    with pytest.raises(SourceUnavailable, match=words) as caught:
        fetch(source, key, settings)
    assert only_failure(caught.value).step == "clone"
    secret = (key or "").splitlines()[1:-1]
    text = "".join(traceback.format_exception(caught.value))
    assert not [line for line in secret if line in text]
    assert store.is_empty


@contextlib.contextmanager
def agent(key: Path) -> Iterator[str]:
    """Run an ssh-agent that holds a key for the block; return its socket."""
    started = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    variables = dict(re.findall(r"(SSH_\w+)=([^;]+);", started))
    try:
        subprocess.run(["ssh-add", "-q", key], check=True, env=os.environ | variables)
        yield variables["SSH_AUTH_SOCK"]
    finally:
        os.kill(int(variables["SSH_AGENT_PID"]), signal.SIGTERM)


def test_key_opens_the_repository(sshd: SshServer, repository: Path, known: Settings):
    """By value and by the name of a file, with both forms of the address; ssh reads it although no file has it."""
    assert fetch(keyed(sshd, repository), sshd.key, known).branch == "main"
    assert fetch(keyed(sshd, repository), sshd.key.replace("\n", "\r\n").strip(), known).commit
    assert fetch(keyed(sshd, repository, "deploy"), None, known).commit


def test_allowed_address(sshd: SshServer, repository: Path, known: Settings):
    """An address on the list of IOCMNG_GIT_ALLOW is reached with the key as without a list."""
    allowing = known.model_copy(update={"git_allow": (f"ssh://localhost:{sshd.port}/*",)})
    assert fetch(keyed(sshd, repository), sshd.key, allowing).commit


def test_another_host_key(sshd: SshServer, repository: Path, known: Settings, store: Store, tmp_path: Path):
    """A host that shows another key than the known one gets nothing, and nobody is told to trust it."""
    make_key(tmp_path / "other")
    known_hosts = sshd.know(tmp_path / "other.pub", tmp_path / "known_hosts")
    wrong = known.model_copy(update={"ssh_known_hosts": known_hosts})
    unreachable(
        keyed(sshd, repository),
        sshd.key,
        wrong,
        store,
        r"another ssh host key .*may not be the host .*\(git: [^@]*\)$|another .*changed it$",
    )


def test_unknown_host(sshd: SshServer, repository: Path, known: Settings, store: Store, tmp_path: Path):
    """A host that the file does not name is not asked; the setting is named."""
    (tmp_path / "known_hosts").write_text("")
    unknown = known.model_copy(update={"ssh_known_hosts": tmp_path / "known_hosts"})
    unreachable(keyed(sshd, repository), sshd.key, unknown, store, "host key is unknown.*IOCMNG_SSH_KNOWN_HOSTS")


def test_no_other_key_is_tried(
    sshd: SshServer, repository: Path, known: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A wrong key is refused in a clear sentence, although an agent holds the right one; no other one is offered."""
    wrong = make_key(tmp_path / "wrong")
    with agent(sshd.key_file) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        before = sshd.offered
        unreachable(keyed(sshd, repository), wrong, known, store, r"access was refused.*`ssh_key`")
        assert sshd.offered - before == {fingerprint(tmp_path / "wrong")}


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8", "PEM"])
def test_key_with_a_passphrase(
    sshd: SshServer, repository: Path, known: Settings, store: Store, tmp_path: Path, form: str
):
    """Nobody is asked for a passphrase, and nobody has to guess why a good key does not open."""
    command = ["ssh-keygen", "-q", "-t", "rsa", "-m", form, "-N", "open sesame", "-f", tmp_path / "locked"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    with pytest.raises(PluginRejected, match="`ssh_key` has a passphrase"):
        fetch(keyed(sshd, repository), (tmp_path / "locked").read_text(), known)
    assert store.is_empty


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8", "PEM"])
def test_every_form_of_a_key(
    sshd: SshServer, repository: Path, known: Settings, store: Store, tmp_path: Path, form: str
):
    """A key without a passphrase is given to ssh in whatever form it has; this one opens nothing."""
    command = ["ssh-keygen", "-q", "-t", "rsa", "-m", form, "-N", "", "-f", tmp_path / "plain"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    before = sshd.offered
    unreachable(keyed(sshd, repository), (tmp_path / "plain").read_text(), known, store, "access was refused")
    assert sshd.offered - before == {fingerprint(tmp_path / "plain")}


def test_key_that_is_damaged(sshd: SshServer, repository: Path, known: Settings, store: Store):
    """A key of which a line is missing is named as the cause."""
    lines = sshd.key.splitlines()
    damaged = "\n".join(lines[:2] + lines[3:])
    unreachable(keyed(sshd, repository), damaged, known, store, "ssh key cannot be used.*all its lines")


def test_missing_repository(sshd: SshServer, repository: Path, known: Settings, store: Store):
    """What the host does not have is said as over https."""
    unreachable(keyed(sshd, repository / "no"), sshd.key, known, store, "there is no repository there")
