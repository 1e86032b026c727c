"""Every record of every plugin, and where it is served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from starlette.responses import PlainTextResponse, Response

from iocmng.api.deps import context_of, follower_of, known_plugin
from iocmng.api.json_bytes import encode
from iocmng.api.pv_schemas import NameServers, PvList
from iocmng.api.routes.registration import BASE, JSON, Call, add_read, json_answer
from iocmng.api.snapshot import SnapshotFollower
from iocmng.core.name_servers import environment_lines, name_servers
from iocmng.core.port_range import PortRange
from iocmng.errors import InvalidRequest, UnknownPlugin
from iocmng.settings import Settings

TEXT = "text/plain"

PluginQuery = Annotated[str | None, Query(description="Only the records of this plugin.")]
ServersOf = Annotated[str | None, Query(description="Only the IOC of this plugin.")]
WholeRange = Annotated[
    bool, Query(description="List all ports of IOCMNG_EPICS_PORTS on each node, so that the lists hold for longer.")
]
Inside = Annotated[bool, Query(description="List nodes at their own addresses, for clients in their network.")]
Format = Annotated[
    Literal["json", "env"] | None,
    Query(description="env: two lines for a shell or systemd's EnvironmentFile. Unset: as Accept asks."),
]

_SERVERS_TEXT = """The lists and what is behind them as JSON; or two lines NAME="VALUE", for a client that asks for \
text/plain and not for JSON."""
_SERVERS_CALL = Call(
    "list_name_servers",
    "List the IOCs for clients that no broadcast reaches",
    NameServers,
    (UnknownPlugin, InvalidRequest),
    more={
        200: {
            "model": NameServers,
            "description": _SERVERS_TEXT,
            "content": {TEXT: {"schema": {"type": "string"}}},
        }
    },
)


async def list_pvs(request: Request, plugin: PluginQuery = None) -> Response:
    """Answer with the records of all plugins, or of one."""
    follower = follower_of(request)
    plugins = _chosen(follower, plugin)
    return json_answer(follower.table.answer(("pvs", plugin), lambda: _pvs(plugins)))


async def list_name_servers(
    request: Request,
    plugin: ServersOf = None,
    whole_range: WholeRange = False,
    inside: Inside = False,
    format: Format = None,  # noqa: A002 - the query is called so
) -> Response:
    """Answer with what a client sets to find the IOCs of all plugins, or of one."""
    settings = context_of(request).settings
    ports = _whole_range(settings) if whole_range else None
    plugins = _chosen(follower_of(request), plugin)
    told = name_servers(plugins, settings.epics_public_host, ports, inside=inside)
    if format == "env" or (format is None and _wants_text(request.headers.get("accept", ""))):
        return PlainTextResponse("".join(f"{line}\n" for line in environment_lines(told)))
    return json_answer(encode(told))


def _chosen(follower: SnapshotFollower, plugin: str | None) -> list[dict[str, Any]]:
    """Return the objects of all plugins in the order of their names, or of one."""
    if plugin is not None:
        return [known_plugin(follower, plugin, None)]
    return [follower.plugins[name] for name in sorted(follower.plugins)]


def _whole_range(settings: Settings) -> PortRange:
    if settings.port_range is None:
        raise InvalidRequest(
            "whole_range: this server has no range of ports for IOCs: set IOCMNG_EPICS_PORTS, or ask without it"
        )
    return settings.port_range


def _wants_text(accept: str) -> bool:
    """Tell whether a client wants text: only one that names it, and not JSON."""
    accept = accept.lower()
    return TEXT in accept and JSON not in accept


def _pvs(plugins: Iterable[dict[str, Any]]) -> bytes:
    rows = [row for plugin in plugins for row in _rows(plugin)]
    return encode({"pvs": rows, "count": len(rows)})


def _rows(plugin: dict[str, Any]) -> list[dict[str, Any]]:
    endpoint = plugin.get("endpoint") or {}
    return [
        {
            "name": record["name"],
            "plugin": plugin["name"],
            "type": record["record_type"],
            "direction": record["direction"],
            "alias": record.get("alias"),
            "host": endpoint.get("host"),
            "ca_port": endpoint.get("ca_port"),
            "pva_port": endpoint.get("pva_port"),
        }
        for record in plugin.get("records") or ()
    ]


def register(app: FastAPI) -> None:
    """Add the calls to the application."""
    call = Call("list_pvs", "List the records and where they are served", PvList, (UnknownPlugin,))
    add_read(app, f"{BASE}/pvs", list_pvs, call)
    add_read(app, f"{BASE}/pvs/name-servers", list_name_servers, _SERVERS_CALL)
