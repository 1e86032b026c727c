"""The beamline's ophyd devices, and which plugins have made them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from iocmng.api.deps import follower_of
from iocmng.api.device_schemas import DeviceList
from iocmng.api.json_bytes import encode
from iocmng.api.routes.registration import BASE, Call, add_read, json_answer
from iocmng.api.table import PluginObjects
from iocmng.core.devices import DeviceSpec, DeviceTable


async def list_devices(request: Request) -> Response:
    """Answer with the devices of values.yaml, and those that plugins have made besides."""
    follower = follower_of(request)
    return json_answer(follower.table.answer(("devices",), lambda: _answer(follower.devices, follower.plugins)))


def _answer(table: DeviceTable, plugins: PluginObjects) -> bytes:
    rows = {name: _row(spec) for name, spec in table.devices.items()}
    for plugin in sorted(plugins):
        for made in plugins[plugin].get("devices") or ():
            row = rows.get(made["name"])
            if row is None or row["prefix"] != made["prefix"]:  # an author's own may have a name of values.yaml
                row = rows.setdefault(
                    f"{made['name']} {made['prefix']}", _row(DeviceSpec(made["name"], made["prefix"]))
                )
            row["class"] = made["class"]
            row["created_by"].append(plugin)
    devices = list(rows.values())
    created = sorted({row["name"] for row in devices if row["created_by"]})
    return encode(
        {
            "devices": devices,
            "count": len(devices),
            "enabled": table.enabled,
            "problems": list(table.problems),
            "available": list(table.devices),
            "available_count": len(table.devices),
            "created": created,
            "created_count": len(created),
        }
    )


def _row(spec: DeviceSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "ioc": spec.ioc,
        "prefix": spec.prefix,
        "class": spec.device_class,
        "devgroup": spec.devgroup,
        "devtype": spec.devtype,
        "created_by": [],
    }


def register(app: FastAPI) -> None:
    """Add the call to the application."""
    add_read(app, f"{BASE}/devices", list_devices, Call("list_devices", "List the ophyd devices", DeviceList))
