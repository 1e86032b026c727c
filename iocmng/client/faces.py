"""Makes methods of calls: each call is described once, and both clients offer it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from iocmng.client.call import Call

if TYPE_CHECKING:
    from iocmng.client.async_client import AsyncClient
    from iocmng.client.sync_client import Client

P = ParamSpec("P")
Answer = TypeVar("Answer")


def blocking(make: Callable[P, Call[Answer]]) -> Callable[Concatenate[Client, P], Answer]:
    """Return a method that sends the call and returns its answer."""

    def method(self: Client, *args: P.args, **kwargs: P.kwargs) -> Answer:
        return self.send(make(*args, **kwargs))

    return _like(method, make)


def awaitable(make: Callable[P, Call[Answer]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, Answer]]:
    """Return a coroutine method that sends the call and returns its answer."""

    async def method(self: AsyncClient, *args: P.args, **kwargs: P.kwargs) -> Answer:
        return await self.send(make(*args, **kwargs))

    return _like(method, make)


Method = TypeVar("Method", bound=Callable[..., Any])


def _like(method: Method, make: Callable[..., Call[Any]]) -> Method:
    """Give a method the name, the text and the signature of its call, for help() and editors."""
    signature = inspect.signature(make)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    annotation = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    described: Any = method
    described.__name__, described.__doc__ = make.__name__, make.__doc__
    described.__signature__ = signature.replace(
        parameters=[own, *signature.parameters.values()], return_annotation=annotation
    )
    return method
