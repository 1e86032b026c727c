"""What may stand in `parameters`: plain JSON, checked before anything keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

MAX_DEPTH = 32
"""Levels of nesting that parameters may have."""

MAX_INT_BITS = 1024
"""Bits of a whole number: with more, JSON's readers take it for infinity, and Python refuses to write it."""


def json_problem(value: Any, place: str = "parameters", depth: int = 0) -> str | None:
    """Return what keeps a value from being plain JSON, with its place, or None if nothing does."""
    if depth > MAX_DEPTH:
        return f"{place} is nested more than {MAX_DEPTH} levels deep"
    match value:
        case None | bool():
            return None
        case int():
            return None if value.bit_length() <= MAX_INT_BITS else f"{place} is a whole number too large for JSON"
        case float():
            return None if math.isfinite(value) else f"{place} is {value}: JSON has no such number"
        case str():
            return None if _is_unicode(value) else f"{place} has a character that is no valid Unicode"
        case list():
            items = cast("list[Any]", value)
            return _first(json_problem(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(items))
        case dict():
            return _object_problem(cast("dict[Any, Any]", value), place, depth)
        case _:
            return f"{place} is a {type(value).__name__}, which is no JSON value; write it in quotes to make it text"


def _object_problem(value: dict[Any, Any], place: str, depth: int) -> str | None:
    for key, item in value.items():
        if not isinstance(key, str):
            return f"{place} has the key {key!r:.80}, which is not text; write it in quotes"
        if not _is_unicode(key):
            return f"{place} has a key with a character that is no valid Unicode"
        if problem := json_problem(item, f"{place}.{key}", depth + 1):
            return problem
    return None


def _first(problems: Any) -> str | None:
    return next((problem for problem in problems if problem), None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def deep_merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `override` laid over it; objects are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = deep_merge(cast("dict[str, Any]", below), cast("dict[str, Any]", value))
        else:
            merged[key] = value
    return merged


def merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `target` changed by a JSON Merge Patch (RFC 7396): objects are merged, a null takes a key away."""
    merged = dict(target)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            base = cast("dict[str, Any]", below) if isinstance(below, dict) else {}
            merged[key] = merge_patch(base, cast("dict[str, Any]", value))
        else:
            merged[key] = value
    return merged
