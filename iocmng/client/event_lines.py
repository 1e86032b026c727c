"""Reads server-sent events, and knows where to go on after a broken connection. It neither connects nor sleeps."""

from __future__ import annotations

import json
from collections.abc import Iterator

from iocmng.client.call import Call
from iocmng.client.objects import Event, RunNews
from iocmng.errors import ServerUnavailable, ServerUnreachable

QUIET = 45.0
"""Seconds without a byte after which a connection counts as broken: the server sends a comment every 15."""


class EventLines:
    """One stream of events, over as many connections as it takes."""

    def __init__(self, name: str | None, after: int | None, patience: float, *, runs: bool = False) -> None:
        self._name = name
        # Other kinds may come from newer servers.
        self._kinds = ("plugin", "run") if runs else ("plugin",)
        self._patience = patience
        self._position = None if after is None else str(after)
        self._rest = b""
        self._data: list[str] = []
        self._id: str | None = None
        self._kind = ""
        self._has_begun = False
        self._waited = 0.0
        self._pause = 0.5

    @property
    def call(self) -> Call[None]:
        """The call that opens the next connection."""
        return Call("GET", "/events", {"plugin": self._name, "stream": "true", "after": self._position})

    def opened(self) -> None:
        """Note that a connection stands."""
        self._has_begun = True
        self._rest, self._data, self._id, self._kind = b"", [], None, ""
        self._waited, self._pause = 0.0, 0.5

    def take(self, chunk: bytes) -> Iterator[Event | RunNews]:
        """Take what has arrived; yield the events that are whole."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if event := self._line(line.removesuffix(b"\r").decode("utf-8", "replace")):
                yield event

    def pause_after(self, error: ServerUnavailable | None) -> float:
        """Return the seconds until the next connection.

        Args:
            error: Why there was none; None if the server has ended it in good order.

        Raises:
            ServerUnavailable: `error`, if there never was a connection, or none for too long.
        """
        if error is not None and (not self._has_begun or self._waited >= self._patience):
            raise error
        pause, self._pause = self._pause, min(self._pause * 1.5, 5.0)
        self._waited += pause
        return pause

    def _line(self, line: str) -> Event | RunNews | None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id" and value.isdigit():
            self._id = value
        elif field == "data":
            self._data.append(value)
        elif field == "event":
            self._kind = value
        elif not line:
            return self._block_ended()
        return None

    def _block_ended(self) -> Event | RunNews | None:
        # Only now: a connection that breaks inside a block must bring its event again.
        self._position = self._id or self._position
        text, self._data = "\n".join(self._data), []
        kind, self._kind = self._kind, ""
        if not text or kind not in self._kinds:
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise ServerUnreachable(f"the stream of events holds something that is no JSON: {error}") from error
