"""What the loading tests need: files, commits, tiny wheels, a look into the store."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from git import Actor, Repo

from iocmng.core.source import GitSource
from iocmng.errors import CheckFailure, IocmngError

AUTHOR = Actor("A. Author", "author@example.org")

TASK = """from iocmng import TaskBase


class Monitor(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pass

    def cleanup(self):
        pass
"""

JOB = """from iocmng import JobBase


class Scan(JobBase):
    def initialize(self):
        pass

    def execute(self):
        return 1
"""

Files = Mapping[str, str | bytes]
MakeRepo = Callable[..., Repo]
Load = Callable[..., dict[str, Any]]


def write_files(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit_files(repository: Repo, files: Files, message: str = "change") -> str:
    root = Path(repository.working_dir)
    write_files(root, files)
    repository.git.add("--all")
    return repository.index.commit(message, author=AUTHOR, committer=AUTHOR).hexsha


def make_wheel(directory: Path, name: str, version: str, requires: tuple[str, ...] = (), code: str = "") -> Path:
    """Write a wheel with one package that knows its version."""
    directory.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": code or f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {requirement}\n" for requirement in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, content)
    return wheel


class Store:
    """What a fetch left in the state directory."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def names(self, kind: str) -> list[str]:
        directory = self.state / kind
        return sorted(path.name for path in directory.iterdir()) if directory.exists() else []

    @property
    def is_empty(self) -> bool:
        return not any(self.names(kind) for kind in ("staging", "bundles", "packages"))


def only_failure(error: IocmngError) -> CheckFailure:
    assert len(error.failures) == 1
    return error.failures[0]


def source_of(repository: Repo, path: str = "", branch: str | None = None, commit: str | None = None) -> GitSource:
    return GitSource(f"file://{repository.working_dir}", path, branch, commit)


def failure(result: dict[str, Any]) -> tuple[str, str, str | None, int | None]:
    (entry,) = result["failures"]
    return entry["step"], entry["message"], entry["file"], entry["line"]
