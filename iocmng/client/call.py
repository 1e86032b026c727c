"""What one call to the server is, without sending it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from iocmng.errors import InvalidRequest, UnknownPlugin

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One call.

    Attributes:
        method: GET, POST, …
        path: Below /api/v1.
        query: What stands behind the question mark; None leaves a key out.
        body: Sent as JSON; None: no body.
        waits: Whether the answer comes only when something is done that may take minutes.
    """

    method: str
    path: str
    query: Mapping[str, str | int | None] = field(default_factory=dict[str, str | int | None])
    body: Any = None
    waits: bool = False

    @property
    def parameters(self) -> dict[str, str]:
        """The query as it is sent."""
        return {key: _encodable(str(value)) for key, value in self.query.items() if value is not None}

    @property
    def content(self) -> bytes | None:
        """The body as it is sent.

        Raises:
            InvalidRequest: If it is no JSON.
        """
        if self.body is None:
            return None
        try:
            return json.dumps(self.body, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequest(f"this cannot be sent as JSON: {error}") from None


def path(*segments: str | int) -> str:
    """Return a path.

    Raises:
        UnknownPlugin: If a name would make another path of it: no plugin has such a name.
    """
    words = [_encodable(str(segment)) for segment in segments]
    for word in words:
        # Servers take %2F for a slash.
        if word in ("", ".", "..") or "/" in word:
            raise UnknownPlugin(f"there is no plugin {word!r}")
    return "".join(f"/{quote(word, safe='')}" for word in words)


def _encodable(text: str) -> str:
    """Return a text without the half characters that bytes of another encoding become on a command line."""
    return text.encode("utf-8", "replace").decode()
