"""Forms of config.yaml that release 2.x took, or that generators wrote for it, read as what is meant by them. Pure.

Nothing is passed over in silence: each form gets a sentence, which people see as a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

_KEYS = ("unit", "prec", "low", "high", "znam", "onam", "alarm_on")
"""Keys that 2.x took for every type of PV, and used for some."""

OLD_HIGH = 100
"""What 2.x took for `high` where nothing was said."""

_USED = {
    "float": frozenset({"unit", "prec", "low", "high"}),
    "int": frozenset({"unit", "low", "high"}),
    "bool": frozenset({"znam", "onam", "alarm_on"}),
    "string": frozenset[str](),
}
"""Which of them each type of 2.x has now."""


def without_old_forms(document: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """Return the contents of a config.yaml in today's form, and a sentence on each thing that was another one."""
    sentences: list[str] = []
    changed = dict(document)
    for section, direction, name, body in _old_pvs(document):
        place = f"{section}.{direction}.{name}"
        new = _renewed(body, place, sentences)
        if new != body:
            table = changed[section] = dict(changed[section])
            table[direction] = {**table[direction], name: new}
    return changed, tuple(sentences)


def _old_pvs(document: dict[Any, Any]) -> Iterator[tuple[str, str, Any, dict[str, Any]]]:
    """Yield each PV of a type that 2.x had, with the place where it stands."""
    for section in ("pvs", "arguments"):
        for direction in ("inputs", "outputs"):
            sections: Any = document.get(section)
            table: Any = cast("dict[Any, Any]", sections).get(direction) if isinstance(sections, dict) else None
            for name, body in cast("dict[Any, Any]", table).items() if isinstance(table, dict) else ():
                kind: Any = cast("dict[Any, Any]", body).get("type") if isinstance(body, dict) else None
                if isinstance(kind, str) and kind in _USED:
                    yield section, direction, name, body


def _renewed(body: dict[str, Any], place: str, sentences: list[str]) -> dict[str, Any]:
    new, kind = dict(body), body["type"]
    if kind == "string" and "value" in new and not isinstance(new["value"], str | bool):
        _renew_text(new, place, sentences)
    if kind in ("float", "int") and new.get("alarm_on") and "alarms" not in new:
        high, severity = new.get("high", OLD_HIGH), new.pop("alarm_on")
        new["alarms"] = {"high": high, "high_severity": severity}
        sentences.append(
            f"{place}.alarm_on: read as `alarms: {{high: {high}, high_severity: {severity}}}`; write that instead"
        )
    for key in [key for key in _KEYS if key in new and key not in _USED[kind]]:
        del new[key]
        sentences.append(f"{place}.{key}: a PV of type {kind} has none, so it was passed over; take it out")
    return new


def _renew_text(new: dict[str, Any], place: str, sentences: list[str]) -> None:
    """Read a number, and the nothing behind `value:`, as the text that generators meant by it."""
    value = new["value"]
    if value is None:
        new["value"] = ""
    elif isinstance(value, int | float):
        new["value"] = str(value)
    else:
        return
    sentences.append(f"{place}.value: read as the text {new['value']!r}; write it in quotes")
