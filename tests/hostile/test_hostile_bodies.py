"""What is sent over the wire: bodies of every size, speed, form and packing."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from hostile_support import Row, Watched

pytestmark = pytest.mark.thorough

GOOD = b'{"name": "hostile", "git_url": "https://localhost:1/x"}'
MANY = 50 * 1024 * 1024


class Wire:
    """One connection, written byte by byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60)

    def begin(self, *headers: str, method: str = "POST", path: str = "/api/v1/plugins") -> None:
        """Send the head of a call."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers, "", ""]
        self.send("\r\n".join(lines).encode())

    def send(self, data: bytes) -> bool:
        """Send; return False if the server takes no more."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, str]:
        """Return the status and all that follows."""
        received = b""
        self.socket.settimeout(60)
        try:
            while b"\r\n\r\n" not in received or b"}" not in received.partition(b"\r\n\r\n")[2]:
                piece = self.socket.recv(65536)
                if not piece:
                    break
                received += piece
        except ConnectionResetError:
            pass
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0, body.decode()


@pytest.fixture
def wire(watched: Watched) -> Iterator[Wire]:
    """A connection to the server."""
    opened = Wire(watched.server.port)
    yield opened
    opened.socket.close()


def test_a_body_that_is_declared_too_large(wire: Wire):
    """50 MB are refused by their declared length, before they are sent."""
    wire.begin(f"Content-Length: {MANY}")
    status, text = wire.answer()
    assert status == 413
    assert "IOCMNG_MAX_BODY_BYTES" in text


