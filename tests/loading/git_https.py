"""A small git server over TLS with Basic authentication: git's smart HTTP, read only."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1 and localhost; return it and its key."""
    certificate, key = directory / "ca.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]  # noqa: RUF005
        + ["-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


class GitServer:
    """One repository at /repo.git; /moved.git leads to `moved_to`. Calls `on_request` within each request."""

    def __init__(self, repository: Path, secret: str, certificate: Path, key: Path) -> None:
        self.repository = repository
        self.secret = secret
        self.moved_to = ""
        self.credentials: list[tuple[str, str]] = []
        self.anonymous = 0
        self.on_request: Callable[[], None] = lambda: None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = int(self._http.server_address[1])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/repo.git"

    @contextlib.contextmanager
    def serving(self) -> Iterator[GitServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(["upload-pack", "--stateless-rpc", "--advertise-refs"], b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self._serve(["upload-pack", "--stateless-rpc"], body)

        def _serve(self, command: list[str], body: bytes) -> None:
            server.on_request()
            path = urlsplit(self.path)
            if path.path.startswith("/moved.git/"):
                self._answer(302, b"", Location=f"{server.moved_to}{self.path.removeprefix('/moved.git')}")
            elif not path.path.startswith("/repo.git/"):
                self._answer(404, b"no such repository")
            elif not self._is_authorised():
                self._answer(401, b"who are you?", **{"WWW-Authenticate": 'Basic realm="git"'})
            else:
                protocol = self.headers.get("Git-Protocol", "")
                environment = {**os.environ, "GIT_PROTOCOL": protocol}
                finished = subprocess.run(
                    ["git", *command, str(server.repository)],
                    input=body,
                    capture_output=True,
                    env=environment,
                    check=False,
                )
                greeting = b"001e# service=git-upload-pack\n0000" if not body else b""
                kind = "result" if body else "advertisement"
                self._answer(
                    200, greeting + finished.stdout, **{"Content-Type": f"application/x-git-upload-pack-{kind}"}
                )

        def _is_authorised(self) -> bool:
            kind, _, value = self.headers.get("Authorization", "").partition(" ")
            if kind != "Basic":
                server.anonymous += 1
                return False
            user, _, password = base64.b64decode(value).decode().partition(":")
            server.credentials.append((user, password))
            return password == server.secret

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Keep quiet."""

    return Handler
