"""JWTs as tokens (OpenID Connect). Imported only where an issuer is set, because PyJWT is an extra."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from iocmng.api.oidc_keys import KeyServer
from iocmng.core.access import Principal
from iocmng.core.setting_values import claim_at, highest_role
from iocmng.errors import Forbidden, Unauthorized
from iocmng.settings import Settings

ALGORITHMS = (*("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), *("ES256", "ES384", "ES512", "EdDSA"))
"""Only those whose keys cannot sign what they verify: never `none`, never a shared secret (HS)."""

LEEWAY = 30.0
"""Seconds that two clocks may differ."""

_LONGEST_NAME = 64


class Oidc:
    """Knows who calls by a JWT of the issuer."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        assert settings.oidc_issuer is not None
        self._issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._claim = settings.oidc_role_claim
        self._roles = settings.oidc_roles
        self._keys = KeyServer(settings.oidc_issuer, settings.oidc_jwks_url, clock)

    async def principal(self, credential: str) -> Principal | None:
        """Return who calls, or None where the issuer has not signed this.

        Raises:
            Unauthorized: If it is the issuer's, and does not hold here or now.
            Forbidden: If it gives no role here.
            ServerUnavailable: If the issuer's keys are not known.
        """
        try:
            header = jwt.get_unverified_header(credential)
            if header.get("alg") not in ALGORITHMS:
                return None
            key = await self._keys.key(header.get("kid"))
            claims = None if key is None else self._verified(credential, key)
        except jwt.PyJWTError:
            return None
        return None if claims is None else self._principal(claims)

    def _verified(self, credential: str, key: jwt.PyJWK) -> dict[str, Any]:
        """Return what the token says; its signature is verified before anything in it is looked at."""
        try:
            return jwt.decode(
                credential,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("this token has expired; get a new one from the issuer") from None
        except jwt.ImmatureSignatureError:
            raise Unauthorized("this token does not hold yet (nbf or iat); compare the clocks") from None
        except jwt.InvalidIssuerError:
            raise Unauthorized("this token is of another issuer than IOCMNG_OIDC_ISSUER") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized("this token is for another audience than IOCMNG_OIDC_AUDIENCE") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"this token lacks the claim {error.claim!r}") from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        name = _name(claims)
        role = highest_role(claim_at(claims, self._claim), self._roles)
        if role is None:
            raise Forbidden(
                f"the token of {name!r} has no value in its claim {self._claim!r} that gives a role here "
                "(IOCMNG_OIDC_ROLE_CLAIM, IOCMNG_OIDC_ROLES)"
            )
        return Principal(name, role)


def _name(claims: Mapping[str, Any]) -> str:
    """Return the caller's name; with a mark, so that nobody at the issuer is taken for an entry of the tokens file."""
    given = str(claims.get("preferred_username") or claims.get("sub") or "unnamed")
    return "oidc:" + "".join(letter if letter.isprintable() else "?" for letter in given[:_LONGEST_NAME])
