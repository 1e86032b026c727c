"""Follows the log of a plugin on a real server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import httpx
from support import Server


@contextlib.contextmanager
def followed(server: Server, name: str, query: str = "") -> Iterator[tuple[list[str], threading.Thread]]:
    """Follow a log as text; the list grows, and the thread ends when the answer does."""
    found: list[str] = []

    def collect(response: httpx.Response) -> None:
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError):
            for line in response.iter_lines():
                found.append(line)

    with (
        httpx.Client(base_url=server.http.base_url, timeout=60) as client,
        client.stream("GET", f"/plugins/{name}/logs?follow=true{query}") as response,
    ):
        assert response.status_code == 200
        reader = threading.Thread(target=collect, args=(response,), daemon=True)
        reader.start()
        yield found, reader
