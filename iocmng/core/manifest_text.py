"""From the text of config.yaml to a Manifest, with errors that name the line and the nearest valid word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from iocmng.core.manifest import Manifest, Parameters, PvSections
from iocmng.core.pvs import PV_TYPES, Alarms, BoolPv, EnumPv, FloatPv, IntPv, StringPv
from iocmng.errors import CheckFailure, PluginRejected

MAX_NODES = 20_000
"""YAML nodes after aliases are expanded; a real config.yaml has some hundred."""

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


class _Loader(yaml.SafeLoader):
    """YAML without tags, and without keys that stand twice."""


def _mapping_without_duplicates(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if key is not None and key != "<<" and key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen.add(key)
    loader.flatten_mapping(node)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)  # pyright: ignore[reportUnknownMemberType]


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_duplicates)  # pyright: ignore[reportUnknownMemberType]


def parse_manifest(text: str, file: str = "config.yaml") -> Manifest:
    """Read and check the text of a config.yaml (JSON is YAML too).

    Raises:
        PluginRejected: With one entry per mistake, each with its line.
    """
    data, root = _load(text, file)
    if data is None:
        return Manifest()
    if not isinstance(data, dict):
        raise _rejected(f"the file must hold a mapping, not a {type(data).__name__}", file, 1)
    known = {key: value for key, value in cast("dict[Any, Any]", data).items() if not str(key).startswith("x-")}
    try:
        return Manifest.model_validate(known)
    except ValidationError as error:
        failures = [
            CheckFailure("config", _sentence(item), file, _line(root, item["loc"]))
            for item in error.errors(include_url=False)
        ]
        raise PluginRejected.because(*failures) from error


def _load(text: str, file: str) -> tuple[Any, yaml.Node | None]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, None
        if _size(root, MAX_NODES) > MAX_NODES:
            raise _rejected(f"the file expands to more than {MAX_NODES} values", file, 1)
        return loader.construct_document(root), root  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _rejected(f"no valid YAML: {error.problem}", file, mark.line + 1 if mark else None) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _rejected(f"no valid YAML: {error}", file, None) from error
    finally:
        loader.dispose()  # pyright: ignore[reportUnknownMemberType]


def _size(node: yaml.Node, limit: int) -> int:
    """Count the nodes with aliases expanded, giving up a little beyond the limit."""
    count, stack = 0, [node]
    while stack and count <= limit:
        current = stack.pop()
        count += 1
        if isinstance(current, yaml.MappingNode):
            stack += [child for pair in cast("list[tuple[yaml.Node, yaml.Node]]", current.value) for child in pair]
        elif isinstance(current, yaml.SequenceNode):
            stack += cast("list[yaml.Node]", current.value)
    return count


def _rejected(message: str, file: str, line: int | None) -> PluginRejected:
    return PluginRejected.because(CheckFailure("config", message, file, line))


def _line(root: yaml.Node | None, place: Sequence[int | str]) -> int | None:
    """Return the line of the value at a place; words of pydantic's own in the place are passed over."""
    node, line = root, None
    for step in place:
        if isinstance(node, yaml.MappingNode):
            for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
                if key.value == str(step):
                    node, line = value, cast("int", key.start_mark.line) + 1  # pyright: ignore[reportUnknownMemberType]
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = cast("yaml.Node", node.value[step])
            line = cast("int", node.start_mark.line) + 1  # pyright: ignore[reportUnknownMemberType]
    return line


def _sentence(item: Any) -> str:
    place = [str(step) for step in item["loc"] if step not in (*PV_TYPES, "[key]")]
    where, kind = ".".join(place) or "the file", item["type"]
    word = place[-1] if place else ""
    match kind:
        case "extra_forbidden" if word in _LATER_KEYS:
            return f"{where}: links, rules and transforms are not part of this version of iocmng"
        case "extra_forbidden":
            return f"{where}: unknown key{_nearest(word, _keys_at(item['loc']))}"
        case "union_tag_invalid":
            tag = str(item["ctx"]["tag"])
            return f"{where}.type: unknown PV type {tag!r}{_nearest(tag, PV_TYPES)} (types are {', '.join(PV_TYPES)})"
        case "union_tag_not_found":
            return f"{where}: `type` is missing (types are {', '.join(PV_TYPES)})"
        case "literal_error" | "enum":
            given = str(item["input"])
            expected = [part.strip(" '") for part in item["ctx"]["expected"].replace(" or ", ",").split(",")]
            return f"{where}: {given!r} is not one of {', '.join(expected)}{_nearest(given, expected)}"
        case "string_type" if isinstance(item["input"], bool):
            return f"{where}: YAML reads this word as {str(item['input']).lower()}; write it in quotes to make it text"
        case "value_error":
            return f"{where}: {item['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{where}: {item['msg']}, not {item['input']!r:.80}"


def _nearest(word: str, valid: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(valid), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keys_at(place: Sequence[int | str]) -> list[str]:
    """Return the keys that are valid beside the one at fault."""
    model: type[BaseModel] = Manifest
    for step in place[:-1]:
        if step in ("pvs", "arguments"):
            model = PvSections
        elif step == "parameters":
            model = Parameters
        elif step in _PV_MODELS:
            model = _PV_MODELS[str(step)]
        elif step == "alarms":
            model = Alarms
    return [field.alias or name for name, field in model.model_fields.items()]
