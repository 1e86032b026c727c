"""Pure ASGI middleware: what stands around every call."""

from __future__ import annotations

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iocmng.api.problems import error_problem, unexpected_problem
from iocmng.errors import BodyTooLarge

logger = logging.getLogger(__name__)


class UnexpectedErrors:
    """Answers 500 for an error that nobody expected, and logs it once."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_answered = False

        async def noting(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            logger.debug("%s %r: the caller has gone", scope["method"], scope["path"])
        except Exception:
            logger.exception("%s %r failed", scope["method"], scope["path"])
            if has_answered:
                raise  # too late for an answer; the connection has to break
            await unexpected_problem(scope)(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are too large, by their declared length or as soon as they have grown beyond the limit.

    Nothing is kept here; whoever reads the body never gets more than the limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _declared_bytes(scope) > self._max_bytes:
            await error_problem(scope, self._too_large())(scope, receive, send)
        else:
            await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body") or b"")
            if received > self._max_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than the {self._max_bytes} bytes that this server takes (IOCMNG_MAX_BODY_BYTES)"
        )


def _declared_bytes(scope: Scope) -> int:
    for key, value in scope["headers"]:
        if key.lower() == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0
