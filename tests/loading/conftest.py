"""Fixtures of the loading tests: settings of a store in tmp_path, real git repositories, imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from git import Repo
from loading_support import TASK, Files, Load, MakeRepo, Store, commit_files, write_files

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
def make_repo(sources: Path) -> Iterator[MakeRepo]:
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


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("import_server.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def load(server: subprocess.Popen[str], tmp_path: Path) -> Load:
    """Return a function that writes a plugin, imports it in a fresh process and returns what came of it."""

    def run(files: Files, manifest: dict[str, Any] | None = None, packages: Path | None = None) -> dict[str, Any]:
        directory = tmp_path / "bundle"
        write_files(directory, files)
        request = {
            "directory": str(directory),
            "manifest": manifest or {},
            "packages": str(packages) if packages else None,
        }
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    return run
