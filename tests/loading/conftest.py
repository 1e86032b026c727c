"""Fixtures of the loading tests: settings of a store in tmp_path, real git repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git import Repo
from loading_support import TASK, Files, Store, commit_files

from iocmng.settings import Settings


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The one local root."""
    directory = tmp_path / "sources"
    directory.mkdir()
    return directory


@pytest.fixture
def settings(tmp_path: Path, sources: Path) -> Settings:
    return Settings(plugins_dir=tmp_path / "plugins", local_roots=(sources,), fetch_timeout=30, requirements_timeout=30)


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.state)


@pytest.fixture
def make_repo(sources: Path) -> Iterator[Callable[..., Repo]]:
    """Return a maker of repositories below the local root, each with one commit."""
    made: list[Repo] = []

    def make(files: Files | None = None, name: str = "repo") -> Repo:
        repository = Repo.init(sources / name, initial_branch="main")
        with repository.config_writer() as config:
            config.set_value("commit", "gpgsign", "false")
        commit_files(repository, files or {"monitor.py": TASK}, "first")
        made.append(repository)
        return repository

    yield make
    for repository in made:
        repository.close()
