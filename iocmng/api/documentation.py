"""What FastAPI cannot know by itself for /openapi.json: problem documents, and the bodies that routes read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from iocmng.api.change_schemas import ApplyProblem, ApplyRequest, RollbackRequest
from iocmng.api.problems import PROBLEM_JSON
from iocmng.api.run_schemas import RunRequest
from iocmng.api.schemas import Problem
from iocmng.core.request import PluginChange, PluginRequest
from iocmng.errors import Forbidden, IocmngError, TooManyTries, Unauthorized

_REF = "#/components/schemas/{model}"
_BODIES: tuple[type[BaseModel], ...] = (PluginRequest, PluginChange, RollbackRequest, ApplyRequest, RunRequest)
_PROBLEMS: tuple[type[BaseModel], ...] = (Problem, ApplyProblem)

Answers = dict[int | str, dict[str, Any]]


def problem_answers(*errors: type[IocmngError]) -> Answers:
    """Return the `responses` of a route that may raise these errors."""
    texts: dict[int, list[str]] = {}
    for error in errors:
        texts.setdefault(error.http_status, []).append((error.__doc__ or "").partition("\n")[0])
    return {status: problem_answer(" ".join(lines)) for status, lines in sorted(texts.items())}


def problem_answer(description: str, model: type[BaseModel] = Problem) -> dict[str, Any]:
    """Return one of the `responses` of a route: a problem document."""
    return {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": _REF.format(model=model.__name__)}}},
    }


UNREADABLE: Answers = {415: problem_answer("The body is packed (Content-Encoding), or is a multipart form.")}
"""What every call with a body may answer beside its errors."""


def json_body(model: type[BaseModel], *, required: bool, media: Sequence[str]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads this body."""
    schema = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    return {"requestBody": {"required": required, "content": dict.fromkeys(media, schema)}}


def install_documentation(app: FastAPI, closed: Callable[[str], bool]) -> None:
    """Complete the OpenAPI document of an application that has all its routes.

    Args:
        app: The application.
        closed: Whether a read at this path needs a token.
    """
    generated = app.openapi

    def completed() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generated()
            _complete(document)
            for path, operations in document["paths"].items():
                if "get" in operations and closed(path):
                    _close(operations["get"])
        return generated()

    app.openapi = completed


def _close(operation: dict[str, Any]) -> None:
    operation["security"] = [{"token": []}]
    answers = {str(status): told for status, told in problem_answers(Unauthorized, Forbidden, TooManyTries).items()}
    operation["responses"] = {**answers, **operation["responses"]}


def _complete(document: dict[str, Any]) -> None:
    """Add our models, and take away the 422 that FastAPI adds where a route cannot answer so."""
    _, bodies = models_json_schema(
        [(model, "validation") for model in (*_BODIES, *_PROBLEMS)],
        ref_template=_REF,
    )
    schemas = document["components"]["schemas"]
    schemas.update(bodies["$defs"])
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
