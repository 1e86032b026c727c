"""Builds the FastAPI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from iocmng._version import __version__
from iocmng.api import problems, routes
from iocmng.api.audit import AuditCalls, Caller
from iocmng.api.audit_trail import AuditTrail, TrailLimits
from iocmng.api.auth import FREE, ClosedReads
from iocmng.api.browser_guard import BrowserGuard, asks_nobody
from iocmng.api.deps import Context, context_in
from iocmng.api.documentation import install_documentation
from iocmng.api.event_hub import EventHub, StreamLimits
from iocmng.api.guard import Guard, access_warnings
from iocmng.api.log_stream import LogStreams
from iocmng.api.middleware import BodyLimit, UnexpectedErrors
from iocmng.api.request_trace import TRACE_ID, RequestTrace
from iocmng.api.snapshot import FollowTimes, SnapshotFollower
from iocmng.base.no_tracing import NoTracing
from iocmng.core.ports.controller import ControllerClient
from iocmng.core.ports.tracing import Tracing
from iocmng.settings import Settings

logger = logging.getLogger(__name__)

_DESCRIPTION = """Plugins from git become live EPICS IOCs.

Reads are answered from a snapshot that follows the Controller; a call that changed something returns when this
server's reads show the change. Every error is a problem document (RFC 9457).
"""


def create_app(
    settings: Settings,
    connect: Callable[[], Awaitable[ControllerClient]],
    *,
    times: FollowTimes | None = None,
    streams: StreamLimits | None = None,
    audit: TrailLimits | None = None,
    caller: Caller | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """Return the application; it connects to the Controller when it starts.

    Args:
        settings: The server's settings.
        connect: Returns the Controller's client; called once, in the lifespan. What it raises ends the start.
        times: Limits of the waits, for tests.
        streams: Limits of the streams of events, for tests.
        audit: Limits of the way to the audit, for tests.
        caller: Who comes by the door of this application; None: who the credential of each call says.
        tracing: Keeps the traces of calls; None: nobody does.
    """
    app = FastAPI(
        title="iocmng",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lambda app: _lifespan(app, settings, connect, times, streams, audit),
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    routes.register(app)
    problems.install(app)
    install_documentation(app, lambda path: settings.read_token_required and path not in FREE)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, timeout=settings.body_timeout)
    if settings.read_token_required:
        app.add_middleware(ClosedReads, guard_of=lambda: context_in(app).guard)
    if asks_nobody(settings):
        app.add_middleware(BrowserGuard, origins=settings.cors_origins)
    app.add_middleware(UnexpectedErrors)
    if settings.cors_origins:  # around the errors, too: a page may read why a call has failed
        app.add_middleware(CORSMiddleware, **_cors(settings.cors_origins))
    app.add_middleware(AuditCalls)
    app.add_middleware(RequestTrace, tracing=tracing or NoTracing())  # the last one added stands outermost
    app.state.caller, app.state.trail = caller or Caller(), None
    return app


@asynccontextmanager
async def _lifespan(
    app: FastAPI,
    settings: Settings,
    connect: Callable[[], Awaitable[ControllerClient]],
    times: FollowTimes | None,
    streams: StreamLimits | None,
    audit: TrailLimits | None,
) -> AsyncIterator[None]:
    guard = Guard(settings)
    for warning in access_warnings(settings):
        logger.warning(warning)
    client = await connect()
    hub, logs = EventHub(client, streams), LogStreams(client, streams)
    follower = SnapshotFollower(client, times, listener=hub.take)
    trail = app.state.trail = AuditTrail(audit)
    sending = asyncio.create_task(trail.run(client), name="audit")
    try:
        await follower.start()
        app.state.context = Context(settings, client, follower, hub, logs, guard, trail)
        yield
    finally:
        app.state.context = None
        hub.close()
        logs.close()
        await follower.stop()
        sending.cancel()
        await trail.close(client)
        app.state.trail = None


def _cors(origins: tuple[str, ...]) -> dict[str, Any]:
    return {
        "allow_origins": origins,
        "allow_methods": ("GET", "POST", "PATCH", "DELETE"),
        "allow_headers": ("Authorization", "Content-Type", "Last-Event-ID"),
        "expose_headers": ("Location", "Retry-After", "WWW-Authenticate", TRACE_ID),
        "allow_credentials": False,  # tokens are sent by scripts; a browser is never to add cookies by itself
    }


def _operation_id(route: APIRoute) -> str:
    return route.name
