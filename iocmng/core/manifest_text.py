"""From the text of config.yaml to a Manifest, with errors that name the line and the nearest valid word."""

# pyright: reportUnknownMemberType=false
# PyYAML has no types.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from iocmng.core.limits import Limits
from iocmng.core.manifest import Manifest, Parameters, PvSections, place_of, plain
from iocmng.core.old_config import without_old_forms
from iocmng.core.parameter_types import PARAMETER_MODELS, PARAMETER_TYPES
from iocmng.core.pv_fields import Alarms
from iocmng.core.pvs import PV_TYPES, BoolPv, EnumPv, FloatPv, IntPv, StringPv
from iocmng.core.schedule_section import ScheduleSection
from iocmng.core.words import nearest, printable
from iocmng.core.yaml_text import load_yaml, rejected
from iocmng.errors import CheckFailure, PluginRejected

MAX_FAILURES = 20
"""Mistakes that are named."""

_PV_MODELS: dict[str, type[BaseModel]] = {
    "float": FloatPv,
    "int": IntPv,
    "bool": BoolPv,
    "string": StringPv,
    "enum": EnumPv,
}


_LATER_KEYS = frozenset(
    {"link", "link_mode", "poll_rate", "trigger", "buffer_size", "latch", "latch_dir", "rules", "transforms"}
    | {"rule_defaults"}
)


def parse_manifest(text: str, file: str = "config.yaml") -> Manifest:
    """Read and check the text of a config.yaml (JSON is YAML too).

    Raises:
        PluginRejected: With one entry per mistake, each with its line.
    """
    data, root = load_yaml(text, file)
    if data is None:
        return Manifest()
    if not isinstance(data, dict):
        raise rejected(f"the file must hold a mapping, not a {type(data).__name__}", file, 1)
    data, old_forms = without_old_forms(cast("dict[Any, Any]", data))
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        items = _without_consequences(error.errors(include_url=False))
        found = [(_sentence(item, root), _find(root, item)[1]) for item in items]
    else:
        if not (found := _undeclared(manifest, root)):
            return manifest.noting(printable(sentence) for sentence in old_forms)
    failures = [CheckFailure("config", printable(sentence), file, line) for sentence, line in found[:MAX_FAILURES]]
    if len(found) > MAX_FAILURES:
        failures.append(CheckFailure("config", f"and {len(found) - MAX_FAILURES} mistakes more", file))
    raise PluginRejected.because(*failures)


def _undeclared(manifest: Manifest, root: yaml.Node | None) -> list[tuple[str, int | None]]:
    """Return the mistakes in `parameters` by what `parameters_schema` declares, each with its line."""
    if manifest.parameters_schema is None:
        return []
    given = manifest.parameters.model_dump(exclude_unset=True)
    return [
        (f"parameters.{name}{problem}", _line(root, ["parameters", name]))
        for name, problem in manifest.parameters_schema.problems(given, complete=False)
    ]


