"""What the routes share: the context of the application, and the plugin that a path names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request

from iocmng.api.audit_trail import AuditTrail
from iocmng.api.event_hub import EventHub
from iocmng.api.guard import Guard
from iocmng.api.log_stream import LogStreams
from iocmng.api.snapshot import SnapshotFollower
from iocmng.core.builtin_pvs import Kind
from iocmng.core.names import check_plugin_name
from iocmng.core.ports.controller import ControllerClient
from iocmng.errors import InvalidRequest, ServerUnavailable, UnknownPlugin, WrongKind
from iocmng.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """What one running application works with.

    Attributes:
        client: Takes the changes to the Controller.
        follower: Answers the reads.
        hub: Holds the open streams of events.
        logs: Holds the open streams of logs.
        guard: Tells who calls.
        trail: Takes the audit's entries to the Controller.
    """

    settings: Settings
    client: ControllerClient
    follower: SnapshotFollower
    hub: EventHub
    logs: LogStreams
    guard: Guard
    trail: AuditTrail


def context_of(request: Request) -> Context:
    """Return the context that the lifespan has made, for a call.

    Raises:
        ServerUnavailable: If the application has not started.
    """
    return context_in(request.app)


def context_in(app: FastAPI) -> Context:
    """Return the context that the lifespan has made.

    Raises:
        ServerUnavailable: If the application has not started.
    """
    context = getattr(app.state, "context", None)
    if context is None:
        raise ServerUnavailable("this server is still starting, or is stopping; try again")
    return context


def follower_of(request: Request) -> SnapshotFollower:
    """Return the follower, once it knows something.

    Raises:
        ServerUnavailable: If the Controller has not answered yet: an empty list would be a lie.
    """
    follower = context_of(request).follower
    if not follower.has_snapshot:
        raise ServerUnavailable("this server has not heard from its Controller yet; try again")
    return follower


async def legal_name(name: Annotated[str, Path(description="Name of the plugin.")]) -> str:
    """Return the name in the path.

    Raises:
        UnknownPlugin: If no plugin can have such a name.
    """
    try:
        return check_plugin_name(name)
    except InvalidRequest as error:
        raise unknown(name) from error


PluginName = Annotated[str, Depends(legal_name)]


def unknown(name: str) -> UnknownPlugin:
    """Return the error for a name that no plugin has."""
    return UnknownPlugin(f"there is no plugin {name[:140]!r}")


def known_plugin(follower: SnapshotFollower, name: str, kind: Kind | None) -> dict[str, Any]:
    """Return the plugin object.

    Raises:
        UnknownPlugin: If there is none of this name.
        WrongKind: If it is of the other kind. A plugin that is still loading passes: its kind is not known.
    """
    plugin = follower.plugins.get(name)
    if plugin is None:
        raise unknown(name)
    check_kind(plugin, kind)
    return plugin


def check_kind(plugin: dict[str, Any], kind: Kind | None) -> None:
    """Raise WrongKind if a plugin is of the other kind."""
    actual = plugin.get("plugin_type")
    if kind is not None and actual is not None and actual != kind:
        raise WrongKind(f"{plugin['name']!r} is a {actual}, not a {kind.value}; ask for it at /{actual}s")
