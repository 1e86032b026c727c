"""Slow and endless heads of requests, at the uvicorn that Ray Serve's proxy runs; without Ray."""

import socket
import threading
import time

import pytest
import uvicorn
from support import wait_for

from iocmng.cluster import proxy_guard
from iocmng.cluster.proxy_guard import GuardedProtocol

BEGIN = b"GET / HTTP/1.1\r\nHost: here\r\nX-Long: "
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo(scope, receive, send):
    """Answer with the number of bytes of the body."""
    size, more = 0, True
    while more:
        event = await receive()
        size, more = size + len(event.get("body", b"")), event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture
def connect(monkeypatch):
    """Return a maker of connections to a server that has half a second for a head."""
    monkeypatch.setattr(proxy_guard, "HEAD_SECONDS", 0.5)
    config = uvicorn.Config(echo, http=GuardedProtocol, log_level="critical", lifespan="off")
    server, made = uvicorn.Server(config), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        wait_for(lambda: server.started, "it listens")

        def connection():
            made.append(socket.create_connection(listener.getsockname(), timeout=10))
            return made[-1]

        yield connection
        for each in made:
            each.close()
        server.should_exit = True
        thread.join(10)


def everything(connection):
    """Return what comes until the server closes the connection."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("begin", [b"", b"G", BEGIN, b"GET / HTTP/1.1\r\nHost: here\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(connect, begin):
    """With 408, whether something was sent, drips in, or nothing comes at all."""
    connection = connect()
    connection.sendall(begin)
    began = time.monotonic()
    assert everything(connection).startswith(b"HTTP/1.1 408 ")
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.parametrize(
    "begin",
    [BEGIN, b"GET /", b"GET / HTTP/1.1\r\n", CHUNKED + b"1\r\na\r\n0\r\nX-Long: "],
    ids=["value", "url", "many", "end"],
)
def test_a_head_without_an_end_is_refused(connect, begin):
    """One header, the path, many headers, or one behind the body: soon, and without a long wait for anybody else."""
    piece = b"X-Many: 1\r\n" * 1000 if begin.endswith(b"1.1\r\n") else b"a" * 16384
    endless, other = connect(), connect()
    endless.sendall(begin)
    with pytest.raises(OSError):  # noqa: PT011  a reset or a broken pipe, as it comes
        endless.sendall(piece * 2000)
    other.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    began = time.monotonic()
    assert everything(other).startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began < 2


def test_requests_are_answered_as_before(connect):
    """Large bodies, chunked ones, heads in pieces, several on one connection, and one after a pause."""
    connection = connect()
    body = b"x" * 1_000_000
    connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n" + body)
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    connection.sendall(CHUNKED + chunk * 10 + b"0\r\n\r\n")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nX-Some: " + b"a" * 30_000)
    connection.sendall(b"a" * 30_000 + b"\r\nConnection: close\r\n\r\n")
    answers = everything(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert b"1000000" in answers
    assert b"655360" in answers


def test_a_slow_body_is_the_api_s_own_to_judge(connect):
    """The time for the head does not count for what follows; body_timeout does."""
    connection = connect()
    connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\nConnection: close\r\n\r\na")
    began = time.monotonic()
    wait_for(lambda: time.monotonic() > began + 0.8, "more than the head may take")
    connection.sendall(b"b")
    assert everything(connection).startswith(b"HTTP/1.1 200 ")
