"""The public keys of an issuer: fetched in a thread, kept for a while, and not asked for too often."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, cast

import jwt

from iocmng.core.setting_values import check_key_url
from iocmng.errors import ServerUnavailable

logger = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds that one answer of the issuer may take."""

FRESH = 600.0
"""Seconds after which the keys are fetched again: for so long a key that the issuer has taken back still counts."""

STALE = 3600.0
"""Seconds after which keys are no longer used that cannot be fetched again."""

REFETCH = 30.0
"""Seconds between two fetches for keys that nobody knows; anybody can invent the name of one."""

RETRY = 5.0
"""Seconds between two fetches that fail."""

MAX_BYTES = 1024 * 1024

WELL_KNOWN = "/.well-known/openid-configuration"


class KeyServer:
    """Knows the issuer's keys."""

    def __init__(self, issuer: str, url: str | None, clock: Callable[[], float]) -> None:
        """Remember where the keys are; nothing is fetched before a token comes.

        Args:
            issuer: As the setting names it.
            url: Where the keys are; None: where the issuer says.
            clock: Tells how old the keys are.
        """
        self._issuer = issuer
        self._url = url
        self._clock = clock
        self._keys: list[jwt.PyJWK] = []
        self._fetched_at = self._next_fetch = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self, name: Any) -> jwt.PyJWK | None:
        """Return the key of this name; without a name the only one that there is. None: the issuer has no such key.

        Raises:
            ServerUnavailable: If the keys are not known.
        """
        if self._age() < FRESH and (found := self._find(name)):
            return found
        await self._fetch()
        if self._age() >= STALE:
            raise ServerUnavailable(
                "the issuer's keys cannot be fetched, so no JWT can be checked; this server's log says why "
                "(IOCMNG_OIDC_ISSUER). Tokens of other kinds are taken"
            )
        return self._find(name)

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _find(self, name: Any) -> jwt.PyJWK | None:
        if name is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == name), None)

    async def _fetch(self) -> None:
        """Fetch the keys unless that has just been done. What fails leaves the old ones."""
        async with self._lock:
            if self._clock() < self._next_fetch:
                return
            try:
                self._keys = await asyncio.to_thread(self._fetched)
            except (jwt.PyJWTError, OSError, HTTPException, ValueError) as error:
                logger.warning("cannot fetch the keys of the issuer %s: %s", self._issuer, error)
                self._next_fetch = self._clock() + RETRY
            else:
                self._fetched_at = self._clock()
                self._next_fetch = self._fetched_at + REFETCH

    def _fetched(self) -> list[jwt.PyJWK]:
        url = check_key_url(self._url or _jwks_url(self._issuer))
        return jwt.PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT).get_jwk_set().keys


def _jwks_url(issuer: str) -> str:
    """Return where the issuer's own description says that its keys are."""
    with urllib.request.urlopen(issuer.rstrip("/") + WELL_KNOWN, timeout=TIMEOUT) as answer:
        told: Any = json.loads(answer.read(MAX_BYTES))
    if not isinstance(told, dict):
        raise ValueError("its description is no object")
    description = cast("dict[str, Any]", told)
    if description.get("issuer") != issuer:
        raise ValueError("its description names another issuer; IOCMNG_OIDC_ISSUER must be written just as there")
    return str(description.get("jwks_uri"))
