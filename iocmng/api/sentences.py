"""From pydantic's errors to sentences for people. What the caller sent is never repeated: it may be a credential."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from iocmng.errors import CheckFailure

MOST_FAILURES = 10
_LONGEST_MESSAGE = 400
_LONGEST_KEY = 60
_NAME_RULE = "use 1 to 128 letters, digits, '_' and '-', beginning with a letter or a digit"


def request_failures(
    errors: Sequence[Mapping[str, Any]], valid_keys: Iterable[str] = (), entry_keys: Iterable[str] = ()
) -> list[CheckFailure]:
    """Return one entry for each error that pydantic found in a call, ten at most.

    Args:
        errors: What `ValidationError.errors()` returns; `loc` begins with a key, not with `query` and the like.
        valid_keys: Keys that the body may have.
        entry_keys: Keys that the objects in the body's list may have.
    """
    keys = (list(valid_keys), list(entry_keys))
    failures = [CheckFailure("request", shortened(_sentence(error, *keys))) for error in errors[:MOST_FAILURES]]
    if len(errors) > MOST_FAILURES:
        failures.append(CheckFailure("request", f"and {len(errors) - MOST_FAILURES} mistakes more"))
    return failures


def shortened(text: str, limit: int = _LONGEST_MESSAGE) -> str:
    """Return the text, cut with a mark where it is too long."""
    return text if len(text) <= limit else f"{text[:limit]}..."


def _sentence(error: Mapping[str, Any], keys: list[str], entry_keys: list[str]) -> str:
    place = [str(step) for step in error["loc"]]
    field = shortened(".".join(place), _LONGEST_KEY)
    message = str(error["msg"]).removeprefix("Value error, ")
    match error["type"]:
        case "json_invalid":
            return f"the body is no valid JSON: {message.removeprefix('Invalid JSON: ')}"
        case "model_type" | "model_attributes_type":
            return f"{field or 'the body'} must be a JSON object"
        case "extra_forbidden":
            return f"unknown key {field!r}{_nearest(place[-1], entry_keys if len(place) > 1 else keys)}"
        case "missing":
            return f"{field!r} is missing"
        case "string_pattern_mismatch" if place[-1:] == ["name"]:
            return f"{field}: {_NAME_RULE}"
        case "dict_type":
            return f"{field}: must be a JSON object"
        case "enum" | "literal_error":
            return f"{field}: must be {error['ctx']['expected']}"
        case "value_error":
            return message if not field or message.startswith(field) else f"{field}: {message}"
        case _:
            return f"{field}: {message[:1].lower()}{message[1:]}"


def _nearest(word: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(word, valid, n=1)
    return f"; did you mean {close[0]!r}?" if close else f" (keys are {', '.join(valid)})"
