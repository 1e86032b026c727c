"""From the server's replies to answers and errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from iocmng import errors
from iocmng.errors import CheckFailure, IocmngError, ServerUnreachable

_PROBLEM = "urn:iocmng:problem:"


def answer(status: int, headers: Mapping[str, str], body: bytes, url: str) -> Any:
    """Return the object that a reply holds.

    Raises:
        IocmngError: The error that it tells of; its class goes by the problem document's code.
        ServerUnreachable: If what answers is no iocmng server.
    """
    if 300 <= status < 400:
        place = headers.get("location", "another place")
        raise ServerUnreachable(f"{url} sends its callers to {place}; use that address")
    try:
        told: Any = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ServerUnreachable(f"what answers at {url} is no iocmng server (status {status})")
    if status >= 400:
        raise error_of(cast("dict[str, Any]", told), status)
    return cast("Any", told)


def error_of(problem: Mapping[str, Any], status: int) -> IocmngError:
    """Return the error that a problem document tells of."""
    code = str(problem.get("type", "")).removeprefix(_PROBLEM)
    sentence = str(problem.get("detail") or problem.get("message") or f"the server answered with status {status}")
    cls = error_class(code)
    error = cls(sentence)
    error.failures = tuple(_failures(problem))
    error.problem = dict(problem)
    error.run_id = problem.get("run_id")
    return error


def error_class(code: str) -> type[IocmngError]:
    """Return the class of a code; of one that this version does not know, the base of all."""
    pending = [IocmngError]
    while pending:
        cls = pending.pop()
        if cls.code == code and "code" in vars(cls) and cls.__module__ == errors.__name__:
            return cls
        pending += cls.__subclasses__()
    return IocmngError


def _failures(problem: Mapping[str, Any]) -> list[CheckFailure]:
    try:
        entries: list[dict[str, Any]] = problem["validation"]["errors"]
        return [
            CheckFailure(entry["step"], entry["message"], entry.get("file"), entry.get("line")) for entry in entries
        ]
    except (KeyError, TypeError, AttributeError):
        return []  # a proxy's problem document has none
