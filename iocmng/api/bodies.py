"""Reads JSON bodies.

FastAPI's own reading is not used: it parses before it asks who is calling, answers 400 for some bodies and lets NaN
and half surrogate pairs in, and it refuses what `curl -d` sends. pydantic's JSON parser is strict and has a limit on
nesting, and errors come out with one entry each.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from iocmng.api.audit import note
from iocmng.api.problems import invalid_request
from iocmng.api.sentences import request_failures
from iocmng.errors import CheckFailure

Model = TypeVar("Model", bound=BaseModel)


async def read_body(
    request: Request, model: type[Model], *, may_be_empty: bool = False, entries: type[BaseModel] | None = None
) -> Model:
    """Return the body as the model.

    The content type hardly matters: `curl -d` says form, other tools say nothing, and JSON is what they send.

    Args:
        request: The call.
        model: What the body must fit.
        may_be_empty: Whether no body is as good as {}.
        entries: Model of the objects in the body's list, if it has one.

    Raises:
        InvalidRequest: If it is no JSON, or does not fit the model.
        HTTPException: 415 for a multipart body.
    """
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415, "send the body as JSON (Content-Type: application/json), not as a multipart form")
    body = await request.body()
    if not body.strip():
        if not may_be_empty:
            raise invalid_request([CheckFailure("request", "the body is empty; send a JSON object")])
        body = b"{}"
    try:
        read = model.model_validate_json(body)
        note(request.scope, body=read)
        return read
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
    raise invalid_request(request_failures(mistakes, model.model_fields, entries.model_fields if entries else ()))


async def read_patch(request: Request, model: type[Model]) -> Model:
    """Return the body, a JSON Merge Patch, as the model.

    Raises:
        InvalidRequest: Also if it changes nothing.
    """
    patch = await read_body(request, model, may_be_empty=True)
    if not patch.model_fields_set:
        keys = ", ".join(model.model_fields)
        raise invalid_request([CheckFailure("request", f"the patch changes nothing; it may have the keys {keys}")])
    return patch
