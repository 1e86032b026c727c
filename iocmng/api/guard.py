"""Tells who calls, by the server's settings and the call's credential."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from iocmng.api.failed_tries import FailedTries
from iocmng.api.token_book import TokenBook, read_tokens_file
from iocmng.core.access import ANONYMOUS, Principal
from iocmng.core.tokens_file import SHORTEST
from iocmng.errors import Forbidden, InvalidRequest, Unauthorized
from iocmng.settings import Settings

if TYPE_CHECKING:
    from iocmng.api.oidc import Oidc


class Guard:
    """Knows who may call at all; what a caller may do is the principal's to say."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Read what tells who callers are.

        Raises:
            InvalidRequest: If the file of tokens cannot be read, or does not fit.
        """
        self._settings = settings
        self._book = TokenBook(settings.hashed_token, settings.tokens_file, clock)
        self._tries = FailedTries(clock)
        self._oidc = _oidc(settings, clock)

    async def who(self, credential: str | None, address: str) -> Principal:
        """Return who calls.

        Args:
            credential: What stands behind `Bearer`.
            address: Where the connection comes from. It only tells apart who has tried too often with wrong
                credentials, and never decides whether a right one is taken.

        Raises:
            Unauthorized: If callers are asked who they are, and the credential is missing or wrong.
            TooManyTries: If there have been too many wrong ones.
            Forbidden: If the server asks nobody and can be reached from outside, or if a JWT gives no role.
            ServerUnavailable: If a JWT cannot be checked, because the issuer's keys are not known.
        """
        settings = self._settings
        if not settings.asks_who:
            if not settings.is_loopback and not settings.allow_unauthenticated:
                raise Forbidden(
                    "this server can be reached from other machines and has no token, so it refuses changes; start it "
                    "with IOCMNG_TOKEN or IOCMNG_TOKENS_FILE, or with IOCMNG_ALLOW_UNAUTHENTICATED=true where the "
                    "site's ingress authenticates, or let it listen on 127.0.0.1 (IOCMNG_HOST)"
                )
            return ANONYMOUS
        if not credential:
            raise Unauthorized(
                "this call needs a token that this server takes: Authorization: Bearer ... (the command line sends "
                "IOCMNG_TOKEN)"
            )
        # HTTP headers are read as latin-1: this gives back the bytes that were sent.
        found = self._book.find(credential.encode("latin-1", "replace"))
        if found is None and self._oidc is not None and credential.isascii() and credential.count(".") == 2:
            found = await self._oidc.principal(credential)
        if found is None:
            self._tries.note(address)
            raise Unauthorized("this server does not take this token: Authorization: Bearer ...")
        return found


def check_access(settings: Settings) -> None:
    """Find out at the start what would else show at the first call.

    Raises:
        InvalidRequest: If the file of tokens cannot be read or does not fit, or the library for JWTs is missing.
    """
    if settings.tokens_file is not None:
        read_tokens_file(settings.tokens_file)
    _oidc(settings, time.monotonic)


def _oidc(settings: Settings, clock: Callable[[], float]) -> Oidc | None:
    if settings.oidc_issuer is None:
        return None
    try:
        from iocmng.api.oidc import Oidc
    except ImportError as error:
        raise InvalidRequest(
            f"IOCMNG_OIDC_ISSUER needs a library that is not installed ({error.name}): pip install 'iocmng[oidc]'"
        ) from error
    return Oidc(settings, clock)


def access_warnings(settings: Settings) -> list[str]:
    """Return what the log has to say at the start about who may call."""
    found: list[str] = []
    if settings.asks_who:
        if settings.hashed_token is not None and settings.hashed_token.is_short:
            found.append(
                f"IOCMNG_TOKEN has less than {SHORTEST} characters and could be guessed; `iocmng token create` makes a "
                "better one"
            )
    elif settings.allow_unauthenticated:
        found.append(
            "whoever reaches this server may change everything (IOCMNG_ALLOW_UNAUTHENTICATED); only the site's ingress "
            "may reach it"
        )
    elif not settings.is_loopback:
        found.append(
            f"this server listens on {settings.host} and has no token: it answers reads and refuses changes; set "
            "IOCMNG_TOKEN or IOCMNG_TOKENS_FILE"
        )
    return found
