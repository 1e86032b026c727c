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

from iocmng.api.problems import invalid_request
from iocmng.api.sentences import request_failures
from iocmng.errors import CheckFailure

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, model: type[Model], *, may_be_empty: bool = False) -> Model:
    """Return the body as the model.

    The content type hardly matters: `curl -d` says form, other tools say nothing, and JSON is what they send.

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
        return model.model_validate_json(body)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
    raise invalid_request(request_failures(mistakes, model.model_fields))
