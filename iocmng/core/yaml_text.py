"""Reads YAML that others wrote: quickly refused where it is too large, and each mistake with its line."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# PyYAML has no types.

from __future__ import annotations

import re
from typing import Any, cast

import yaml

from iocmng.core.json_values import MAX_INT_BITS
from iocmng.errors import CheckFailure, PluginRejected

MAX_NODES = 20_000
"""YAML nodes after aliases are expanded; a real config.yaml has some hundred."""

MAX_CHARACTERS = 256 * 1024
"""Characters of a config.yaml."""

MAX_LEVELS = 100
"""Levels of nesting of a config.yaml."""


_SCALARS = tuple(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "timestamp"))
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


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
        if node.tag in _NUMBERS and len(node.value) > MAX_INT_BITS + 2:  # 0b and the bits
            raise _mistake("the number is too large", node)
        try:
            value: Any = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            raise _mistake(f"{node.value!r:.80} cannot be read: {error}", node) from error
        if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
            raise _mistake("the number is too large", node)
        return _SURROGATES.sub(_joined, value) if isinstance(value, str) else value


def _joined(pair: re.Match[str]) -> str:
    """Return the character that JSON writes as two: YAML has escapes for all, JSON for the first 65536."""
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _mistake(problem: str, where: yaml.Node | yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


# YAML 1.1 takes 1e-6 for text, YAML 1.2 and JSON for a number; so do we.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
for _name in ("binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", yaml.SafeLoader.construct_undefined)


def load_yaml(text: str, file: str) -> tuple[Any, yaml.Node | None]:
    """Return the data and the nodes that it was made of; (None, None) for an empty text. JSON is YAML too.

    Raises:
        PluginRejected: If it is no valid YAML, has a tag or a key that stands twice, or is too large.
    """
    if len(text) > MAX_CHARACTERS:
        raise rejected(f"the file has more than {MAX_CHARACTERS} characters; keep data in a file of its own", file, 1)
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, None
        if _size(root, MAX_NODES) > MAX_NODES:
            raise rejected(f"the file expands to more than {MAX_NODES} values", file, 1)
        return loader.construct_document(root), root
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise rejected(f"no valid YAML: {error.problem}", file, mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise rejected(f"no valid YAML: the character #x{error.character:04x} is not allowed", file, line) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise rejected(f"no valid YAML: {error}", file, None) from error


def plain_scalar(text: str) -> Any:
    """Return what a word without quotes means in YAML: a number, true, false, null, a date, else the text itself.

    Raises:
        PluginRejected: If it is a number that is too large.
    """
    loader = _Loader("")
    try:
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))
        return loader.construct_object(yaml.ScalarNode(tag, text)) if tag in _SCALARS else text
    except yaml.MarkedYAMLError as error:
        raise rejected(f"no valid YAML: {error.problem}", "value", None) from error


def rejected(message: str, file: str, line: int | None) -> PluginRejected:
    """Return the error of a config.yaml with one mistake."""
    return PluginRejected.because(CheckFailure("config", message, file, line))


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
