"""How a call joins the application: documented, and guarded if it changes something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from iocmng.api.auth import authorize_change
from iocmng.api.documentation import UNREADABLE, Answers, json_body, problem_answers
from iocmng.core.builtin_pvs import Kind
from iocmng.errors import Forbidden, IocmngError, ServerUnavailable, Unauthorized

BASE = "/api/v1"
JSON = "application/json"
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


def json_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON that is already encoded."""
    return Response(body, status_code=status, headers=headers, media_type=JSON)


def add_read(app: FastAPI, path: str, endpoint: Callable[..., Any], call: Call) -> None:
    """Add a call that changes nothing and is free for everyone."""
    _add(app, "GET", path, endpoint, call, guarded=False)


def add_change(app: FastAPI, method: str, path: str, endpoint: Callable[..., Any], call: Call) -> None:
    """Add a call that changes something and asks who is calling before it reads anything."""
    _add(app, method, path, endpoint, call, guarded=True)


def _add(app: FastAPI, method: str, path: str, endpoint: Callable[..., Any], call: Call, *, guarded: bool) -> None:
    errors = (*call.errors, Unauthorized, Forbidden) if guarded else call.errors
    errors = (*errors, ServerUnavailable) if call.needs_controller else errors
    success: Answers = {call.status: {"model": call.answer, "description": call.answer.__doc__ or ""}}
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
        dependencies=[Depends(authorize_change)] if guarded else [],
        openapi_extra=json_body(call.body, required=call.needs_body, media=call.media) if call.body else None,
        include_in_schema=call.shown,
    )
