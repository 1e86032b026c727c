"""How a call joins the application: documented, and guarded if it changes something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from iocmng.api.auth import authorize
from iocmng.api.documentation import UNREADABLE, Answers, json_body, problem_answers
from iocmng.core.access import Role
from iocmng.core.builtin_pvs import Kind
from iocmng.errors import Forbidden, IocmngError, ServerUnavailable, TooManyTries, Unauthorized

BASE = "/api/v1"
JSON = "application/json"
ROLE = "x-iocmng-role"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Collection:
    """One of the three ways to ask for plugins.

    Attributes:
        path: Where it stands in the URL.
        kind: What it holds; None is everything.
        noun: What one of them is called.
    """

    path: str
    kind: Kind | None
    noun: str

    @property
    def url(self) -> str:
        """Path of the collection."""
        return f"{BASE}/{self.path}"

    @property
    def one(self) -> str:
        """Path of one plugin, with its name open."""
        return f"{self.url}/{{name}}"


PLUGINS = Collection("plugins", None, "plugin")
TASKS = Collection("tasks", Kind.TASK, "task")
JOBS = Collection("jobs", Kind.JOB, "job")


@dataclass(frozen=True, slots=True)
class Call:
    """What the documentation says of a call.

    Attributes:
        name: The operation's id.
        summary: One line.
        answer: Model of the answer to a success.
        errors: What may go wrong, beyond what may always go wrong.
        status: Status of a success.
        more: Further answers; they win over those that follow from `answer` and `errors`.
        body: Model of the body.
        needs_body: Whether the body must be there.
        media: Content types of the body, for the documentation.
        needs_controller: Whether it answers 503 while the Controller has not been heard of.
        tag: Group in the documentation; unset: the collection's name.
        shown: Whether the documentation lists the call.
        names_in_body: Whether the body names the plugins that are concerned. The route then has to ask
            `auth.check_plugins`; of all other calls the path names the plugin, or it concerns none.
    """

    name: str
    summary: str
    answer: type[BaseModel]
    errors: tuple[type[IocmngError], ...] = ()
    status: int = 200
    more: Answers | None = None
    body: type[BaseModel] | None = None
    needs_body: bool = True
    media: tuple[str, ...] = (JSON,)
    needs_controller: bool = True
    tag: str | None = None
    shown: bool = True
    names_in_body: bool = False


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON that is already encoded."""
    return Response(body, status_code=status, headers=headers, media_type=JSON)


def add_read(app: FastAPI, path: str, endpoint: Callable[..., Any], call: Call, role: Role = Role.VIEWER) -> None:
    """Add a call that changes nothing.

    It is free for everyone where the server does not close its reads, unless it needs a higher role than the viewer's.
    """
    _add(app, "GET", path, endpoint, call, role, guarded=role is not Role.VIEWER)


def add_change(app: FastAPI, method: str, path: str, endpoint: Callable[..., Any], call: Call, role: Role) -> None:
    """Add a call that changes something, and asks who is calling before it reads anything."""
    _add(app, method, path, endpoint, call, role, guarded=True)


def _add(
    app: FastAPI, method: str, path: str, endpoint: Callable[..., Any], call: Call, role: Role, *, guarded: bool
) -> None:
    errors = (*call.errors, Unauthorized, Forbidden, TooManyTries) if guarded else call.errors
    errors = (*errors, ServerUnavailable) if call.needs_controller else errors
    success: Answers = {call.status: {"model": call.answer, "description": call.answer.__doc__ or ""}}
    body = json_body(call.body, required=call.needs_body, media=call.media) if call.body else {}
    app.add_api_route(
        path,
        endpoint,
        methods=[method],
        name=call.name,
        summary=call.summary,
        tags=[call.tag or path.removeprefix(f"{BASE}/").partition("/")[0]],
        status_code=call.status,
        response_model=None,
        responses={**success, **problem_answers(*errors), **(UNREADABLE if call.body else {}), **(call.more or {})},
        dependencies=[Depends(authorize(role, names_in_body=call.names_in_body))] if guarded else [],
        openapi_extra={ROLE: role.value, **body},
        include_in_schema=call.shown,
    )
