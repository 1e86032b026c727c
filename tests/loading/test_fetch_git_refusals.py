"""Fetching from git: what is refused or cannot be fetched. Each tells its step and what to do, and leaves nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from git import Repo
from loading_support import TASK, MakeRepo, Store, commit_files, only_failure, source_of

from iocmng.core.source import GitSource
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


def refused(source: GitSource, settings: Settings, store: Store, words: str, file: str | None = None) -> None:
    with pytest.raises(PluginRejected, match=words) as caught:
        fetch(source, None, settings)
    failure = only_failure(caught.value)
    assert (failure.step, failure.file) == ("clone", file)
    assert store.is_empty


def test_unknown_branch(make_repo: MakeRepo, settings: Settings, store: Store):
    """A misspelt branch is named together with the nearest one that exists."""
    source = source_of(make_repo(), branch="mian")
    refused(source, settings, store, "no branch or tag 'mian'; did you mean 'main'")


@pytest.mark.parametrize("commit", ["0123456789" * 4, "0123456"])
def test_unknown_commit(make_repo: MakeRepo, settings: Settings, store: Store, commit: str):
    """A commit that the repository lacks is a mistake of the request."""
    refused(source_of(make_repo(), commit=commit), settings, store, f"no commit '{commit}'.*give all 40 digits")


def test_unknown_path(make_repo: MakeRepo, settings: Settings, store: Store):
    """A missing directory is named together with those beside it."""
    repository = make_repo({"plugins/a/a.py": TASK, "README.md": ""})
    refused(source_of(repository, "plugins/b"), settings, store, "no directory 'plugins/b'.*beside it are a")
    refused(source_of(repository, "README.md"), settings, store, "is a file")


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc", "~", "-x", ".git", "a\\b"])
def test_path_outside_of_the_repository(make_repo: MakeRepo, settings: Settings, store: Store, path: str):
    """`path` cannot lead out of the repository."""
    refused(source_of(make_repo(), path), settings, store, "relative, without")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ext::sh -c touch% /tmp/pwned", "blanks"),
        ("ext::sh", "transport helper 'ext'"),
        ("--upload-pack=touch", "begin with '-'"),
        ("http://example.org/repo.git", "scheme 'http'"),
        ("https://user:secret@example.org/repo.git", "holds a credential"),
    ],
)
def test_dangerous_urls(settings: Settings, store: Store, url: str, words: str):
    """URLs that make git do more than fetch, or that hold a credential, never reach git."""
    refused(GitSource(url), settings, store, words)


@pytest.mark.parametrize("branch", ["--upload-pack=touch", "a..b", "a b"])
def test_dangerous_branches(make_repo: MakeRepo, settings: Settings, store: Store, branch: str):
    """A branch that git could take for an option or an expression never reaches git."""
    refused(source_of(make_repo(), branch=branch), settings, store, "no legal name of a branch")


def test_outside_of_the_local_roots(settings: Settings, store: Store, tmp_path: Path):
    """A repository on the server's disk must lie below a local root, links resolved; the way out is named."""
    Repo.init(tmp_path / "elsewhere").close()
    (settings.roots[0] / "door").symlink_to(tmp_path / "elsewhere")
    for url in (
        f"file://{tmp_path}/elsewhere",
        f"{settings.roots[0]}/../elsewhere",
        f"file://{settings.roots[0]}/door",
    ):
        refused(GitSource(url), settings, store, "outside .* IOCMNG_LOCAL_ROOTS")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.py", "lib/../../outside.py", "door/../../x"])
def test_links_that_leave_the_tree(make_repo: MakeRepo, settings: Settings, store: Store, target: str):
    """A symbolic link that leads out of the plugin's directory is refused, also by way of another link."""
    repository = make_repo({"plugin/monitor.py": TASK, "plugin/lib/a.py": "", "outside.py": ""})
    root = Path(repository.working_dir) / "plugin"
    (root / "door").symlink_to("lib")
    (root / "link.py").symlink_to(target)
    commit_files(repository, {})
    refused(source_of(repository, "plugin"), settings, store, "put a copy", "link.py")


def test_path_through_a_link(make_repo: MakeRepo, settings: Settings, store: Store):
    """`path` must name a real directory of the repository."""
    repository = make_repo({"plugin/monitor.py": TASK})
    (Path(repository.working_dir) / "current").symlink_to("plugin")
    commit_files(repository, {})
    refused(source_of(repository, "current"), settings, store, "symbolic link 'current'")


