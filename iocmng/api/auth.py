"""Who may do what. Addresses and forwarded headers never decide."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.types import ASGIApp, Receive, Scope, Send

from iocmng.api.deps import context_of
from iocmng.api.guard import Guard
from iocmng.api.problems import error_problem
from iocmng.core.access import Principal, Role
from iocmng.errors import IocmngError

bearer = HTTPBearer(
    scheme_name="token",
    description="IOCMNG_TOKEN, a token of IOCMNG_TOKENS_FILE, or a JWT. Reads need one only where "
    "IOCMNG_READ_TOKEN_REQUIRED is set. `x-iocmng-role` names the role that a call needs.",
    auto_error=False,
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
Authorize = Callable[[Request, Credentials], Awaitable[None]]

FREE = frozenset({"/livez", "/readyz", "/api/v1/livez", "/api/v1/readyz"})
"""What is answered without a token always: for whatever restarts processes, and tells no more than that."""


def authorize(role: Role, *, names_in_body: bool) -> Authorize:
    """Return the dependency of a call that needs a role.

    It lets a call pass, or raises; request.state.principal is then who calls. A caller with a pattern of plugins passes
    if the path names one of them. Where the body names them, the route asks `check_plugins` as soon as it knows.

    Args:
        role: What is needed at least.
        names_in_body: Whether the body names the plugins that the call concerns, and the route checks them.
    """

    async def authorize_call(request: Request, credentials: Credentials) -> None:
        principal = await _who(request, credentials.credentials if credentials else None)
        principal.check_role(role)
        if not names_in_body:
            name = request.path_params.get("name")
            principal.check_plugins([] if name is None else [name])

    return authorize_call


def check_plugins(request: Request, plugins: Iterable[str]) -> None:
    """Check that the caller of an authorized call may change these plugins.

    Raises:
        Forbidden: If not.
    """
    request.state.principal.check_plugins(plugins)


async def _who(request: Request, credential: str | None) -> Principal:
    known = getattr(request.state, "principal", None)  # where reads are closed, ClosedReads has asked already
    if known is None:
        known = await context_of(request).guard.who(credential, _address(request.scope))
        request.state.principal = known
    return known


class ClosedReads:
    """Asks every reading call for a token; also those for the documentation, and for what there is not."""

    def __init__(self, app: ASGIApp, guard_of: Callable[[], Guard]) -> None:
        self._app = app
        self._guard_of = guard_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and _path(scope) not in FREE:
            try:
                principal = await self._guard_of().who(_credential(scope), _address(scope))
                principal.check_role(Role.VIEWER)
            except IocmngError as error:
                await error_problem(scope, error)(scope, receive, send)
                return
            scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)


def _path(scope: Scope) -> str:
    return scope["path"].removeprefix(scope.get("root_path", ""))


def _credential(scope: Scope) -> str | None:
    value = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
    scheme, credential = get_authorization_scheme_param(value.decode("latin-1"))
    return credential if scheme.lower() == "bearer" and credential else None


def _address(scope: Scope) -> str:
    """Return where a connection comes from: never a header, which anybody can write."""
    client = scope.get("client")
    return str(client[0]) if client else "-"
