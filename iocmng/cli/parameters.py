"""`--param K=V`: what stands behind the equals sign is read like a value in config.yaml."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from iocmng.core.json_values import json_problem
from iocmng.core.yaml_text import load_yaml, plain_scalar
from iocmng.errors import InvalidRequest, PluginRejected

_BASE_SIXTY = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")
"""YAML 1.1 takes 12:30 for 750."""


def parse_parameters(given: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that options of the form K=V give; `a.b=1` sets b inside a.

    Numbers, true, false and null are what they are in YAML; [lists], {mappings} and "quoted texts" are YAML or JSON;
    everything else is text.

    Raises:
        InvalidRequest: If one is not of this form, or two contradict each other.
    """
    parameters: dict[str, Any] = {}
    for option in given:
        key, equals, text = option.partition("=")
        names = key.split(".")
        if not equals or not all(names):
            raise InvalidRequest(f"--param {option!r} must be of the form NAME=VALUE")
        _set(parameters, names, _value(key, text))
    return parameters


def _set(parameters: dict[str, Any], names: list[str], value: Any) -> None:
    place = parameters
    for name in names[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise InvalidRequest(f"--param {'.'.join(names)}: {name} has a value of its own already")
    if names[-1] in place:
        raise InvalidRequest(f"--param {'.'.join(names)} is given twice")
    place[names[-1]] = value


def _value(key: str, text: str) -> Any:
    is_structured = text.lstrip()[:1] in ("[", "{", '"', "'")
    try:
        value = load_yaml(text, "value")[0] if is_structured else _scalar(text)
    except PluginRejected as error:
        raise InvalidRequest(f"--param {key}: {error.failures[0].message}") from None
    if problem := json_problem(value, key):
        raise InvalidRequest(f"--param {problem}")
    return value


def _scalar(text: str) -> Any:
    if text == "" or _BASE_SIXTY.fullmatch(text):
        return text
    value = plain_scalar(text)
    return text if isinstance(value, datetime.date) else value
