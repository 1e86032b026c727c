"""Who may change something. Reads are free; addresses and forwarded headers never decide."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from iocmng.api.deps import context_of
from iocmng.core.access import ANONYMOUS, Principal, Role
from iocmng.errors import Forbidden, Unauthorized
from iocmng.settings import Settings

bearer = HTTPBearer(
    scheme_name="token",
    description="The server's IOCMNG_TOKEN. Reads need none.",
    auto_error=False,
)


async def authorize_change(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Let a changing call pass, or raise; request.state.principal is then who calls.

    Raises:
        Unauthorized: If the server has a token and the call does not carry it.
        Forbidden: If the server has no token and can be reached from outside.
    """
    settings = context_of(request).settings
    request.state.principal = check_change(settings, credentials.credentials if credentials else None)


def check_change(settings: Settings, credential: str | None) -> Principal:
    """Return who calls, by the server's settings and the call's credential alone."""
    if settings.token:
        # HTTP headers are read as latin-1: this gives back the bytes that were sent.
        given = (credential or "").encode("latin-1", "replace")
        if not hmac.compare_digest(given, settings.token.get_secret_value().encode()):
            raise Unauthorized("this call changes something and needs the server's token: Authorization: Bearer ...")
        return Principal("token", Role.ADMIN)
    if not settings.is_loopback and not settings.allow_unauthenticated:
        raise Forbidden(
            "this server can be reached from other machines and has no token, so it refuses changes; start it with "
            "IOCMNG_TOKEN, or with IOCMNG_ALLOW_UNAUTHENTICATED=true where the site's ingress authenticates, or let "
            "it listen on 127.0.0.1 (IOCMNG_HOST)"
        )
    return ANONYMOUS
