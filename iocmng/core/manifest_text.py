"""From the text of config.yaml to a Manifest, with errors that name the line and the nearest valid word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from iocmng.core.json_values import MAX_INT_BITS
from iocmng.core.manifest import Manifest, Parameters, PvSections, place_of, plain
from iocmng.core.pvs import PV_TYPES, Alarms, BoolPv, EnumPv, FloatPv, IntPv, StringPv
from iocmng.errors import CheckFailure, PluginRejected

MAX_NODES = 20_000
"""YAML nodes after aliases are expanded; a real config.yaml has some hundred."""

MAX_CHARACTERS = 256 * 1024
"""Characters of a config.yaml."""

MAX_LEVELS = 100
"""Levels of nesting of a config.yaml."""

MAX_FAILURES = 20
"""Mistakes that are named."""

_PV_MODELS: dict[str, type[BaseModel]] = {
    "float": FloatPv,
    "int": IntPv,
    "bool": BoolPv,
    "string": StringPv,
    "enum": EnumPv,
}

_TYPE_LIST = ", ".join(PV_TYPES)

_LATER_KEYS = frozenset(
    {"link", "link_mode", "poll_rate", "trigger", "buffer_size", "latch", "latch_dir", "rules", "transforms"}
    | {"rule_defaults"}
)


class _Loader(yaml.SafeLoader):
    """YAML that stays small, has no key twice, and says of each mistake where it stands; tabs may indent JSON."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._level = 0

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._nodes += 1
        self._level += 1
        if self._nodes > MAX_NODES:
            raise _mistake(f"the file has more than {MAX_NODES} values", self.peek_event())
        if self._level > MAX_LEVELS:
            raise _mistake(f"the file is nested more than {MAX_LEVELS} levels deep", self.peek_event())
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise _mistake(f"the key {key.value!r:.80} stands twice", key)
                seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value: Any = super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType]
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            raise _mistake(f"{node.value!r:.80} cannot be read: {error}", node) from error
        if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
            raise _mistake("the number is too large", node)
        return value


def _mistake(problem: str, where: yaml.Node | yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


# YAML 1.1 takes 1e-6 for text, YAML 1.2 and JSON for a number; so do we.
_Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
for _name in ("binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", yaml.SafeLoader.construct_undefined)  # pyright: ignore[reportUnknownMemberType]


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
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        items = _without_consequences(error.errors(include_url=False))
    failures = [CheckFailure("config", _sentence(item, root), file, _find(root, item)[1]) for item in items]
    if len(failures) > MAX_FAILURES:
        more = f"and {len(failures) - MAX_FAILURES} mistakes more"
        failures = [*failures[:MAX_FAILURES], CheckFailure("config", more, file)]
    raise PluginRejected.because(*failures)


def _load(text: str, file: str) -> tuple[Any, yaml.Node | None]:
    if len(text) > MAX_CHARACTERS:
        raise _rejected(f"the file has more than {MAX_CHARACTERS} characters; keep data in a file of its own", file, 1)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, None
        if _size(root, MAX_NODES) > MAX_NODES:
            raise _rejected(f"the file expands to more than {MAX_NODES} values", file, 1)
        return loader.construct_document(root), root  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _rejected(f"no valid YAML: {error.problem}", file, mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _rejected(f"no valid YAML: the character #x{error.character:04x} is not allowed", file, line) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _rejected(f"no valid YAML: {error}", file, None) from error


def _size(node: yaml.Node, limit: int) -> int:
    """Count the nodes with aliases expanded, giving up a little beyond the limit."""
    count, stack = 0, [node]
    while stack and count + len(stack) <= limit:
        current = stack.pop()
        count += 1
        if isinstance(current, yaml.MappingNode):
            stack += [child for pair in cast("list[tuple[yaml.Node, yaml.Node]]", current.value) for child in pair]
        elif isinstance(current, yaml.SequenceNode):
            stack += cast("list[yaml.Node]", current.value)
    return count + len(stack)


def _rejected(message: str, file: str, line: int | None) -> PluginRejected:
    return PluginRejected.because(CheckFailure("config", message, file, line))


def _without_consequences(items: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out "too short" for a list that is only too short because of mistakes in it."""
    places = [item["loc"] for item in items]
    return [
        item for item in items if item["type"] != "too_short" or not any(place[:-1] == item["loc"] for place in places)
    ]


def _find(root: yaml.Node | None, item: ErrorDetails) -> tuple[list[str], int | None]:
    """Return the place of a mistake in the words of the file, and the line of the last of them that is there."""
    place = list(place_of(item))
    if place[:1] in (["pvs"], ["arguments"]) and len(place) > 3:
        del place[3]  # the PV's type, or "[key]": pydantic's own words
    words: list[str] = []
    node, line = root, None
    for step in place:
        key, node = _child(node, step)
        words.append(str(key.value) if isinstance(key, yaml.ScalarNode) else str(step))
        if key is not None:
            line = cast("int", key.start_mark.line) + 1  # pyright: ignore[reportUnknownMemberType]
    return words, line


def _child(node: yaml.Node | None, step: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the key (or the list's element) and the value that a step leads to."""
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
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
    where = ".".join(place).encode(errors="replace").decode() or "the file"
    word, given, context = place[-1] if place else "", item["input"], item.get("ctx", {})
    match kind:
        case "extra_forbidden" if word in _LATER_KEYS:
            return f"{where}: links, rules and transforms are not part of this version of iocmng"
        case "extra_forbidden":
            return f"{where}: unknown key{_nearest(word, _keys_at(item['loc']))}"
        case "union_tag_invalid":
            tag = str(context["tag"]).encode(errors="replace").decode()
            return f"{where}.type: unknown PV type {tag!r:.80}{_nearest(tag, PV_TYPES)} (types are {_TYPE_LIST})"
        case "union_tag_not_found":
            return f"{where}: `type` is missing (types are {_TYPE_LIST})"
        case "missing":
            return f"{where} is missing"
        case "literal_error" | "enum":
            expected = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ",").split(",")]
            return f"{where}: {given!r:.80} is not one of {', '.join(expected)}{_nearest(str(given), expected)}"
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
        case "too_short" | "too_long":
            limit = context.get("max_length", context.get("min_length"))
            return f"{where}: {context['actual_length']} entries, {'at most' if kind == 'too_long' else 'at least'} {limit}"
        case _:
            return f"{where}: {plain(item)}"


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
