"""Where the server is, and what httpx needs to reach it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from iocmng.client.call import Call
from iocmng.client.event_lines import QUIET
from iocmng.errors import InvalidRequest, ServerUnreachable

BASE = "/api/v1"

DEFAULT_URL = "http://127.0.0.1:8080"

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection must stand."""

LONGEST_WAIT = 3600.0
"""Seconds for an answer that waits until something is done: more than any plugin takes to start. A server that goes
without a word must not hold a script for ever."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is.

    Attributes:
        url: Without /api/v1.
        token: What changing calls carry.
    """

    url: str
    token: str | None = None

    def options(self, timeout: float) -> dict[str, Any]:
        """Return the arguments of httpx.Client or httpx.AsyncClient.

        Raises:
            InvalidRequest: If the URL or the token can be none.
        """
        if not self.url.startswith(("http://", "https://")):
            raise InvalidRequest(f"the server's address must begin with http:// or https://, not be {self.url!r}")
        try:
            _check_host(self.url)
            base = httpx.URL(f"{self.url.rstrip('/')}{BASE}/")
        except (httpx.InvalidURL, ValueError) as error:
            raise InvalidRequest(f"the server's address {self.url!r} is none: {error}") from error
        return {
            "base_url": base,
            "headers": self._headers(),
            "timeout": httpx.Timeout(timeout, connect=CONNECT_TIMEOUT),
        }

    def _headers(self) -> dict[bytes, bytes]:
        token = (self.token or "").strip()  # a file or a secret often ends with a line's end
        # Else httpx refuses the header, with the whole token in its message.
        if any(letter.isspace() or not letter.isprintable() for letter in token):
            raise InvalidRequest("the token has spaces, or characters that cannot be printed")
        headers = {b"Accept": b"application/json"}
        return headers | {b"Authorization": b"Bearer " + token.encode()} if token else headers


def _check_host(url: str) -> None:
    """Raise ValueError for what httpx would only fail to find: no host, or a port that there cannot be."""
    parts = urlsplit(url)
    _ = parts.port
    if not parts.hostname or any(letter.isspace() for letter in url):
        raise ValueError("give it as http://HOST:PORT")


def from_environment() -> Address:
    """Return the address that IOCMNG_URL names (http://127.0.0.1:8080 if unset), with the token of IOCMNG_TOKEN.

    The client's only look at the environment.
    """
    return Address(os.environ.get("IOCMNG_URL") or DEFAULT_URL, os.environ.get("IOCMNG_TOKEN") or None)


def request_arguments(call: Call[Any], timeout: float) -> dict[str, Any]:
    """Return the arguments of httpx's build_request for a call."""
    return {
        "method": call.method,
        "url": call.path.removeprefix("/"),
        "params": call.parameters,
        "content": call.content,
        "headers": {"Content-Type": "application/json"} if call.body is not None else {},
        "timeout": httpx.Timeout(LONGEST_WAIT if call.waits else timeout, connect=CONNECT_TIMEOUT),
    }


def stream_arguments(call: Call[Any]) -> dict[str, Any]:
    """Return the arguments of httpx's stream for the stream of events."""
    return request_arguments(call, QUIET) | {"headers": {"Accept": "text/event-stream"}}


def unreachable(url: str, error: Exception) -> ServerUnreachable:
    """Return the error for a call that got no answer."""
    reason = str(error) or type(error).__name__
    return ServerUnreachable(f"no answer from {url}: {reason}")
