"""Secrets that a test hides in a server, and where it looks for them."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
from support import Server

_SESSION = re.compile(rb"/[^\0=]*/session_[0-9_-]+")
_CHUNK = 1 << 24


def spellings(secret: str) -> list[bytes]:
    """Return the forms in which a secret may be found: as it is, within Basic authentication, and line by line."""
    lines = [line for line in secret.splitlines() if not line.startswith("-----")]
    if len(lines) > 1:
        return [line.encode() for line in lines[1:-1]]  # the first and the last line of all keys are alike
    return [secret.encode(), base64.b64encode(f"oauth2:{secret}".encode()).rstrip(b"=")[:-1]]


class Watch:
    """Looks for secrets in everything that a server shows and leaves.

    Attributes:
        found: Where which secret was seen.
        looks: How often all processes were looked at.
    """

    def __init__(self, server: Server, secrets: dict[str, str]) -> None:
        self.server = server
        self.found: set[tuple[str, str]] = set()
        self.looks = 0
        self.seen_commands: set[bytes] = set()
        self.events = 0
        self._needles = {name: spellings(secret) for name, secret in secrets.items()}
        self._done = threading.Event()
        server.http.event_hooks = {"response": [self._answered]}

    def search(self, text: bytes, where: str) -> None:
        """Note every secret that stands in a text."""
        for name, needles in self._needles.items():
            if any(needle in text for needle in needles):
                self.found.add((name, where))

    def _answered(self, response: httpx.Response) -> None:
        self.search(response.read() + str(response.headers).encode(), f"answer to {response.request.url}")

    def processes(self) -> None:
        """Look at command line and environment of all processes that the server has started."""
        for pid in self.server.descendants():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                self.seen_commands.add(command)
                self.search(command, f"command line {command[:80]!r}")
                self.search(Path(f"/proc/{pid}/environ").read_bytes(), f"environment of {command[:80]!r}")
        self.looks += 1

    def files(self, directory: Path) -> int:
        """Look into all files below a directory; return how many there are."""
        count = 0
        for here, _, names in os.walk(directory):
            for name in names:
                with contextlib.suppress(OSError):
                    self.search(Path(here, name).read_bytes(), f"file {Path(here, name)}")
                    count += 1
        return count

    def memory(self, words: bytes, surely: bytes) -> None:
        """Look into the memory of the server's process with these words in its command line.

        Args:
            words: Name the process.
            surely: What its memory holds in any case; else nothing was seen at all.
        """
        seen = False
        (pid,) = self.server.processes_with(words)
        for start, end in _writable(pid):
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/mem", "rb", 0) as memory:  # noqa: PTH123
                memory.seek(start)
                while memory.tell() < end and (chunk := memory.read(min(_CHUNK, end - memory.tell()))):
                    self.search(chunk, f"memory of {words.decode()}")
                    seen = seen or surely in chunk
        assert seen, f"the memory of {words!r} could not be read"

    def session(self) -> Path:
        """Return the directory of the server's Ray."""
        (pid,) = self.server.processes_with(b"gcs_server")
        found = _SESSION.search(Path(f"/proc/{pid}/cmdline").read_bytes())
        assert found
        return Path(os.fsdecode(found[0]))

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watch]:
        """Look at all processes and all events until the block ends."""
        threads = [threading.Thread(target=work) for work in (self._keep_looking, self._listen)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _keep_looking(self) -> None:
        while not self._done.is_set():
            self.processes()

    def _listen(self) -> None:
        with httpx.Client(base_url=self.server.http.base_url, timeout=httpx.Timeout(10, read=0.5)) as http:
            while not self._done.is_set():
                with contextlib.suppress(httpx.TransportError), http.stream("GET", "/events") as stream:
                    for line in stream.iter_lines():
                        self.events += line.startswith("event:")
                        self.search(line.encode(), "events")
                        if self._done.is_set():
                            return


def _writable(pid: int) -> Iterable[tuple[int, int]]:
    """Yield the ranges of a process's memory that it can write, without the shared object store."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        where, access, *_ = line.split()
        if access == "rw-p":
            start, _, end = where.partition("-")
            yield int(start, 16), int(end, 16)
