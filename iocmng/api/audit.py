"""Records every changing call, whatever becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iocmng.base.audit_log import log_entry
from iocmng.core.access import Principal
from iocmng.core.audit import NOBODY, AuditEntry, AuditKind, Door, cut, summary
from iocmng.core.parameters import OWN_PARAMETERS
from iocmng.core.secrets import secret_names

READING = frozenset({"GET", "HEAD", "OPTIONS"})

GONE = "client-gone"
"""Code of a call whose client did not wait for the answer."""

_NOTES = "audit"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who comes by the door of this application.

    Attributes:
        door: The door.
        name: Who everybody is that comes by it; None: as the call's credential says.
    """

    door: Door = Door.REST
    name: str | None = None


def note(scope: Scope, **facts: Any) -> None:
    """Note something about a call for its entry in the audit: `body`, `code`, `run_id`, `applied`."""
    state: MutableMapping[str, Any] = scope.setdefault("state", {})
    state.setdefault(_NOTES, {}).update(facts)


def caller_name(request: Request) -> str:
    """Return who calls, as runs and the audit show it."""
    caller: Caller = request.app.state.caller
    principal: Principal | None = getattr(request.state, "principal", None)
    return caller.name or (principal.name if principal is not None else NOBODY)


class AuditCalls:
    """Stands around everything, so that it sees what was answered.

    An entry is recorded before the answer's last byte goes out: a call that was answered is in the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one call."""
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        call = _RecordedCall(scope)

        async def noting(message: Message) -> None:
            call.see(message)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except BaseException as error:
            # Cancelled: the proxy has done so, because the client has gone.
            call.record(code=GONE if not isinstance(error, Exception) else "internal-error")
            raise
        call.record(code=GONE)


class _RecordedCall:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        state = scope["app"].state
        self._caller: Caller = state.caller
        self._record: Callable[[AuditEntry], None] = state.trail.record if state.trail is not None else log_entry
        self._at, self._began = time.time(), time.monotonic()
        self._status: int | None = None
        self._is_recorded = False
        # One of this call alone, whatever the server has put there.
        scope["state"] = {**scope.get("state", {}), _NOTES: {}}

    def see(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self.record()

    def record(self, code: str = "") -> None:
        if self._is_recorded:
            return
        self._is_recorded = True
        entry = self._entry(code)
        self._record(entry)
        for applied in self._notes.get("applied", ()):
            if applied.action != "unchanged":
                told = {"apply": entry.request.get("owner"), "action": applied.action}
                self._record(replace(entry, plugin=applied.name, request=told))

    @property
    def _notes(self) -> Mapping[str, Any]:
        return self._scope["state"][_NOTES]

    def _entry(self, code: str) -> AuditEntry:
        principal: Principal | None = self._scope["state"].get("principal")
        what, path = _operation(self._scope)
        body = self._notes.get("body")
        plugin = str(path.get("name") or getattr(body, "name", ""))
        return AuditEntry(
            at=self._at,
            door=self._caller.door,
            kind=AuditKind.CHANGE if principal is not None else AuditKind.REFUSED,
            who=cut((self._caller.name or principal.name) if principal is not None else NOBODY, 200),
            what=what,
            method=cut(self._scope["method"], 20),
            role=principal.role.value if principal is not None else "",
            address=_address(self._scope),
            claimed=_claimed(self._scope),
            plugin=cut(plugin, 128),
            request=self._request(plugin, body, path),
            status=self._status,
            code=str(code or self._notes.get("code", "")),
            duration=round((time.monotonic() - self._began) * 1000, 1),
        )

    def _request(self, plugin: str, body: BaseModel | None, path: Mapping[str, Any]) -> dict[str, Any]:
        shown = self._plugin(plugin)
        values = body.model_dump(exclude_unset=True) if body is not None else {}
        values.pop("name", None)
        asked = summary(values, _secrets(shown, values.get("parameters")))
        facts = {
            "run_id": self._notes.get("run_id") or _number(path.get("run_id")),
            "generation": shown.get("generation") if shown else None,
        }
        return {**{key: value for key, value in facts.items() if value is not None}, **asked}

    def _plugin(self, name: str) -> Mapping[str, Any] | None:
        """Return what is shown of the plugin after a change of it that was a success, else None."""
        context = getattr(self._scope["app"].state, "context", None)
        if context is None or self._status is None or not 200 <= self._status < 300:
            return None
        return context.follower.plugins.get(name)


def _secrets(plugin: Mapping[str, Any] | None, parameters: Any) -> frozenset[str] | None:
    """Return which parameters are secret; None where that is not known."""
    if plugin is None or plugin.get("class_name") is None:
        return None
    schema = plugin.get("parameters_schema")
    if schema is None:
        return frozenset()
    # Of what this plugin does not declare, nobody can say.
    declared = {*schema.get("properties", {}), *OWN_PARAMETERS}
    return secret_names(schema) | (frozenset(parameters or ()) - declared)


def _operation(scope: Scope) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the call and what its path names; NOBODY's dash where there is no such call."""
    route = scope.get("route")
    if isinstance(route, APIRoute) and scope["method"] in route.methods:
        return route.name, scope.get("path_params", {})
    # It was refused before anybody looked for its route.
    for one in scope["app"].routes:
        match, found = one.matches(scope)
        if match is Match.FULL and isinstance(one, APIRoute):
            return one.name, found.get("path_params", {})
    return NOBODY, {}


def _number(text: Any) -> int | None:
    return int(text) if str(text).isdecimal() and len(str(text)) < 20 else None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    if not client:
        return ""
    host, port = client
    # uvicorn shows what a header says of who came by a proxy that it trusts; it then has no port.
    return f"{host}:{port}" if port else "a trusted proxy"


def _claimed(scope: Scope) -> str:
    claims = [value for key, value in scope["headers"] if key.lower() in (b"x-forwarded-for", b"forwarded")]
    return cut(b", ".join(claims).decode("latin-1"), 200)
