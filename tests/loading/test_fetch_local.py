"""Fetching from a directory of the server's machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from loading_support import TASK, MakeRepo, Store, commit_files, only_failure, write_files

from iocmng.core.source import GitSource, LocalSource
from iocmng.errors import PluginRejected
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


def refused(source: LocalSource, settings: Settings, store: Store, words: str, file: str | None = None) -> None:
    with pytest.raises(PluginRejected, match=words) as caught:
        fetch(source, None, settings)
    failure = only_failure(caught.value)
    assert (failure.step, failure.file) == ("clone", file)
    assert store.is_empty


def names(directory: str) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*") if not path.is_dir())


def test_directory_is_copied(sources: Path, settings: Settings):
    """The directory becomes the bundle, without git's files, caches and virtual environments; it has no commit."""
    write_files(
        sources / "plugin",
        {"monitor.py": TASK, "lib/a.py": "", ".git/x": "", "lib/__pycache__/a.pyc": b"", ".venv/bin/python": ""},
    )
    bundle = fetch(LocalSource(str(sources / "plugin")), None, settings)
    assert names(bundle.directory) == ["lib/a.py", "monitor.py"]
    assert (bundle.commit, bundle.branch) == (None, None)


def test_path_below_the_directory(sources: Path, settings: Settings):
    """`path` chooses a directory below local_path."""
    write_files(sources, {"all/a/a.py": TASK, "all/b/b.py": TASK})
    assert names(fetch(LocalSource(str(sources / "all"), "b"), None, settings).directory) == ["b.py"]


def test_relative_directory(sources: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """A relative local_path is taken from the working directory."""
    write_files(sources, {"plugin/monitor.py": TASK})
    monkeypatch.chdir(sources)
    assert names(fetch(LocalSource("plugin"), None, settings).directory) == ["monitor.py"]


def test_same_digest_as_from_git(make_repo: MakeRepo, settings: Settings):
    """The same files give the same bundle, wherever they come from."""
    repository = make_repo({"monitor.py": TASK, "tool.sh": "#!/bin/sh\n"})
    Path(repository.working_dir, "tool.sh").chmod(0o755)
    Path(repository.working_dir, "empty").mkdir()
    commit_files(repository, {})
    place = str(repository.working_dir)
    assert fetch(LocalSource(place), None, settings).digest == fetch(GitSource(place), None, settings).digest


def test_commit_of_a_clean_tree(make_repo: MakeRepo, settings: Settings):
    """Files that are exactly those of the surrounding repository's HEAD carry its commit; caches do not matter."""
    repository = make_repo({"plugin/monitor.py": TASK, "other/x.py": ""})
    root = Path(repository.working_dir)
    write_files(root, {"plugin/__pycache__/monitor.pyc": b"", "other/x.py": "changed = 1\n"})
    bundle = fetch(LocalSource(str(root), "plugin"), None, settings)
    assert bundle.commit == repository.head.commit.hexsha


@pytest.mark.parametrize("change", [{"plugin/monitor.py": TASK + "\n"}, {"plugin/new.py": ""}])
def test_no_commit_for_changed_files(make_repo: MakeRepo, settings: Settings, change: dict[str, str]):
    """Changed or added files belong to no commit, so none is claimed."""
    repository = make_repo({"plugin/monitor.py": TASK})
    write_files(Path(repository.working_dir), change)
    assert fetch(LocalSource(str(repository.working_dir), "plugin"), None, settings).commit is None


def test_filters_of_the_surrounding_repository_do_not_run(make_repo: MakeRepo, settings: Settings, tmp_path: Path):
    """Looking for the commit runs nothing that the repository configures."""
    repository = make_repo({"monitor.py": TASK, ".gitattributes": "*.py filter=spy\n"})
    trace = tmp_path / "ran"
    with repository.config_writer() as config:
        config.set_value('filter "spy"', "clean", f"touch {trace}")
        config.set_value("core", "fsmonitor", f"touch {trace}")
    os.utime(Path(repository.working_dir, "monitor.py"))
    fetch(LocalSource(str(repository.working_dir)), None, settings)
    assert not trace.exists()


def test_state_below_the_directory_is_left_out(sources: Path, settings: Settings):
    """A store that lies inside the copied directory is not copied into itself."""
    write_files(sources, {"monitor.py": TASK})
    inside = settings.model_copy(update={"state_dir": sources / ".iocmng"})
    assert names(fetch(LocalSource(str(sources)), None, inside).directory) == ["monitor.py"]


def test_outside_of_the_local_roots(sources: Path, settings: Settings, store: Store, tmp_path: Path):
    """The directory must lie below a local root, links and `..` resolved; the way out is named."""
    write_files(tmp_path / "elsewhere", {"monitor.py": TASK})
    (sources / "door").symlink_to(tmp_path / "elsewhere")
    for place in (tmp_path / "elsewhere", sources / ".." / "elsewhere", sources / "door"):
        refused(LocalSource(str(place)), settings, store, "local_path .* outside .* IOCMNG_LOCAL_ROOTS")
    refused(LocalSource(str(sources), "door"), settings, store, "path .* outside .* IOCMNG_LOCAL_ROOTS")
    refused(LocalSource(str(sources), "../elsewhere"), settings, store, "without '..'")


def test_missing_directory(sources: Path, settings: Settings, store: Store):
    """A directory that is not there is named."""
    refused(LocalSource(str(sources / "missing")), settings, store, "no directory .*missing on the server; check")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.py"])
def test_links_that_leave_the_directory(sources: Path, settings: Settings, store: Store, target: str):
    """The link rules of repositories hold for directories."""
    write_files(sources, {"plugin/monitor.py": TASK, "secret.py": ""})
    (sources / "plugin" / "link.py").symlink_to(target)
    refused(LocalSource(str(sources / "plugin")), settings, store, "put a copy", "link.py")


def test_special_files(sources: Path, settings: Settings, store: Store):
    """Pipes are refused without waiting for their other end; sockets are refused too."""
    write_files(sources, {"plugin/monitor.py": TASK})
    os.mkfifo(sources / "plugin" / "pipe")
    refused(LocalSource(str(sources / "plugin")), settings, store, "no regular file", "pipe")
    (sources / "plugin" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sources / "plugin" / "s"))
        refused(LocalSource(str(sources / "plugin")), settings, store, "cannot read .*plugin/s")


def test_limits(sources: Path, settings: Settings, store: Store):
    """The limits of size and number hold for directories."""
    write_files(sources, {"plugin/monitor.py": TASK, "plugin/data.bin": b"\0" * 5000})
    small = settings.model_copy(update={"fetch_max_bytes": 4096})
    refused(LocalSource(str(sources / "plugin")), small, store, "larger than 4096 bytes.*IOCMNG_FETCH_MAX_BYTES")
    few = settings.model_copy(update={"fetch_max_files": 1})
    refused(LocalSource(str(sources / "plugin")), few, store, "more than 1 files.*IOCMNG_FETCH_MAX_FILES")
