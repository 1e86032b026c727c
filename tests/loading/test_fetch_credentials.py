"""The credential of a repository: it reaches its host, and nothing else."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_https import GitServer, make_certificate
from loading_support import MakeRepo, Store, only_failure

from iocmng.core.source import GitSource
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings

PAT = "glpat-S3cr3t/token+1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(make_repo: MakeRepo, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    repository = make_repo()
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate[0]))
    with GitServer(Path(repository.working_dir), PAT, *certificate).serving() as git_server:
        yield git_server


class Watch:
    """Looks for the PAT in all command lines and in all files of the store, in every request and all the time."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._done = threading.Event()
        self.command_lines: set[str] = set()
        self.files_with_secret: set[str] = set()

    def look(self) -> None:
        for process in (entry for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            with contextlib.suppress(OSError):
                self.command_lines.add((process / "cmdline").read_bytes().decode(errors="replace"))
        for directory, _, names in os.walk(self._state):
            for path in (Path(directory, name) for name in names):
                with contextlib.suppress(OSError):
                    if PAT.encode() in path.read_bytes():
                        self.files_with_secret.add(str(path))

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._keep_looking)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _keep_looking(self) -> None:
        while not self._done.is_set():
            self.look()

    def found(self, *secrets: str) -> list[str]:
        return [line for line in self.command_lines if any(secret in line for secret in secrets)]


def test_pat_reaches_the_host_and_nothing_else(server: GitServer, settings: Settings, store: Store):
    """The PAT arrives as Basic authentication; it stands in no command line and in no file, now or later."""
    watch = Watch(settings.state)
    server.on_request = watch.look
    with watch:
        bundle = fetch(GitSource(server.url, has_credential=True), PAT, settings)
    assert bundle.branch == "main"
    assert {password for _, password in server.credentials} == {PAT}
    assert any("git-remote-https" in line or "remote-https" in line for line in watch.command_lines)
    assert watch.found(PAT, "glpat-S3cr3t") == []
    assert watch.files_with_secret == set()
    assert store.names("staging") == []


def test_pat_of_a_paste_with_a_line_end(server: GitServer, settings: Settings):
    """Blanks and line ends around a pasted PAT are not part of it."""
    assert fetch(GitSource(server.url), f" {PAT}\n", settings).branch == "main"


def test_refused_pat(server: GitServer, settings: Settings, store: Store):
    """A wrong PAT is a 502 that says what to do, and neither the text nor its traceback shows the PAT."""
    wrong = "glpat-wr0ng/token+2"
    with pytest.raises(SourceUnavailable, match="access was refused; give a `pat`") as caught:
        fetch(GitSource(server.url, has_credential=True), wrong, settings)
    assert only_failure(caught.value).step == "clone"
    text = "".join(traceback.format_exception(caught.value)) + repr(pickle.dumps(caught.value))
    assert "wr0ng" not in text
    assert store.is_empty


def test_private_repository_without_pat(server: GitServer, settings: Settings, store: Store):
    """Where a credential is needed and none is given, git asks nobody and the message says what to give."""
    with pytest.raises(SourceUnavailable, match="give a `pat`"):
        fetch(GitSource(server.url), None, settings)
    assert server.credentials == []
    assert store.is_empty


def test_user_of_the_server_lends_nothing(
    server: GitServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Credentials in the home directory of the server's user are not given to a plugin's repository."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(f"machine localhost login user password {PAT}\n")
    (tmp_path / ".git-credentials").write_text(server.url.replace("https://", f"https://user:{PAT}@"))
    (tmp_path / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    with pytest.raises(SourceUnavailable, match="access was refused"):
        fetch(GitSource(server.url), None, settings)
    assert server.credentials == []


def test_pat_does_not_follow_to_another_host(
    server: GitServer, make_repo: MakeRepo, certificate: tuple[Path, Path], settings: Settings
):
    """A redirection to another host gets no credential; one within the host does."""
    server.moved_to = f"https://localhost:{server.port}/repo.git"
    assert fetch(GitSource(server.url.replace("repo", "moved")), PAT, settings).branch == "main"
    with GitServer(Path(make_repo(name="other").working_dir), PAT, *certificate).serving() as other:
        server.moved_to = other.url
        with pytest.raises(SourceUnavailable, match="access was refused"):
            fetch(GitSource(server.url.replace("repo", "moved")), PAT, settings)
        assert other.credentials == []
        assert other.anonymous > 0


def test_redirection_to_another_protocol(server: GitServer, settings: Settings, store: Store):
    """A redirection cannot lead to unencrypted HTTP."""
    server.moved_to = "http://localhost:1/repo.git"
    with pytest.raises(SourceUnavailable):
        fetch(GitSource(server.url.replace("repo", "moved")), PAT, settings)
    assert store.is_empty


def test_unknown_repository_on_a_known_host(server: GitServer, settings: Settings):
    """A repository that the host does not have is a 502 that says so."""
    with pytest.raises(SourceUnavailable, match="there is no repository there"):
        fetch(GitSource(server.url.replace("repo", "missing")), PAT, settings)


def test_certificate_that_is_not_trusted(server: GitServer, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """An unknown certificate names the setting; SSL_CERT_FILE counts where GIT_SSL_CAINFO is not set."""
    own = os.environ["GIT_SSL_CAINFO"]
    monkeypatch.delenv("GIT_SSL_CAINFO")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    with pytest.raises(SourceUnavailable, match="GIT_SSL_CAINFO"):
        fetch(GitSource(server.url), PAT, settings)
    assert server.credentials == []
    monkeypatch.setenv("SSL_CERT_FILE", own)
    assert fetch(GitSource(server.url), PAT, settings).branch == "main"


def test_unreachable_host(settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch):
    """A host that does not answer is a 502 that quotes git."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceUnavailable, match=r"cannot fetch https://localhost:1/repo.git: .*git: ") as caught:
        fetch(GitSource("https://localhost:1/repo.git"), PAT, settings)
    assert PAT not in str(caught.value)
    assert store.is_empty


def test_pat_with_control_characters(server: GitServer, settings: Settings, store: Store):
    """A PAT cannot smuggle lines into git's credential protocol, and is not repeated in the message."""
    with pytest.raises(PluginRejected, match="line break") as caught:
        fetch(GitSource(server.url), "good\nhost=evil", settings)
    assert "evil" not in str(caught.value)
    assert store.is_empty


def test_pat_beside_a_local_repository(make_repo: MakeRepo, settings: Settings):
    """A PAT given for a repository that needs none does no harm and is left nowhere."""
    watch = Watch(settings.state)
    with watch:
        fetch(GitSource(str(make_repo().working_dir)), PAT, settings)
    assert watch.found(PAT) == []
    assert watch.files_with_secret == set()
