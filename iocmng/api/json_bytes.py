"""From Python values to JSON that every client can read, whatever a plugin put into them."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

_DEEPEST = 64


def encode(value: Any) -> bytes:
    """Return the value as JSON in UTF-8.

    It never fails on what a plugin may hold: NaN and the infinities become null (JSON has no such numbers), half a
    surrogate pair becomes '?', and an object of an unknown class becomes its text.
    """
    try:
        return _dump(value)
    except ValueError:  # PydanticSerializationError is one: a lone surrogate, a cycle, a __str__ that fails
        return _dump(_clean(value, 0))


def clean_text(text: str) -> str:
    """Return the text with each half of a surrogate pair replaced by '?'."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _dump(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="null", serialize_unknown=True, bytes_mode="base64")


def _clean(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        return "..."
    match value:
        case str():
            return clean_text(value)
        case None | bool() | int() | float():
            return value
        case dict():
            return {clean_text(str(key)): _clean(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(item, depth + 1) for item in value]
        case _:
            return f"<{type(value).__name__}>"
