"""What the tests of hostile input need: a server that watches itself, and rows of a table."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from p4p.client.thread import Context
from support import MINIMAL_TASK, Server, make_repository, wait_for

MARK = "HOSTILE_TESTS_OF"
"""Variable by which all processes that descend from the server are known, also those that left its family."""

LIMIT_BYTES = 2 * 1024 * 1024
LIMIT_FILES = 100

NEIGHBOUR = {
    "neighbour.py": MINIMAL_TASK.replace("def execute(self):\n        pass", "def execute(self):\n        self.tick()")
    + "\n    ticks = 0\n\n    def tick(self):\n        self.ticks += 1\n        self.set_pv('TICK', self.ticks)\n",
    "config.yaml": "parameters: {interval: 0.05}\npvs: {outputs: {TICK: {type: int}}}\n",
}

Files = Mapping[str, str | bytes]
Prepare = Callable[[Path], Any]


@dataclass(frozen=True)
class Row:
    """One hostile add.

    Attributes:
        words: What the answer must say.
        status: What it must be.
        body: Laid over the body of the add.
        files: Files of the plugin, beside a good module.
        prepare: Does to the plugin's directory what files cannot say.
        step: The check that must fail; unset: not looked at.
        by_git: Whether the directory is a repository with all of it committed.
    """

    words: str
    status: int = 422
    body: Mapping[str, Any] = field(default_factory=dict)
    files: Files | None = None
    prepare: Prepare | None = None
    step: str | None = None
    by_git: bool = False


def write(directory: Path, files: Files) -> None:
    """Write the files as they are."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


class Watched:
    """A server with a healthy plugin, and all that must be as before after each hostile call."""

    def __init__(self, server: Server, temporary: Path) -> None:
        self.server = server
        self.sources = server.root / "sources"
        self._temporary = temporary
        self._context = Context("pva")

    def begin(self) -> None:
        """Add the neighbour and remember what there is."""
        write(self.server.root / "neighbour", NEIGHBOUR)
        answer = self.server.http.post(
            "/plugins", json={"name": "neighbour", "local_path": str(self.server.root / "neighbour")}
        )
        assert answer.status_code == 201, answer.text
        self._pid = self.server.get("neighbour")["pid"]
        self._wait_for_tick()
        self._kept = self._files()
        self._logged = self.server.log.stat().st_size

    def end(self) -> None:
        """Let go of the neighbour."""
        self._context.close()

    def add(self, row: Row, kind: str = "plugins") -> httpx.Response:
        """Make the plugin's directory and add it."""
        shutil.rmtree(self.sources, ignore_errors=True)
        directory = self.sources / "hostile"
        directory.mkdir(parents=True)
        body: dict[str, Any] = {"name": "hostile", **row.body}
        if row.files is not None or row.prepare is not None:
            write(directory, {"hostile.py": MINIMAL_TASK, **(row.files or {})})
            if row.by_git:
                repository = make_repository(directory, {})
                repository.close()
            if row.prepare is not None:
                body |= row.prepare(directory) or {}
            if not body.keys() & {"git_url", "local_path"}:
                body["git_url" if row.by_git else "local_path"] = str(directory)
        return self.server.http.post(f"/{kind}", content=json.dumps(body), headers={"Content-Type": "application/json"})

    def check(self, answer: httpx.Response, row: Row) -> None:
        """Check that an answer is as the row says, and a problem document."""
        problem = answer.json()
        assert answer.status_code == row.status, answer.text[:2000]
        assert answer.headers["content-type"] == "application/problem+json"
        assert (problem["ok"], problem["message"]) == (False, problem["detail"])
        assert row.words.lower() in problem["detail"].lower(), problem["detail"]
        if row.step is not None:  # a step that runs no code of the author's, whose words are passed on as they are
            assert problem["detail"].isprintable(), problem["detail"]
        assert len(answer.content) < 50_000
        if row.step is not None:
            assert {error["step"] for error in problem["validation"]["errors"]} == {row.step}

    def check_unharmed(self) -> None:
        """Check that the server and its neighbour go on, and that nothing is left of anything else."""
        assert self.server.process.poll() is None, self.server.log.read_text()[-4000:]
        assert self.server.names() == {"neighbour"}
        neighbour = self.server.get("neighbour")
        assert (neighbour["pid"], neighbour["status"], neighbour["restarts"]) == (self._pid, "running", 0)
        self._wait_for_tick()
        wait_until_empty(lambda: sorted(self._files() ^ self._kept), "files as before")
        wait_until_empty(self._strays, "no processes left")

    def clear(self) -> None:
        """Remove what a test that failed has left, for the sake of the next one."""
        for name in self.server.names() - {"neighbour"}:
            self.server.http.delete(f"/plugins/{name}")

    def _wait_for_tick(self) -> None:
        before = self._ticks()
        wait_for(lambda: self._ticks() != before, "the neighbour goes on", 30, 0.02)

    def _ticks(self) -> int:
        return int(self._context.get("HOS:NEIGHBOUR:TICK", timeout=30))

    def _files(self) -> set[str]:
        """Return what lies in the directories of the state, in those for temporary files and in the cache of uv."""
        state = self.server.plugins_dir / ".iocmng"
        kinds = ("staging", "bundles", "packages", "values", "check")
        found = [path for kind in kinds for path in (state / kind).glob("*")]
        found += [path for path in self.server.plugins_dir.glob("*") if path.name != ".iocmng"]
        found += [path for path in self._temporary.glob("*") if path.name != "ray"]
        found += (self.server.root / "uv-cache").rglob(".tmp*")
        return {str(path) for path in found}

    def _strays(self) -> list[str]:
        """Return the processes of this server that are neither Ray's nor the neighbour."""
        mark = f"{MARK}={self.server.root}".encode()
        found = [(pid, _read(pid, "cmdline")) for pid in _all_processes() if mark in _read(pid, "environ")]
        return [f"{pid}: {command!r:.200}" for pid, command in found if not _is_ours(pid, command)]


def wait_until_empty(look: Callable[[], list[str]], what: str) -> None:
    """Wait until there is nothing to be seen; fail with what there is."""
    found: list[str] = []

    def is_empty() -> bool:
        found[:] = look()
        return not found

    try:
        wait_for(is_empty, what, 30)
    except AssertionError:
        raise AssertionError(f"{what}; found {found}") from None


def _is_ours(pid: int, command: bytes) -> bool:
    """Tell whether a process is the server, one of Ray's own, or a worker of Ray that nobody else has made."""
    if command.startswith(b"ray::"):
        return b"raylet" in _read(_parent(pid), "cmdline")
    words = (b"ray", b"iocmng\0server", b"multiprocessing.resource_tracker")
    return not command or any(word in command for word in words)


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _all_processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def make_fifo(path: Path) -> None:
    """Make a named pipe."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """Make the file of a socket, as a process leaves it that listens."""
    os.mknod(path, stat.S_IFSOCK | 0o600)
