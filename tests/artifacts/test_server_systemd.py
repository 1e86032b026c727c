"""iocmng-server as a service of systemd: what it says on the socket that systemd gives it."""

import os
import socket
from pathlib import Path

import pytest
from support import Server

from iocmng.cli.service_manager import ServiceManager

pytestmark = pytest.mark.thorough


@pytest.fixture
def listener():
    """Return a socket like the one on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(90)
        yield listener


def test_it_tells_when_it_answers_and_when_it_ends(tmp_path, listener):
    """READY=1 comes when the API answers, STOPPING=1 after SIGTERM; no child can speak in the server's name."""
    name = str(tmp_path / "notify")
    listener.bind(name)
    server = Server(tmp_path / "server", "UNIT", NOTIFY_SOCKET=name)
    try:
        assert listener.recv(4096).decode().splitlines() == [
            "READY=1",
            f"STATUS=answers on http://127.0.0.1:{server.port}/api/v1",
        ]
        assert server.http.get("/livez").status_code == 200
        for pid in server.descendants():
            assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        assert server.stop() == 0
    assert listener.recv(4096).decode().splitlines()[0] == "STOPPING=1"


def test_a_socket_without_a_file(tmp_path, listener, monkeypatch):
    """A name that begins with @ is one of Linux's abstract sockets; the variable is gone then."""
    name = f"iocmng-test-{os.getpid()}"
    listener.bind(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    manager = ServiceManager()
    manager.ready("answers")
    assert listener.recv(4096) == b"READY=1\nSTATUS=answers"
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("name", ["", "/none/such/socket"])
def test_nobody_to_tell_stops_nothing(monkeypatch, capsys, name):
    """Without the variable nothing is said; a socket that nobody reads costs a line of the log."""
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    ServiceManager().ready("answers")
    told = capsys.readouterr().err
    assert told == ("systemd cannot be told: No such file or directory\n" if name else "")
