"""A repository below a local root that leads out of it is refused; git would follow it with the server's rights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from git import Repo
from loading_support import TASK, Store, commit_files, only_failure

from iocmng.core.source import GitSource, LocalSource
from iocmng.errors import PluginRejected, SourceUnavailable
from iocmng.loading.fetch import fetch
from iocmng.settings import Settings


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A repository outside of the local roots."""
    repository = Repo.init(tmp_path / "private", initial_branch="main")
    commit_files(repository, {"monitor.py": TASK})
    repository.close()
    return tmp_path / "private"


def gitfile(private: Path, place: Path) -> None:
    (place / ".git").write_text(f"gitdir: {private}/.git\n")


def gitfile_relative(private: Path, place: Path) -> None:
    (place / ".git").write_text("gitdir: ../../private/.git\n")


def link(private: Path, place: Path) -> None:
    (place / ".git").symlink_to(private / ".git")


def bare_link(private: Path, place: Path) -> None:
    (place / "HEAD").write_text("ref: refs/heads/main\n")
    for name in ("objects", "refs"):
        (place / name).symlink_to(private / ".git" / name)


def worktree(private: Path, place: Path) -> None:
    """With a `commondir` in a directory of its own."""
    git = place / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "commondir").write_text(f"{private}/.git\n")


def clone_of(private: Path, place: Path, *options: str) -> Path:
    Repo.clone_from(str(private), place, multi_options=list(options)).close()
    return place / ".git" / "objects"


def alternates(private: Path, place: Path) -> None:
    clone_of(private, place, "--shared")


def alternates_quoted(private: Path, place: Path) -> None:
    file = clone_of(private, place, "--shared") / "info" / "alternates"
    file.write_text(f'"{file.read_text().strip()}"\n')


def alternates_of_alternates(private: Path, place: Path) -> None:
    between = clone_of(private, place.parent / "between", "--shared")
    (clone_of(private, place, "--shared") / "info" / "alternates").write_text(f"{between}\n")


def linked_pack(private: Path, place: Path) -> None:
    pack = clone_of(private, place, "--no-local") / "pack"
    for file in [*pack.iterdir()]:
        file.rename(private / file.name)
        file.symlink_to(private / file.name)


WAYS_OUT = [
    *(gitfile, gitfile_relative, link, bare_link, worktree),
    *(alternates, alternates_quoted, alternates_of_alternates, linked_pack),
]


@pytest.mark.parametrize("way", WAYS_OUT, ids=lambda way: way.__name__)
def test_a_way_out_is_refused(
    private: Path, sources: Path, settings: Settings, store: Store, way: Callable[[Path, Path], None]
):
    """Whatever git would follow: the sentence names the file and what to do, and the repository is not read."""
    place = sources / "plugin"
    place.mkdir()
    way(private, place)
    with pytest.raises(PluginRejected, match=r"leads out of .*sources\): see .*clone.*IOCMNG_LOCAL_ROOTS") as caught:
        fetch(GitSource(str(place)), None, settings)
    assert only_failure(caught.value).step == "clone"
    assert str(private) not in str(caught.value)
    assert store.is_empty


@pytest.mark.parametrize("way", WAYS_OUT, ids=lambda way: way.__name__)
def test_a_way_is_followed_within_the_roots(
    private: Path, sources: Path, settings: Settings, way: Callable[[Path, Path], None]
):
    """Worktrees, submodules and clones with shared objects are as good as others where the roots hold all of it."""
    place = sources / "plugin"
    place.mkdir()
    way(private, place)
    wide = settings.model_copy(update={"local_roots": (sources, private)})
    if way is alternates_quoted:
        with pytest.raises(PluginRejected, match="leads out"):
            fetch(GitSource(str(place)), None, wide)
    else:
        head = Repo(private).head.commit.hexsha
        assert fetch(GitSource(str(place)), None, wide).commit == head


def test_a_directory_beside_it_is_not_taken_for_it(private: Path, sources: Path, settings: Settings):
    """Where NAME is no repository, git would try NAME.git; beside a root that would be outside of it."""
    Repo.clone_from(str(private), sources.with_name("sources.git"), bare=True).close()
    with pytest.raises(SourceUnavailable, match="there is no repository at"):
        fetch(GitSource(str(sources)), None, settings)


def test_links_among_the_files_do_not_matter(private: Path, sources: Path, settings: Settings):
    """What lies in the working tree is not read: only what is committed is."""
    place = sources / "plugin"
    clone_of(private, place, "--no-local")
    (place / "link").symlink_to(private)
    assert fetch(GitSource(str(place)), None, settings).commit == Repo(private).head.commit.hexsha


def test_files_beside_a_way_out_belong_to_no_commit(private: Path, sources: Path, settings: Settings):
    """A local_path is copied as it is; what a repository elsewhere would say of it is not asked."""
    place = sources / "plugin"
    place.mkdir()
    gitfile(private, place)
    (place / "monitor.py").write_text(TASK)
    assert fetch(LocalSource(str(place)), None, settings).commit is None
    wide = settings.model_copy(update={"local_roots": (sources, private)})
    assert fetch(LocalSource(str(place)), None, wide).commit is not None
