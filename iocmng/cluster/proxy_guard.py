"""What a client may do before its request has begun, in the process of Ray Serve that takes HTTP.

That is uvicorn on httptools. By itself it waits for the end of a request's head for ever, and keeps whatever comes; a
header of hundreds of megabytes stops it for minutes, because each piece of it is copied with all that came before.
Connections that wait hinder nobody until the process has 20,000 of them. Neither Serve nor uvicorn has a setting for
it. Serve calls `install` in each proxy, where
RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 30.0
"""Seconds from the connection, or from the first byte of a further request, until the head must have arrived."""

HEAD_BYTES = 64 * 1024
"""Most of a head, or of headers behind a body, beside the piece with which it begins."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection, which is closed if a head takes too long or is too large."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._brings_more = False
        self._bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._end_of_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a piece; count it if it brings headers only, of a head or behind a body."""
        self._brings_more = False
        super().data_received(data)
        if not self._brings_more and not self.transport.is_closing():
            self._bytes += len(data)
            if self._bytes > HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to wait for the head of a request."""
        super().on_message_begin()
        self._brings_more, self._bytes = True, 0
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._end_of_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, which others look after."""
        self._brings_more = True
        super().on_body(body)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _end_of_head(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        self._end_of_head()
        if self.cycle is None or self.cycle.response_complete:  # else that would stand within another answer
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()


def install() -> list[Any]:
    """Have uvicorn use it in this process; return the middlewares for Serve, which are none."""
    auto.AutoHTTPProtocol = GuardedProtocol
    return []
