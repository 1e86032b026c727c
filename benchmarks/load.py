"""Loads an HTTP server over kept-alive connections, from a process of its own; wrk where that is installed.

`python -m benchmarks.load` reads a Job as JSON from stdin and writes an Outcome as JSON to stdout.
"""

from __future__ import annotations

import contextlib
import json
import math
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.stats import percentile

REQUEST_TIMEOUT = 60.0

_WRK_SCRIPT = """\
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nJSON {"requests": %d, "micros": %d, "p50": %f, "p99": %f, "max": %f, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Job:
    """What to send.

    Attributes:
        port: Port on 127.0.0.1.
        requests: For each connection its method and path; the same one is sent again and again.
        seconds: How long.
        rate: Requests per second on each connection, sent at their planned times even if the answer before was late
            (then as soon as it is there); a latency counts from the planned time. 0: as fast as answers come.
    """

    port: int
    requests: list[tuple[str, str]]
    seconds: float
    rate: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        seconds: How long it took.
        latencies: For each connection, pairs of seconds since the start and latency in seconds.
        errors: Answers that were no success, and broken connections.
    """

    seconds: float
    latencies: list[list[tuple[float, float]]] = field(default_factory=list)
    errors: int = 0

    def all(self) -> list[float]:
        """Return the latencies of all connections."""
        return [latency for connection in self.latencies for _, latency in connection]


class Generator:
    """The load generator's process. Started, it works; `result` waits for its end."""

    def __init__(self, job: Job) -> None:
        self._limit = job.seconds + REQUEST_TIMEOUT + 30
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            text=True,
        )
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(json.dumps(asdict(job)))
        self._process.stdin = None

    def result(self) -> Outcome:
        """Return what came of it."""
        try:
            output, _ = self._process.communicate(timeout=self._limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        if self._process.returncode != 0:
            raise RuntimeError(f"the load generator failed with status {self._process.returncode}")
        return Outcome(**json.loads(output))


def closed_loop(port: int, path: str, connections: int, seconds: float) -> dict[str, Any]:
    """GET a path as fast as the answers come, with wrk if there is one; return rate and latencies in ms."""
    if wrk := shutil.which("wrk"):
        return _wrk(wrk, port, path, connections, seconds)
    outcome = Generator(Job(port, [("GET", path)] * connections, seconds)).result()
    return {"generator": "own", **rate_and_latency(outcome)}


def rate_and_latency(outcome: Outcome) -> dict[str, Any]:
    """Return requests per second and latencies in ms."""
    latencies = outcome.all()
    return {
        "per_second": len(latencies) / outcome.seconds,
        "p50_ms": percentile(latencies, 50) * 1000,
        "p99_ms": percentile(latencies, 99) * 1000,
        "max_ms": max(latencies, default=math.nan) * 1000,
        "errors": outcome.errors,
    }


def _wrk(wrk: str, port: int, path: str, connections: int, seconds: float) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_WRK_SCRIPT)
        script.flush()
        done = subprocess.run(
            [wrk, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", script.name, f"http://127.0.0.1:{port}{path}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + REQUEST_TIMEOUT,
        )
    said = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("JSON "))[5:])
    return {
        "generator": "wrk",
        "per_second": said["requests"] / said["micros"] * 1e6,
        **{f"{name}_ms": said[name] / 1000 for name in ("p50", "p99", "max")},
        "errors": said["errors"],
    }


class _Connection:
    """One kept-alive connection that sends the same request again and again."""

    def __init__(self, job: Job, request: Sequence[str], start: float) -> None:
        method, path = request
        self._address = ("127.0.0.1", job.port)
        self._bytes = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n".encode()
        self._period = 1 / job.rate if job.rate else 0.0
        self._start = start
        self._planned = start
        self._number = 0
        self._received = b""
        self.is_waiting = False
        self.latencies: list[tuple[float, float]] = []
        self.errors = 0
        self.socket = self._connect()

    def due(self) -> float:
        """Return when the next request is planned, on the clock of time.monotonic()."""
        return self._start + self._number * self._period if self._period else 0.0

    def send(self, now: float) -> None:
        """Send the next request."""
        self._planned = self.due() or now
        self._number += 1
        self.is_waiting = True
        self.socket.sendall(self._bytes)

    def receive(self) -> None:
        """Read what is there; note the answer if it is complete."""
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise ConnectionError("the server has closed the connection")
        self._received += piece
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or not _is_complete(head.lower(), body):
            return
        now = time.monotonic()
        self.latencies.append((self._planned - self._start, now - self._planned))
        self.errors += not head.split(b" ", 2)[1].startswith(b"2")
        self.is_waiting, self._received = False, b""

    def reconnect(self) -> None:
        """Begin anew after a connection broke."""
        self.errors += 1
        self.is_waiting, self._received = False, b""
        self.socket.close()
        self.socket = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(self._address, REQUEST_TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _is_complete(head: bytes, body: bytes) -> bool:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return body.endswith(b"0\r\n\r\n")  # chunked


def run(job: Job) -> Outcome:
    """Send and measure; blocks."""
    start = time.monotonic() + 0.05
    connections = [_Connection(job, request, start) for request in job.requests]
    time.sleep(max(0.0, start - time.monotonic()))
    end = start + job.seconds
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while (now := time.monotonic()) < end + REQUEST_TIMEOUT:
            free = [connection for connection in connections if not connection.is_waiting]
            if now >= end and len(free) == len(connections):
                break
            for connection in free:
                if now < end and connection.due() <= now:
                    connection.send(now)
            waits = [connection.due() for connection in connections if not connection.is_waiting]
            timeout = max(0.0, min([*waits, end if now < end else now + 1.0]) - time.monotonic())
            for key, _ in selector.select(timeout):
                _receive(key.data, selector)
    for connection in connections:
        connection.socket.close()
    latencies = [connection.latencies for connection in connections]
    return Outcome(time.monotonic() - start, latencies, sum(connection.errors for connection in connections))


def _receive(connection: _Connection, selector: selectors.BaseSelector) -> None:
    try:
        connection.receive()
    except OSError:
        selector.unregister(connection.socket)
        connection.reconnect()
        selector.register(connection.socket, selectors.EVENT_READ, connection)


def main() -> None:
    """Read a job, do it, write what came of it."""
    outcome = run(Job(**json.load(sys.stdin)))
    with contextlib.suppress(BrokenPipeError):
        json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
