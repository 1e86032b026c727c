"""The servers that the benchmarks measure; one at a time, so that none disturbs another."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import httpx

from benchmarks.processes import Process, descendants, end_by_pid, tree
from benchmarks.sources import MONITOR, repository_files
from tests.support import Server, make_repository

Proxy = Literal["python", "haproxy"]

PREFIX = "BENCH"
READY_TIMEOUT = 180.0
POLL = 0.05
PARALLEL_ADDS = 3


class BenchServer(Server):
    """An iocmng-server in a process of its own, with a repository that holds all plugins of the benchmarks.

    Attributes:
        phases: Seconds from the start of the process until each of its processes was first seen by its role, until
            something listened on the port, and until the first 200 of /readyz ("ready").
    """

    def __init__(self, root: Path, proxy: Proxy) -> None:
        make_repository(root / "source", repository_files())
        self.url = str(root / "source")
        self.proxy = proxy
        self.phases: dict[str, float] = {}
        started = time.monotonic()
        super().__init__(root, PREFIX, IOCMNG_SERVE_PROXY=proxy)
        try:
            self._wait(started)
        except BaseException:
            self.kill()
            raise

    def add_plugin(self, name: str, path: str, **body: Any) -> dict[str, Any]:
        """Add a plugin from the repository; return the answer's body."""
        answer = self.http.post("/plugins", json={"name": name, "git_url": self.url, "path": path, **body})
        if answer.status_code != 201:
            raise RuntimeError(f"adding {name} was answered with {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    def plugins(self) -> list[dict[str, Any]]:
        """Return all plugin objects."""
        return self.http.get("/plugins").raise_for_status().json()["plugins"]

    def set_monitors(self, count: int) -> None:
        """Add or remove monitors until there are so many, and nothing else."""
        wanted = {monitor_name(number) for number in range(count)}
        present = self.names()
        with ThreadPoolExecutor(PARALLEL_ADDS) as pool:
            for name in sorted(present - wanted):
                pool.submit(self.http.delete, f"/plugins/{name}")
            for done in [pool.submit(self.add_plugin, name, MONITOR) for name in sorted(wanted - present)]:
                done.result()

    def processes(self) -> list[Process]:
        """Return the server's processes with their roles."""
        return tree(self.process.pid, self.plugin_pids())

    def plugin_pids(self) -> set[int]:
        """Return the process ids of the plugins."""
        return {plugin["pid"] for plugin in self.plugins() if plugin["pid"]}

    def end(self) -> dict[str, Any]:
        """Stop the server; return how long that took and what it left behind (and is killed now)."""
        pids = list(descendants(self.process.pid))
        started = time.monotonic()
        try:
            status: int | None = self.stop(90)
        except subprocess.TimeoutExpired:
            status = None
        seconds = time.monotonic() - started
        return {"status": status, "seconds": seconds, "left_behind": end_by_pid(pids)}

    def kill(self) -> None:
        """End the server and everything below it, whatever state it is in."""
        self.http.close()
        pids = list(descendants(self.process.pid))
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        end_by_pid(pids, wait=3)

    def _wait(self, started: float) -> None:
        while (now := time.monotonic()) < started + READY_TIMEOUT:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log.read_text()[-2000:]}")
            for process in tree(self.process.pid):
                self.phases.setdefault(process.role, now - started)
            if _listens(self.port):
                self.phases.setdefault("port", time.monotonic() - started)
                with contextlib.suppress(httpx.TransportError):
                    if self.http.get("/readyz").status_code == 200:
                        self.phases["ready"] = time.monotonic() - started
                        return
            time.sleep(POLL)
        raise RuntimeError(f"the server was not ready within {READY_TIMEOUT} s: {self.log.read_text()[-2000:]}")


class Lab:
    """Hands out the one running server, and ends everything at last.

    Attributes:
        plugin_count: How many plugins make the full load.
        facts: What a benchmark found that another one needs.
        stops: What `BenchServer.end` said of each server.
    """

    def __init__(self, plugin_count: int) -> None:
        self.plugin_count = plugin_count
        self.facts: dict[str, Any] = {}
        self.stops: list[dict[str, Any]] = []
        self._root = Path(tempfile.mkdtemp(prefix="iocmng-bench-"))
        self._server: BenchServer | None = None
        self._number = 0

    def server(self, proxy: Proxy = "python") -> BenchServer:
        """Return the running server, if it has this proxy; else a fresh one."""
        if self._server is not None and self._server.proxy == proxy:
            return self._server
        return self.fresh(proxy)

    def fresh(self, proxy: Proxy = "python") -> BenchServer:
        """Return a server that has just started and has no plugins."""
        self.stop()
        self._number += 1
        root = self._root / str(self._number)
        root.mkdir()
        self._server = BenchServer(root, proxy)
        return self._server

    def empty(self, proxy: Proxy = "python") -> BenchServer:
        """Return a server without plugins: the running one if that is so, else a fresh one."""
        server = self.server(proxy)
        return self.fresh(proxy) if server.names() else server

    def stop(self) -> dict[str, Any] | None:
        """Stop the running server, if there is one; return how that went."""
        server, self._server = self._server, None
        if server is None:
            return None
        count = len(server.names())
        self.stops.append({"proxy": server.proxy, "plugins": count, **server.end()})
        return self.stops[-1]

    def close(self) -> None:
        """End everything and remove all files."""
        if self._server is not None:
            self._server.kill()
        shutil.rmtree(self._root, ignore_errors=True)


@contextlib.contextmanager
def in_background(function: Any, *arguments: Any) -> Iterator[threading.Thread]:
    """Call a function in a thread while the block runs, and wait for it at the end."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def monitor_name(number: int) -> str:
    """Return the name of the n-th monitor plugin."""
    return f"m{number:03d}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