def chunks(size: int) -> Iterator[bytes]:
    """Yield chunks of this many bytes together."""
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    yield from (piece for _ in range(size // 65536))


def test_a_body_that_grows_too_large(wire: Wire):
    """50 MB in chunks are refused as soon as the limit is passed."""
    wire.begin("Transfer-Encoding: chunked")
    for piece in chunks(MANY):
        if not wire.send(piece):
            break
    status, text = wire.answer()
    # The answer is lost where the system resets a connection that has more to say.
    assert status in (413, 0)
    assert status == 0 or "IOCMNG_MAX_BODY_BYTES" in text


SLOW: dict[str, Callable[[Wire], None]] = {
    "nothing": lambda wire: wire.begin("Content-Length: 100"),
    "half": lambda wire: (wire.begin(f"Content-Length: {len(GOOD)}"), wire.send(GOOD[:20]))[0],
    "half a chunk": lambda wire: (wire.begin("Transfer-Encoding: chunked"), wire.send(b"ff\r\nabc"))[0],
    "no last chunk": lambda wire: (
        wire.begin("Transfer-Encoding: chunked"),
        wire.send(b"%x\r\n%s\r\n" % (len(GOOD), GOOD)),
    )[0],
}


@pytest.mark.parametrize("case", SLOW)
def test_a_body_that_does_not_come(wire: Wire, case: str):
    """A body that is half sent is waited for as long as the setting says, and no longer."""
    SLOW[case](wire)
    status, text = wire.answer()
    assert status == 408
    assert "IOCMNG_BODY_TIMEOUT" in text


def test_a_body_that_comes_byte_by_byte(wire: Wire):
    """The limit is for the whole body: a byte now and then does not prolong it."""
    wire.begin("Content-Length: 1000")
    wire.socket.settimeout(0.2)
    end = time.monotonic() + 60
    received = b""
    while not received and time.monotonic() < end:
        wire.send(b" ")
        try:
            received = wire.socket.recv(65536)
        except TimeoutError:
            continue
    assert received.startswith(b"HTTP/1.1 408")


def test_a_caller_that_goes(watched: Watched):
    """Connections that break in the midst of a body leave nothing behind."""
    for _ in range(20):
        wire = Wire(watched.server.port)
        wire.begin(f"Content-Length: {len(GOOD)}")
        wire.send(GOOD[:10])
        wire.socket.close()


def test_a_body_that_is_declared_twice(wire: Wire):
    """A length and chunks at the same time, or two lengths, are no way to smuggle a second call in."""
    wire.begin("Content-Length: 5", "Content-Length: 500")
    status, _ = wire.answer()
    assert status == 400


PACKED = {
    "gzip": gzip.compress(GOOD),
    "deflate": GOOD,
    "br": GOOD,
    "zstd": GOOD,
    "GZIP": GOOD,
    "gzip, gzip": gzip.compress(gzip.compress(GOOD)),
    "x-unknown": GOOD,
}


@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_body(watched: Watched, coding: str):
    """A body is never unpacked: what a few bytes become could be of any size."""
    answer = watched.server.http.post("/plugins", content=PACKED[coding], headers={"Content-Encoding": coding})
    watched.check(answer, Row("without Content-Encoding", 415))


def test_a_bomb_that_is_packed(watched: Watched):
    """A small body that would unpack to a large one is not unpacked."""
    bomb = gzip.compress(b" " * MANY)
    answer = watched.server.http.post("/plugins", content=bomb, headers={"Content-Encoding": "gzip"})
    watched.check(answer, Row("without Content-Encoding", 415))


def nested(depth: int, left: bytes, right: bytes, inner: bytes = b"1") -> bytes:
    return GOOD[:-1] + b', "parameters": {"a": ' + left * depth + inner + right * depth + b"}}"


CONTENTS = {
    "nothing": (b"", "empty"),
    "blanks": (b"   ", "empty"),
    "deep lists": (nested(100_000, b"[", b"]"), ""),
    "deep objects": (nested(50_000, b'{"a":', b"}"), ""),
    "deep and never closed": (b"[" * 200_000, ""),
    "a little too deep": (nested(40, b"[", b"]"), "levels deep"),
    "list": (b"[" + GOOD + b"]", "object"),
    "null": (b"null", "object"),
    "number": (b"1e400", ""),
    "two objects": (GOOD + GOOD, "no valid JSON"),
    "no UTF-8": (GOOD[:-1] + b', "branch": "\xff"}', "no valid JSON"),
    "overlong UTF-8": (GOOD[:-1] + b', "branch": "\xc0\xaf"}', "no valid JSON"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "no valid JSON"),
    "UTF-32": (GOOD.decode().encode("utf-32"), "no valid JSON"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, "no valid JSON"),
    "half a surrogate pair": (GOOD[:-1] + b', "branch": "\\ud800"}', "no valid JSON"),
    "not a number": (nested(0, b"", b"", b"NaN"), ""),
    "infinite": (nested(0, b"", b"", b"-Infinity"), ""),
    "beyond all numbers": (nested(0, b"", b"", b"1e999"), ""),
    "number of 100000 digits": (nested(0, b"", b"", b"9" * 100_000), ""),
    "number of 5000 digits": (nested(0, b"", b"", b"9" * 5000), ""),
    "comment": (GOOD[:-1] + b"/* hello */}", "no valid JSON"),
    "comma at the end": (GOOD[:-1] + b",}", "no valid JSON"),
    "single quotes": (GOOD.replace(b'"', b"'"), "no valid JSON"),
    "control character": (GOOD[:-1] + b', "branch": "a\nb"}', "no valid JSON"),
    "zero byte behind": (GOOD + b"\0", "no valid JSON"),
    "YAML": (b"name: hostile\n", "no valid JSON"),
    "XML": (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', "no valid JSON"),
    "form": (b"name=hostile&git_url=https://localhost:1/x", "no valid JSON"),
    "unknown keys": (GOOD[:-1] + b', "__proto__": {}, "constructor": 1}', "unknown key"),
    "100000 unknown keys": (
        json.dumps(json.loads(GOOD) | {f"k{n}": 1 for n in range(50_000)}).encode(),
        "unknown key",
    ),
    "program": (GOOD[:-1] + b', "parameters": "__import__(\'os\')"}', "object"),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_a_body_is_refused(watched: Watched, case: str):
    """What is no JSON, or no object that fits, is refused with a sentence."""
    content, words = CONTENTS[case]
    answer = watched.server.http.post("/plugins", content=content, headers={"Content-Type": "application/json"})
    watched.check(answer, Row(words, step="request"))


def test_a_form_with_files(watched: Watched):
    """A multipart form is refused."""
    answer = watched.server.http.post("/plugins", files={"file": ("x.json", GOOD)})
    watched.check(answer, Row("application/json", 415))


CALLS = {
    "unknown path": ("GET", "/api/v1/nothing", 404),
    "path upwards": ("GET", "/api/v1/../../etc/passwd", 404),
    "encoded path upwards": ("GET", "/api/v1/plugins/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
    "name with a zero byte": ("GET", "/api/v1/plugins/%00", 404),
    "name that is no UTF-8": ("GET", "/api/v1/plugins/%ff%fe", 404),
    "name without end": ("GET", "/api/v1/plugins/" + "x" * 10_000, 404),
    "trace": ("TRACE", "/api/v1/plugins", 405),
    "number of no run": ("GET", "/api/v1/plugins/neighbour/runs/9999999999999999999999", 400),
    "tail below zero": ("GET", "/api/v1/plugins/neighbour/logs?tail=-1", 422),
    "tail of a word": ("GET", "/api/v1/plugins/neighbour/logs?tail=%00", 422),
    "type that is none": ("GET", "/api/v1/plugins?type=%ff", 422),
    "start a job that is none": ("POST", "/api/v1/jobs/neighbour/run", 400),
    "remove what is not there": ("DELETE", "/api/v1/plugins/nobody", 404),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_is_refused(wire: Wire, case: str):
    """Paths, methods and queries that make no sense have their status, and never 500."""
    method, path, expected = CALLS[case]
    wire.begin("Content-Length: 0", method=method, path=path)
    status, text = wire.answer()
    assert status == expected, text
    assert json.loads(text)["status"] == expected


HEAD = b"POST /api/v1/plugins HTTP/1.1\r\nHost: localhost\r\n"

GARBAGE = {
    "nothing of HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",
    "header without end": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    "zero byte in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n",
    "method of nobody": b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "version of nobody": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -5\r\n\r\n",
    "chunk of no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_on_the_wire(wire: Wire, case: str):
    """What is no call ends the connection, and nothing else."""
    with contextlib.suppress(OSError):  # the server may have seen enough before it is over
        wire.send(GARBAGE[case])
        wire.socket.shutdown(socket.SHUT_WR)
    status, _ = wire.answer()
    assert status < 500
