"""Every error becomes a problem document of RFC 9457, with what dashboards look for repeated at the top level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from iocmng.api.audit import note
from iocmng.api.json_bytes import encode
from iocmng.api.sentences import request_failures, shortened
from iocmng.errors import CheckFailure, InvalidRequest, IocmngError, TooManyRuns, TooManyTries, Unauthorized

PROBLEM_JSON = "application/problem+json"

RETRY_AFTER = 5
"""Seconds after which a client that was refused because too much waits may try again."""


def problem(
    scope: Scope,
    *,
    status: int,
    code: str,
    detail: str,
    failures: Sequence[CheckFailure] = (),
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> Response:
    """Return the answer that tells of an error; `extensions` are further members of the document."""
    document = {
        "type": f"urn:iocmng:problem:{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": quote(scope["path"], safe="/:@!$&'()*+,;=", errors="replace"),
        "ok": False,
        "message": detail,
        "validation": {"ok": False, "errors": [failure.to_dict() for failure in failures]},
        **(extensions or {}),
    }
    note(scope, code=code)
    return Response(encode(document), status_code=status, headers=headers, media_type=PROBLEM_JSON)


def error_problem(scope: Scope, error: IocmngError) -> Response:
    """Return the answer for one of iocmng's own errors."""
    failures = error.failures
    if isinstance(error, InvalidRequest) and not failures:
        failures = (CheckFailure("request", error.message),)
    if error.run_id is not None:
        note(scope, run_id=error.run_id)
    return problem(
        scope,
        status=error.http_status,
        code=error.code,
        detail=error.message,
        failures=failures,
        headers=_headers(error),
        extensions=None if error.run_id is None else {"run_id": error.run_id},
    )


def _headers(error: IocmngError) -> dict[str, str] | None:
    match error:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case TooManyRuns():
            return {"Retry-After": str(RETRY_AFTER)}
        case TooManyTries():
            return {"Retry-After": str(error.retry_after)}
        case _:
            return None


def unexpected_problem(scope: Scope) -> Response:
    """Return the answer for a mistake of the server itself; what went wrong stands in its log only."""
    return problem(
        scope,
        status=500,
        code=IocmngError.code,
        detail="the server made a mistake; its log says which",
    )


def invalid_request(failures: Sequence[CheckFailure]) -> InvalidRequest:
    """Return the error for a call that has these mistakes."""
    return InvalidRequest("; ".join(failure.message for failure in failures), failures=failures)


def install(app: FastAPI) -> None:
    """Make the application answer every error with a problem document."""
    app.add_exception_handler(IocmngError, _on_iocmng_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_iocmng_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IocmngError)
    return error_problem(request.scope, error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    mistakes = [mistake | {"loc": mistake["loc"][1:]} for mistake in error.errors()]  # without `query` or `header`
    return error_problem(request.scope, invalid_request(request_failures(mistakes)))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    scope, headers = request.scope, dict(error.headers or {})
    path = shortened(scope["path"], 200)
    match error.status_code:
        case 404:
            detail = f"there is no call at {path}; /docs lists them"
        case 405:
            headers["Allow"] = ", ".join(_allowed_methods(request))
            detail = f"{scope['method']} is not possible at {path}; possible: {headers['Allow']}"
        case _:
            detail = error.detail
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "-").replace("'", "")
    return problem(scope, status=error.status_code, code=code, detail=detail, headers=headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes at this path; Starlette names only those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in route.methods or ()})
