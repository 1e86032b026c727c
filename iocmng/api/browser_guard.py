"""Keeps pages in a browser on the server's machine away from a server that asks nobody who is calling.

Such a server trusts whoever can reach it, and so can a page of any site that the machine's user looks at: by a simple
POST, which a browser sends without asking, or under a name of its own that it lets point to 127.0.0.1 (DNS rebinding),
by which it may read the answers, too. A browser tells both: in Host, in Origin and in Sec-Fetch-Site.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from iocmng.api.problems import error_problem
from iocmng.api.sentences import shortened
from iocmng.errors import Forbidden
from iocmng.settings import Settings

READS = frozenset({"GET", "HEAD", "OPTIONS"})

WAY_OUT = (
    "set IOCMNG_TOKEN to let others in, or IOCMNG_ALLOW_UNAUTHENTICATED=true where what stands before the server "
    "authenticates"
)


def asks_nobody(settings: Settings) -> bool:
    """Tell whether a server takes changes of everyone who reaches it: the one place where that is decided."""
    return settings.is_loopback and not settings.asks_who and not settings.allow_unauthenticated


class BrowserGuard:
    """Refuses calls that name another host than this machine, and changes that a page of another site asks for.

    Pages of listed origins (IOCMNG_CORS_ORIGINS) may ask for changes: that is what they are listed for.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...] = ()) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await error_problem(scope, refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Forbidden | None:
        headers = Headers(scope=scope)
        for host in headers.getlist("host"):
            if not _is_here(f"//{host}"):
                return Forbidden(
                    f"this server asks nobody for a token, so it answers only as localhost or 127.0.0.1, not as "
                    f"{shortened(host, 100)!r}; {WAY_OUT}"
                )
        if scope.get("method") in READS:
            return None
        origins = headers.getlist("origin")
        is_foreign = (
            headers.get("sec-fetch-site") == "cross-site"
            if not origins
            else not all(_is_here(origin) or origin in self._origins for origin in origins)
        )
        if is_foreign:
            whose = shortened(origins[0], 100) if origins else "another site"
            return Forbidden(
                f"this server asks nobody for a token, so it takes no change from a page of {whose!r} in a browser; "
                f"{WAY_OUT}"
            )
        return None


def _is_here(url: str) -> bool:
    """Tell whether a URL means this machine, at whatever port."""
    try:
        name = (urlsplit(url).hostname or "").removesuffix(".")
        if name == "localhost" or name.endswith(".localhost"):
            return True
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
