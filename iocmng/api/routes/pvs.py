"""Every record of every plugin, and where it is served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from iocmng.api.deps import follower_of, known_plugin
from iocmng.api.json_bytes import encode
from iocmng.api.routes.registration import BASE, Call, add_read, json_answer
from iocmng.api.schemas import PvList
from iocmng.errors import UnknownPlugin

PluginQuery = Annotated[str | None, Query(description="Only the records of this plugin.")]


async def list_pvs(request: Request, plugin: PluginQuery = None) -> Response:
    """Answer with the records of all plugins, or of one."""
    follower = follower_of(request)
    if plugin is not None:
        known_plugin(follower, plugin, None)
    names = sorted(follower.plugins) if plugin is None else [plugin]
    body = follower.table.answer(("pvs", plugin), lambda: _pvs(follower.plugins[name] for name in names))
    return json_answer(body)


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
    """Add the call to the application."""
    call = Call("list_pvs", "List the records and where they are served", PvList, (UnknownPlugin,))
    add_read(app, f"{BASE}/pvs", list_pvs, call)
