"""Pure ASGI middleware: what stands around every call."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iocmng.api.problems import error_problem, problem, unexpected_problem
from iocmng.api.sentences import shortened
from iocmng.errors import BodyTooLarge, BodyTooSlow

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
    """Refuses bodies that are too large, come too slowly, or are packed.

    Too large is known by the declared length, or as soon as more has arrived. Nothing is kept here; whoever reads the
    body never gets more than the limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (coding := _header(scope, b"content-encoding").strip().lower()) not in (b"", b"identity"):
            await _packed(scope, coding)(scope, receive, send)
        elif _declared_bytes(scope) > self._max_bytes:
            await error_problem(scope, self._too_large())(scope, receive, send)
        else:
            await self._app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        received = 0
        is_whole = False
        deadline: float | None = None

        async def limited() -> Message:
            nonlocal received, is_whole, deadline
            if is_whole:  # what comes now is the end of the connection, whenever that may be
                return await receive()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self._timeout
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            received += len(message.get("body") or b"")
            if received > self._max_bytes:
                raise self._too_large()
            is_whole = not message.get("more_body", False)
            return message

        return limited

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than the {self._max_bytes} bytes that this server takes (IOCMNG_MAX_BODY_BYTES)"
        )

    def _too_slow(self) -> BodyTooSlow:
        return BodyTooSlow(
            f"the body has not arrived within {self._timeout:g} s; send all of it at once, with its right "
            "Content-Length (the limit is IOCMNG_BODY_TIMEOUT)"
        )


def _packed(scope: Scope, coding: bytes) -> Response:
    """Return the answer to a body that would have to be unpacked: what it becomes could be of any size."""
    return problem(
        scope,
        status=415,
        code="unsupported-media-type",
        detail=f"the body is packed ({shortened(coding.decode('latin-1'), 60)}); send it as it is, without "
        "Content-Encoding",
        headers={"Accept-Encoding": "identity"},
    )


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key.lower() == name), b"")


def _declared_bytes(scope: Scope) -> int:
    value = _header(scope, b"content-length")
    return int(value[:20]) if value.isdigit() else 0
