"""What the tests of the store share: a PostgreSQL server of their own, processes that use a store, samples."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import free_port, wait_for

from iocmng.core.source import GitSource
from iocmng.core.spec import FilesRef, PluginSpec
from iocmng.core.state import Cause, Event, Generation, GenerationResult, PluginEntry
from iocmng.settings import Settings
from iocmng.store import SqlStateStore

OpenStore = Callable[..., SqlStateStore]

PASSWORD = "dont-show-this"
PAT = "ghp_notForAnyonesEyes0123456789"


def spec(name: str = "alpha", generation: int = 1, **changes: Any) -> PluginSpec:
    """Return a spec that was started from files."""
    files = FilesRef(f"digest-{generation}", "abcdef0", "main")
    return PluginSpec(name, GitSource("https://git.example.org/p.git"), generation=generation, files=files, **changes)


def entry(name: str = "alpha", newest: int = 1, **changes: Any) -> PluginEntry:
    """Return a plugin as the store keeps it."""
    return PluginEntry(spec(name, newest), newest, **changes)


def generation(name: str, number: int, result: str = "started", message: str = "") -> Generation:
    """Return one generation of a plugin."""
    return Generation(name, number, Cause.RESTART, 1e9 + number, spec(name, number), GenerationResult(result), message)


def event(number: int, plugin: str = "alpha") -> Event:
    """Return an event."""
    return Event(number, 1e9 + number, plugin, "running", "loaded", "it was started", 1)


def names(store: Any) -> list[str]:
    """Return the names of the plugins in a store."""
    return [entry.spec.name for entry in store.load().entries]


class StoreProcess:
    """A process that runs `script` with the store of these settings open as `store`."""

    PREAMBLE = (
        "import os, sys, time, subprocess; from pathlib import Path\n"
        "from iocmng.settings import Settings; from iocmng.store import open_store; from store_support import *\n"
        "settings = Settings(plugins_dir=Path(sys.argv[1]), state_url=sys.argv[2] or None)\n"
        "store = open_store(settings, lock_timeout=30)\n"
        "def say(text): print(text, flush=True)\n"
    )

    def __init__(self, settings: Settings, script: str) -> None:
        url = settings.state_url.get_secret_value() if settings.state_url else ""
        paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.PREAMBLE + script, str(settings.plugins_dir), url],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )

    def line(self) -> str:
        """Return the next line that the process says."""
        assert self.process.stdout
        text = self.process.stdout.readline()
        assert text, f"the process ended with {self.process.wait()}"
        return text.strip()

    def kill(self) -> list[str]:
        """End it with SIGKILL; return what it had still said."""
        self.process.kill()
        assert self.process.stdout
        rest = self.process.stdout.read()
        self.process.wait()
        # A line without its end was not said.
        return [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]


def postgres_binaries() -> Path | None:
    """Return where PostgreSQL's own programs are."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


class Postgres:
    """A PostgreSQL server in a temporary directory, run by a user who is not root."""

    def __init__(self, binaries: Path) -> None:
        self.binaries = binaries
        self.directory = Path(tempfile.mkdtemp(prefix="iocmng-postgres-"))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ["-U", "tester", "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C"]
        self._run("initdb", "-D", str(self.directory / "data"), "--no-sync", *options)

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [*self._as_user, str(self.binaries / program), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(self._command(program, *arguments), check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ("-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.directory), "-c", "fsync=off")
        command = self._command("postgres", "-D", str(self.directory / "data"), *options)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        ready = self._command("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q")
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL answers", 60)

    def stop(self) -> None:
        """Stop the server at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def remove(self) -> None:
        """Stop the server and remove its files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        """Return the URL of a database."""
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> Any:
        """Return a connection of our own."""
        import psycopg

        return psycopg.connect(self.url(database), autocommit=True)

    def new_database(self) -> str:
        """Make a database; return its URL."""
        self._databases += 1
        name = f"state{self._databases}"
        with contextlib.closing(self.connect()) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError("there is no user to run PostgreSQL as")
