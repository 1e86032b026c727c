"""Whether the server is well: for dashboards (/health) and for whatever restarts processes (/livez, /readyz)."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from iocmng._version import __version__
from iocmng.api.deps import follower_of
from iocmng.api.json_bytes import encode
from iocmng.api.routes.registration import BASE, Call, add_read, json_answer
from iocmng.api.schemas import Alive, Health
from iocmng.api.table import PluginTable
from iocmng.core.builtin_pvs import Kind
from iocmng.errors import ServerUnavailable

_ALIVE = encode({"status": "ok"})


async def health(request: Request) -> Response:
    """Answer with the version and the number of plugins."""
    table = follower_of(request).table
    return json_answer(table.answer("health", lambda: _health(table)))


async def livez() -> Response:
    """Answer as long as this process can answer."""
    return json_answer(_ALIVE)


async def readyz(request: Request) -> Response:
    """Answer 200 once the Controller has loaded the plugins file, 503 before."""
    if not follower_of(request).ready:
        raise ServerUnavailable("the Controller is still loading the plugins file")
    return json_answer(_ALIVE)


def _health(table: PluginTable) -> bytes:
    return encode(
        {
            "status": "ok",
            "version": __version__,
            "tasks_count": table.count(Kind.TASK),
            "jobs_count": table.count(Kind.JOB),
        }
    )


def register(app: FastAPI) -> None:
    """Add the calls under the base, and hidden ones at the root, where probes look for them."""
    for root in (BASE, ""):
        shown = bool(root)
        for path, endpoint, call in (
            ("health", health, Call("health", "Version and numbers", Health, tag="health", shown=shown)),
            ("readyz", readyz, Call("readyz", "Whether the start is done", Alive, tag="health", shown=shown)),
            ("livez", livez, _livez_call(shown)),
        ):
            add_read(app, f"{root}/{path}", endpoint, call)


def _livez_call(shown: bool) -> Call:
    return Call("livez", "Whether the process answers", Alive, needs_controller=False, tag="health", shown=shown)
