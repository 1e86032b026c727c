"""Each call that may change something is one request: it has a number in the log, and a span where traces are kept."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iocmng.core.ports.tracing import Span, Tracing
from iocmng.core.trace_context import carried, checked, current, trace_id

TRACE_ID = "X-Trace-ID"
"""Header of an answer. Ray Serve gives each one an `X-Request-ID` of its own, which our log does not know."""

_READS = ("GET", "HEAD", "OPTIONS")


class RequestTrace:
    """Pure ASGI middleware. Reads are left out: dashboards ask all the time, and no read does anything."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] != "http" or scope["method"] in _READS:
            await self._app(scope, receive, send)
            return
        caller = checked(Headers(scope=scope).get("traceparent"))
        with carried(caller), self._tracing.span("request") as span:
            number = trace_id(current()) or ""

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    MutableHeaders(scope=message)[TRACE_ID] = number
                    span.note("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, noting)
            finally:
                _describe(span, scope)


def _describe(span: Span, scope: Scope) -> None:
    """Name the span by the call, not by the path: a path has names in it, and a query may have anything."""
    route = getattr(scope.get("route"), "path", None)
    span.rename(f"{scope['method']} {route}" if route else scope["method"])
    span.note("http.request.method", scope["method"])
    span.note("http.route", route)
    name = (scope.get("path_params") or {}).get("name")
    span.note("iocmng.plugin", name if isinstance(name, str) else None)