def _without_consequences(items: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out "too short" for a list that is only too short because of mistakes in it."""
    above = {item["loc"][:-1] for item in items}
    return [item for item in items if item["type"] != "too_short" or item["loc"] not in above]


def _find(root: yaml.Node | None, item: ErrorDetails) -> tuple[list[str], int | None]:
    """Return the place of a mistake in the words of the file, and the line of the last of them that is there."""
    place = list(place_of(item))
    if place[:1] in (["pvs"], ["arguments"]) and len(place) > 3:
        del place[3]  # the PV's type, or "[key]": pydantic's own words
    if place[:1] == ["parameters_schema"] and len(item["loc"]) > 2:
        del place[2]  # the same of a parameter
    return _walk(root, place)


def _line(root: yaml.Node | None, place: Sequence[int | str]) -> int | None:
    """Return the line of a place."""
    return _walk(root, place)[1]


def _walk(root: yaml.Node | None, place: Sequence[int | str]) -> tuple[list[str], int | None]:
    words: list[str] = []
    node, line = root, None
    for step in place:
        key, node = _child(node, step)
        words.append(str(key.value) if isinstance(key, yaml.ScalarNode) else str(step))
        if key is not None:
            line = cast("int", key.start_mark.line) + 1
    return words, line


def _child(node: yaml.Node | None, step: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the key (or the list's element) and the value that a step leads to."""
    if isinstance(node, yaml.MappingNode):
        # From the end, because what `<<` merges in stands before the mapping's own keys.
        for key, value in reversed(cast("list[tuple[yaml.Node, yaml.Node]]", node.value)):
            if key.value == str(step) or (step in (0, 1) and _as_bool(key) is bool(step)):
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        element = cast("yaml.Node", node.value[step])
        return yaml.SequenceNode(element.tag, [], element.start_mark, element.end_mark), element
    return None, None


def _as_bool(key: yaml.Node) -> bool | None:
    """Return what YAML makes of a key like `on`."""
    is_bool = isinstance(key, yaml.ScalarNode) and key.tag == "tag:yaml.org,2002:bool"
    return yaml.SafeLoader.bool_values.get(str(key.value).lower()) if is_bool else None


def _sentence(item: ErrorDetails, root: yaml.Node | None) -> str:
    place, kind = _find(root, item)[0], item["type"]
    where = ".".join(place) or "the file"
    word, given, context = place[-1] if place else "", item["input"], item.get("ctx", {})
    match kind:
        case "extra_forbidden" if word in _LATER_KEYS:
            return f"{where}: links, rules and transforms are not part of this version of iocmng"
        case "extra_forbidden":
            return f"{where}: unknown key{nearest(word, _keys_at(item['loc']))}"
        case "union_tag_invalid":
            tag = str(context["tag"])
            what, types = _types_at(item["loc"])
            hint = nearest(tag, types)
            return f"{where}.type: unknown {what} type {tag!r:.80}{hint} (types are {', '.join(types)})"
        case "union_tag_not_found":
            return f"{where}: `type` is missing (types are {', '.join(_types_at(item['loc'])[1])})"
        case "missing":
            return f"{where} is missing"
        case "literal_error" | "enum":
            expected = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ",").split(",")]
            return f"{where}: {given!r:.80} is not one of {', '.join(expected)}{nearest(str(given), expected)}"
        case "string_type" | "invalid_key" if isinstance(given, bool):
            return f"{where}: YAML reads this word as {str(given).lower()}; write it in quotes to make it text"
        case "string_type" | "invalid_key":
            return f"{where}: must be text, not {given!r:.80}; write it in quotes"
        case "string_pattern_mismatch":
            return f"{where}: use letters, digits, '_' and '-', not {given!r:.80}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{where}: must hold a mapping (KEY: VALUE), not {given!r:.80}"
        case "tuple_type":
            return f"{where}: must be a list, not {given!r:.80}"
        case "too_short":
            return f"{where}: must have {context['min_length']} entry at least"
        case "too_long":
            return f"{where}: has {context['actual_length']} entries, {context['max_length']} at most are possible"
        case _:
            text = plain(item)
            return text if text.startswith("parameters") else f"{where}: {text}"


def _types_at(place: Sequence[int | str]) -> tuple[str, Sequence[str]]:
    """Return what has a type there, and the types."""
    return ("parameter", PARAMETER_TYPES) if place[0] == "parameters_schema" else ("PV", PV_TYPES)


def _keys_at(place: Sequence[int | str]) -> list[str]:
    """Return the keys that are valid beside the one at fault."""
    model: type[BaseModel] = Manifest
    if len(place) > 2 and place[0] == "parameters_schema":
        return list(PARAMETER_MODELS[str(place[2])].model_fields)
    for step in place[:-1]:
        if step in ("pvs", "arguments"):
            model = PvSections
        elif step == "parameters":
            model = Parameters
        elif step in _PV_MODELS:
            model = _PV_MODELS[str(step)]
        elif step == "alarms":
            model = Alarms
        elif step == "schedule":
            model = ScheduleSection
        elif step == "limits":
            model = Limits
    return [field.alias or name for name, field in model.model_fields.items()]
