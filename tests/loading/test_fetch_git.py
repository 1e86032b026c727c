"""Fetching from git: what is taken, what is refused, and what is left behind."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from loading_support import TASK, MakeRepo, Store, commit_files, source_of, write_files

from iocmng.core.source import GitSource
from iocmng.loading import tree
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


def bundle_files(directory: str) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in sorted(tree.walk(Path(directory)))}


def test_default_branch(make_repo: MakeRepo, settings: Settings, store: Store):
    """Without a branch the remote's default branch is taken, and the bundle tells its name and the full SHA."""
    repository = make_repo({"monitor.py": TASK, "config.yaml": "prefix: MON\n", "data/table.txt": "1 2 3\n"})
    bundle = fetch(source_of(repository), None, settings)
    assert (bundle.branch, bundle.commit) == ("main", repository.head.commit.hexsha)
    assert bundle.manifest.prefix == "MON"
    assert bundle.packages is None
    assert bundle_files(bundle.directory) == {
        "monitor.py": TASK,
        "config.yaml": "prefix: MON\n",
        "data/table.txt": "1 2 3\n",
    }
    assert store.names("bundles") == [bundle.digest]
    assert store.names("staging") == []


@pytest.mark.parametrize(("name", "url"), [("50%-repo", "{}/50%-repo"), ("my repo", "file://{}/my%20repo")])
def test_forms_of_a_local_repository(make_repo: MakeRepo, settings: Settings, sources: Path, name: str, url: str):
    """A plain path is taken as it is, and a file: URL with its percent signs decoded, as git does."""
    repository = make_repo(name=name)
    assert fetch(GitSource(url.format(sources)), None, settings).commit == repository.head.commit.hexsha


def test_branch_tag_and_commit(make_repo: MakeRepo, settings: Settings):
    """A branch, a light tag, an annotated tag, a full and an abbreviated SHA each choose their own commit."""
    repository = make_repo()
    first = repository.head.commit.hexsha
    repository.create_tag("light")
    repository.create_tag("annotated", message="release")
    second = commit_files(repository, {"monitor.py": TASK + "# second\n"})
    repository.create_head("side", first)
    third = commit_files(repository, {"monitor.py": TASK + "# third\n"})

    def commit_of(branch: str | None = None, commit: str | None = None) -> tuple[str | None, str | None]:
        bundle = fetch(source_of(repository, "", branch, commit), None, settings)
        assert Path(bundle.directory, "monitor.py").read_text().endswith("# second\n") == (bundle.commit == second)
        return bundle.branch, bundle.commit

    assert commit_of() == ("main", third)
    assert commit_of("side") == ("side", first)
    assert commit_of("light") == ("light", first)
    assert commit_of("annotated") == ("annotated", first)
    assert commit_of(commit=second) == ("main", second)
    assert commit_of("main", second[:9]) == ("main", second)


def test_branch_wins_over_tag(make_repo: MakeRepo, settings: Settings):
    """Where a branch and a tag have the same name, the branch is meant, as in `git clone --branch`."""
    repository = make_repo()
    repository.create_tag("both")
    second = commit_files(repository, {"monitor.py": TASK + "# second\n"})
    repository.create_head("both")
    assert fetch(source_of(repository, branch="both"), None, settings).commit == second


def test_detached_head_has_no_branch(make_repo: MakeRepo, settings: Settings):
    """A remote whose HEAD is on no branch is fetched, and no branch is invented for it."""
    repository = make_repo()
    repository.git.checkout("--detach")
    bundle = fetch(source_of(repository), None, settings)
    assert (bundle.branch, bundle.commit) == (None, repository.head.commit.hexsha)


