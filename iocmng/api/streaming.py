"""What all answers have in common that never end by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy is to keep such an answer back."""


async def carry(sending: Coroutine[Any, Any, None], receive: Receive, ended: asyncio.Event, farewell: float) -> None:
    """Send until that has come to its end, or the client has left.

    Args:
        sending: Sends the answer.
        receive: Tells when the client leaves.
        ended: Set when the answer is to end; `sending` sees to that.
        farewell: Seconds that it then has for what is still to be sent.

    Raises:
        Exception: What was raised by `sending`, unless the client has left.
    """
    tasks = (asyncio.create_task(sending), asyncio.create_task(_left(receive)), asyncio.create_task(ended.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[1].done():
            await asyncio.wait(tasks[:2], timeout=farewell, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    _raise_failure(results[0], has_left=results[1] is None)


async def begin(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """Send the beginning of the answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def write(send: Send, body: bytes) -> None:
    """Send a part of it; returns when the client, or whoever stands before it, has room for more."""
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def end(send: Send) -> None:
    """End the answer in good order."""
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _raise_failure(result: object, *, has_left: bool) -> None:
    if isinstance(result, OSError):
        raise ClientDisconnect from result
    if isinstance(result, Exception) and not has_left:
        raise result