def test_submodule(make_repo: MakeRepo, settings: Settings, store: Store):
    """A tree with a submodule is refused, and the submodule named."""
    inner, outer = make_repo(name="inner"), make_repo(name="outer")
    outer.git.execute(["git", "-c", "protocol.file.allow=always", "submodule", "add", str(inner.working_dir), "sub"])
    commit_files(outer, {})
    refused(source_of(outer), settings, store, "this is a submodule", "sub")


def test_tree_with_a_path_that_stands_twice(make_repo: MakeRepo, settings: Settings, store: Store, tmp_path: Path):
    """A forged tree cannot write through a link of its own."""
    repository = make_repo()
    target = tmp_path / "target"
    target.mkdir()
    blob = repository.git.execute(["git", "hash-object", "-w", "monitor.py"])
    (Path(repository.working_dir) / "l").write_text(str(target))
    link = repository.git.execute(["git", "hash-object", "-w", "l"])
    raw_inner = b"100644 x.py\0" + bytes.fromhex(str(blob))
    inner = _write_tree(repository, raw_inner, tmp_path)
    forged = b"120000 a\0" + bytes.fromhex(str(link)) + b"40000 a\0" + bytes.fromhex(inner)
    top = _write_tree(repository, forged, tmp_path)
    commit = repository.git.execute(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "commit-tree", top, "-m", "forged"]
    )
    repository.git.execute(["git", "update-ref", "refs/heads/forged", str(commit)])
    with pytest.raises(PluginRejected) as caught:
        fetch(source_of(repository, branch="forged"), None, settings)
    assert only_failure(caught.value).step == "clone"
    assert list(target.iterdir()) == []
    assert store.is_empty


def _write_tree(repository: Repo, raw: bytes, tmp_path: Path) -> str:
    file = tmp_path / "raw-tree"
    file.write_bytes(raw)
    return str(repository.git.execute(["git", "hash-object", "-t", "tree", "--literally", "-w", str(file)]))


def test_tree_with_forbidden_names(make_repo: MakeRepo, settings: Settings, store: Store, tmp_path: Path):
    """A forged tree cannot name its parent directory, nor git's."""
    repository = make_repo()
    blob = bytes.fromhex(str(repository.git.execute(["git", "hash-object", "-w", "monitor.py"])))
    for name in (b"..", b".GIT"):
        top = _write_tree(repository, b"100644 " + name + b"\0" + blob, tmp_path)
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        commit = repository.git.execute(["git", *identity, "commit-tree", top, "-m", "forged"])
        repository.git.execute(["git", "update-ref", "refs/heads/forged", str(commit)])
        refused(
            source_of(repository, branch="forged"), settings, store, r"(forbidden file name|cannot be read).*git fsck"
        )


def test_too_many_files(make_repo: MakeRepo, settings: Settings, store: Store):
    """A huge tree is refused before it is written; `path` and the setting are named as ways out."""
    few = settings.model_copy(update={"fetch_max_files": 3})
    repository = make_repo({f"dir/{number}.py": "" for number in range(4)})
    refused(source_of(repository), few, store, "more than 3 files.*`path`.*IOCMNG_FETCH_MAX_FILES")
    assert fetch(source_of(make_repo({f"{number}.py": TASK for number in range(3)}, "fits")), None, few).commit


def test_too_large_tree(make_repo: MakeRepo, settings: Settings, store: Store):
    """A tree that is small in the transfer and large on the disk is refused; the setting is named."""
    small = settings.model_copy(update={"fetch_max_bytes": 100_000})
    repository = make_repo({"monitor.py": TASK, "data.bin": b"\0" * 200_000})
    refused(source_of(repository), small, store, "larger than 100000 bytes.*IOCMNG_FETCH_MAX_BYTES")


def test_too_large_transfer(make_repo: MakeRepo, settings: Settings, store: Store):
    """A fetch that brings more than the limit is stopped; the setting is named."""
    small = settings.model_copy(update={"fetch_max_bytes": 100_000})
    repository = make_repo({"plugin/monitor.py": TASK, "data.bin": os.urandom(200_000)})
    refused(source_of(repository, "plugin"), small, store, "sends more than 100000 bytes.*IOCMNG_FETCH_MAX_BYTES")


def test_empty_repository(settings: Settings, store: Store, sources: Path):
    """A repository without a commit says so."""
    Repo.init(sources / "empty").close()
    refused(GitSource(str(sources / "empty")), settings, store, "no default branch with a commit; .* is empty")


# What cannot be fetched.