def test_full_fetch_where_single_commits_are_not_given(
    make_repo: MakeRepo, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A server that gives out branches only still serves a commit in their history."""
    from iocmng.loading import git_process

    monkeypatch.setitem(git_process._CONFIGURATION, "protocol.version", "0")
    repository = make_repo()
    first = repository.head.commit.hexsha
    commit_files(repository, {"monitor.py": TASK + "# second\n"})
    assert fetch(source_of(repository, commit=first), None, settings).commit == first


def test_sub_directory_only(make_repo: MakeRepo, settings: Settings):
    """Only the directory that `path` names becomes the bundle."""
    repository = make_repo({"README.md": "all\n", "plugins/a/a.py": TASK, "plugins/b/b.py": TASK})
    bundle = fetch(source_of(repository, "plugins/b/"), None, settings)
    assert bundle_files(bundle.directory) == {"b.py": TASK}


def test_executable_bit_and_inner_links(make_repo: MakeRepo, settings: Settings):
    """Modes are kept as git knows them, and a symbolic link inside the tree stays one."""
    repository = make_repo()
    root = Path(repository.working_dir)
    write_files(root, {"tool.sh": "#!/bin/sh\n", "lib/real.py": "x = 1\n"})
    (root / "tool.sh").chmod(0o755)
    (root / "alias.py").symlink_to("lib/real.py")
    commit_files(repository, {})
    directory = Path(fetch(source_of(repository), None, settings).directory)
    assert os.access(directory / "tool.sh", os.X_OK)
    assert not os.access(directory / "monitor.py", os.X_OK)
    assert (directory / "alias.py").readlink() == Path("lib/real.py")


def test_equal_trees_share_a_bundle(make_repo: MakeRepo, settings: Settings, store: Store):
    """A bundle is named by its content: other commits and repositories with the same files find it."""
    first = fetch(source_of(make_repo(name="one")), None, settings)
    second = fetch(source_of(make_repo(name="two")), None, settings)
    assert first.digest == second.digest
    assert store.names("bundles") == [first.digest]


def test_mode_and_content_change_the_digest(make_repo: MakeRepo, settings: Settings):
    """Every change of contents, names or executable bits gives another bundle."""
    repository = make_repo()
    root = Path(repository.working_dir)
    digests = {fetch(source_of(repository), None, settings).digest}
    (root / "monitor.py").chmod(0o755)
    commit_files(repository, {})
    digests.add(fetch(source_of(repository), None, settings).digest)
    commit_files(repository, {"monitor.py": TASK + "\n"})
    digests.add(fetch(source_of(repository), None, settings).digest)
    repository.git.mv("monitor.py", "renamed.py")
    commit_files(repository, {})
    digests.add(fetch(source_of(repository), None, settings).digest)
    assert len(digests) == 4


def test_bundle_that_was_changed_is_replaced(make_repo: MakeRepo, settings: Settings):
    """What was asked for runs, even if the stored bundle of the same digest was written to meanwhile."""
    source = source_of(make_repo())
    bundle = fetch(source, None, settings)
    Path(bundle.directory, "monitor.py").write_text("raise SystemExit\n")
    Path(bundle.directory, "extra.py").write_text("")
    again = fetch(source, None, settings)
    assert again.digest == bundle.digest
    assert bundle_files(again.directory) == {"monitor.py": TASK}


def test_bytecode_in_the_store_is_no_change(make_repo: MakeRepo, settings: Settings):
    """The __pycache__ that an import leaves in a bundle does not make it another one."""
    source = source_of(make_repo())
    bundle = fetch(source, None, settings)
    cache = Path(bundle.directory, "__pycache__")
    cache.mkdir()
    (cache / "monitor.cpython-311.pyc").write_bytes(b"")
    fetch(source, None, settings)
    assert cache.exists()


def test_concurrent_fetches(make_repo: MakeRepo, settings: Settings, store: Store):
    """Fetches of the same content at the same time all succeed and share one bundle."""
    source = source_of(make_repo())
    barrier = threading.Barrier(4)

    def work(_: int) -> str:
        barrier.wait()
        return fetch(source, None, settings).digest

    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(work, range(4)))
    assert store.names("bundles") == sorted(digests)
    assert len(digests) == 1
    assert store.names("staging") == []


def test_no_git_directory_and_no_caches(make_repo: MakeRepo, settings: Settings):
    """A bundle holds neither git's files nor bytecode that was committed by mistake."""
    repository = make_repo({"monitor.py": TASK, "__pycache__/monitor.cpython-311.pyc": b"\0"})
    assert bundle_files(fetch(source_of(repository), None, settings).directory) == {"monitor.py": TASK}


def test_filters_and_hooks_do_not_run(make_repo: MakeRepo, settings: Settings, tmp_path: Path):
    """Attributes of the repository (filters, LFS) leave the files as they are committed; no hook runs."""
    repository = make_repo({"monitor.py": TASK, ".gitattributes": "*.py filter=lfs eol=crlf\n"})
    trace = tmp_path / "hook-ran"
    hook = Path(repository.git_dir, "hooks", "post-checkout")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
    hook.chmod(0o755)
    bundle = fetch(source_of(repository), None, settings)
    assert Path(bundle.directory, "monitor.py").read_bytes() == TASK.encode()
    assert not trace.exists()
