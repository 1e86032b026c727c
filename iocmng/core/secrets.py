"""Parameters whose values nobody is shown: passwords and the like. The plugin gets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

HIDDEN = "***"
"""What stands in answers in the place of a secret value."""

SHORTEST = 4
"""Characters of a secret text that is taken out of log lines; a shorter one would take out what is none."""


def without_secrets(values: Mapping[str, Any], secrets: frozenset[str] | None) -> dict[str, Any]:
    """Return parameters as they may be shown.

    Args:
        values: The parameters.
        secrets: Names of those that are secret; None where that is not known, so that all may be.
    """
    return {name: HIDDEN if secrets is None or name in secrets else value for name, value in values.items()}


def kept_secrets(changed: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return changed parameters; where a client has sent back what it was shown of a secret, that stays as it was."""
    return {name: before[name] if value == HIDDEN and name in before else value for name, value in changed.items()}


def secret_names(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the parameters in whose JSON Schema `writeOnly: true` stands, however deep."""
    definitions = schema.get("$defs", {})

    def is_secret(part: Any, seen: frozenset[str]) -> bool:
        match part:
            case {"writeOnly": True}:
                return True
            case {"$ref": str(reference)} if reference not in seen:
                rest = {key: value for key, value in cast("dict[str, Any]", part).items() if key != "$ref"}
                target = definitions.get(reference.rpartition("/")[2])
                return is_secret(target, seen | {reference}) or is_secret(rest, seen)
            case dict():
                return any(is_secret(value, seen) for value in cast("dict[str, Any]", part).values())
            case list():
                return any(is_secret(value, seen) for value in cast("list[Any]", part))
            case _:
                return False

    properties: dict[str, Any] = schema.get("properties", {})
    return frozenset(name for name, part in properties.items() if is_secret(part, frozenset()))


def secret_texts(value: Any) -> list[str]:
    """Return the texts of a secret value that are long enough to be found in a log line, the longest first."""
    return sorted({text for text in _texts(value) if len(text) >= SHORTEST}, key=len, reverse=True)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for item in cast("Mapping[Any, Any]", value).values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in cast("list[Any]", value):
            yield from _texts(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