def test_unknown_repository(settings: Settings, store: Store, sources: Path):
    """A missing repository is a 502 that names it; a directory that is none is one too."""
    (sources / "plain").mkdir()
    for name in ("missing", "plain"):
        with pytest.raises(SourceUnavailable, match=f"{name}.*check git_url") as caught:
            fetch(GitSource(f"file://{sources}/{name}"), None, settings)
        assert only_failure(caught.value).step == "clone"
        assert store.is_empty


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_repository_of_another_user(make_repo: MakeRepo, settings: Settings, store: Store):
    """Git does not read another user's repository; the message says what does."""
    repository = make_repo()
    for place in (repository.working_dir, repository.git_dir):
        os.chown(place, 12345, 12345)
    with pytest.raises(SourceUnavailable, match=r"belongs to another user.*local_path"):
        fetch(source_of(repository), None, settings)
    assert store.is_empty


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("git@host: Permission denied (publickey).\nfatal: Could not read from remote repository.", "a key that"),
        ("Host key verification failed.", "known_hosts"),
        (
            "ssh: Could not resolve hostname host: Name or service not known\nfatal: Could not read from remote",
            r"cannot be resolved.*\(git: ssh: Could not resolve hostname host",
        ),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", "there is no repository"),
        ("Connection timed out", "that the server can reach it"),
    ],
)
def test_what_ssh_says(
    settings: Settings, store: Store, sources: Path, monkeypatch: pytest.MonkeyPatch, words: str, advice: str
):
    """What an ssh server or ssh itself answers becomes advice, with the words quoted."""
    script = sources / "ssh"
    script.write_text(f"#!/bin/sh\nprintf '%s\\n' '{words}' >&2\nexit 255\n")
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(script))
    with pytest.raises(SourceUnavailable, match=advice) as caught:
        fetch(GitSource("git@example.invalid:group/repo.git"), None, settings)
    assert "\n" not in caught.value.message
    assert store.is_empty


def test_time_limit(make_repo: MakeRepo, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch):
    """A remote that does not answer is given up after the limit, and its helper processes end."""
    script = Path(settings.roots[0]) / "ssh"
    pid_file = Path(settings.roots[0]) / "pid"
    script.write_text(f"#!/bin/sh\necho $$ > {pid_file}\nexec tail -f /dev/null\n")
    script.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(script))
    hasty = settings.model_copy(update={"fetch_timeout": 1.0})
    with pytest.raises(SourceUnavailable, match=r"longer than 1 s.*IOCMNG_FETCH_TIMEOUT"):
        fetch(GitSource("git@example.invalid:group/repo.git"), None, hasty)
    command_line = Path(f"/proc/{pid_file.read_text().strip()}/cmdline")
    assert not command_line.exists() or command_line.read_bytes() == b""  # gone, or dead and not yet collected
    assert store.is_empty


def test_interrupt_leaves_nothing(
    make_repo: MakeRepo, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
):
    """Whatever exception ends a fetch, its staging directory is gone."""
    from iocmng.loading import repository as module

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_tree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(source_of(make_repo()), None, settings)
    assert store.is_empty


def test_full_disk(make_repo: MakeRepo, settings: Settings, tmp_path: Path):
    """A store that cannot be written is the server's trouble, and the message names the place."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    broken = settings.model_copy(update={"state_dir": blocked / "state"})
    with pytest.raises(SourceUnavailable, match=r"cannot keep .*file/state: Not a directory; check its disk"):
        fetch(source_of(make_repo()), None, broken)


def test_what_git_inherits(make_repo: MakeRepo, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """The server's own variables, and those that redirect git, do not reach it; agents, proxies and certificates do."""
    report = Path(settings.roots[0]) / "environment"
    script = Path(settings.roots[0]) / "ssh"
    script.write_text(f"#!/bin/sh\nenv > {report}\nexit 1\n")
    script.chmod(0o755)
    hostile = {"IOCMNG_TOKEN": "t", "RAY_ADDRESS": "r", "GIT_DIR": "/x", "GIT_TRACE": "1", "GIT_CONFIG_PARAMETERS": "x"}
    wanted = {"SSH_AUTH_SOCK": "/agent", "https_proxy": "http://proxy", "GIT_SSL_CAINFO": "/ca.pem"}
    for name, value in {**hostile, **wanted, "GIT_SSH": str(script)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SourceUnavailable):
        fetch(GitSource("ssh://git@example.invalid/repo.git"), None, settings)
    seen = dict(line.partition("=")[::2] for line in report.read_text().splitlines())
    assert not set(hostile) & set(seen)
    assert {name: seen.get(name) for name in wanted} == wanted
    assert (seen["GIT_TERMINAL_PROMPT"], seen["GIT_CONFIG_GLOBAL"], seen["GIT_ALLOW_PROTOCOL"]) == (
        "0",
        "/dev/null",
        "ssh",
    )
