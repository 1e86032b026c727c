"""Parameters that a plugin's class declares as a pydantic model. The model is the author's code, and runs as such."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from pydantic import AliasChoices, AliasPath, BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from iocmng.base.construct import author_failure
from iocmng.base.task_runner import AUTHOR_ERRORS
from iocmng.core.json_values import json_problem
from iocmng.core.manifest import place_of, plain
from iocmng.core.parameters import (
    OWN_PARAMETERS,
    closed,
    own_parameter_problem,
    parameters_rejected,
    unknown_parameter,
)
from iocmng.core.secrets import secret_names
from iocmng.errors import PluginRejected

INNER_CLASS, ATTRIBUTE = "Parameters", "parameters_model"
"""Where a plugin's class has its model: an inner class, or an attribute that names one from elsewhere."""

MAX_SCHEMA_BYTES = 256 * 1024
"""Bytes of a model's JSON Schema, which every list of plugins shows."""

Checked = tuple[dict[str, Any], dict[str, Any], BaseModel | None]
"""Values for the plugin, the same as plain JSON, and the model's instance."""


class ModelCheck:
    """Checks parameters by the model of one class.

    Attributes:
        name: How an author calls the model.
        json_schema: Its JSON Schema.
        secrets: Names under which values are given that are never shown: SecretStr, or `writeOnly` in their schema.
    """

    def __init__(self, model: type[BaseModel], name: str) -> None:
        self._model = model
        self._is_closed = model.model_config.get("extra", "forbid") == "forbid"
        self._keys = list(_keys(model))
        self.name = name
        for key in OWN_PARAMETERS:
            if key in self._keys or key in model.model_fields:
                raise parameters_rejected([f"{name}.{key}: {own_parameter_problem()}"])
        self.json_schema = self._schema()
        self.secrets = _all_names(model, secret_names(self.json_schema))
        for name in self.secrets & self.json_schema.get("properties", {}).keys():
            for key in ("default", "examples"):
                self.json_schema["properties"][name].pop(key, None)

    @classmethod
    def of(cls, plugin_class: type) -> ModelCheck | None:
        """Return the check of a plugin's class, or None if it has no model.

        Raises:
            PluginRejected: For the step `config`, if the model is of no use.
        """
        inner, named = getattr(plugin_class, INNER_CLASS, None), getattr(plugin_class, ATTRIBUTE, None)
        if named is not None and not _is_model(named):
            raise parameters_rejected(
                [f"{plugin_class.__name__}.{ATTRIBUTE} must be a class derived from pydantic.BaseModel"]
            )
        if named is not None and _is_model(inner) and inner is not named:
            raise parameters_rejected(
                [f"{plugin_class.__name__} has two models, {INNER_CLASS} and {ATTRIBUTE}; keep one of them"]
            )
        if named is None and not _is_model(inner):
            return None
        word = INNER_CLASS if named is None else ATTRIBUTE
        return cls(cast("type[BaseModel]", inner if named is None else named), f"{plugin_class.__name__}.{word}")

    @staticmethod
    def warnings(plugin_class: type) -> tuple[str, ...]:
        """Return what looks like a model and is none."""
        inner = getattr(plugin_class, INNER_CLASS, None)
        if not isinstance(inner, type) or _is_model(inner):
            return ()
        name = f"{plugin_class.__name__}.{INNER_CLASS}"
        return (f"{name} is not derived from pydantic.BaseModel, so the parameters are not checked by it",)

    def check(self, given: Mapping[str, Any], *, complete: bool) -> Checked:
        """Validate parameters.

        Raises:
            PluginRejected: For the step `config`, with one entry for each wrong one.
        """
        own = {name: value for name, value in given.items() if name in OWN_PARAMETERS}
        rest = {name: value for name, value in given.items() if name not in OWN_PARAMETERS}
        try:
            typed = self._validated(rest, complete)
            if typed is None:
                return {**own, **self._defaults(), **rest}, {**own, **self._defaults(), **rest}, None
            values, shown = {**own, **typed.model_dump()}, {**own, **typed.model_dump(mode="json")}
        except PluginRejected:
            raise
        except AUTHOR_ERRORS as error:
            failure = author_failure("config", error)
            message = "a validator raised (its text may quote a secret)" if self.secrets else failure.message
            raise PluginRejected.because(replace(failure, message=f"parameters: {message}")) from None
        if problem := json_problem(shown):
            raise parameters_rejected([problem])
        return values, shown, typed

    def _validated(self, values: dict[str, Any], complete: bool) -> BaseModel | None:
        """Return the model's instance, or None if nothing is wrong but that required ones are missing, as they may."""
        unknown = sorted(values.keys() - set(self._keys)) if self._is_closed else []
        sentences = [f"parameters.{name}: {unknown_parameter(name, self._keys)}" for name in unknown]
        known = {name: value for name, value in values.items() if name not in unknown}
        strict = None if "strict" in self._model.model_config else True
        typed = None
        try:
            # As JSON, where strict means: no text for a number, but text for what JSON has no type for, such as a date.
            typed = self._model.model_validate_json(json.dumps(known), strict=strict)
        except ValidationError as error:
            items = error.errors(include_url=False)
            sentences += [self._sentence(item) for item in items if complete or not _is_missing(item)]
        if sentences:
            raise parameters_rejected(sentences)
        return typed

    def _sentence(self, item: ErrorDetails) -> str:
        steps = [str(step) for step in place_of(item)]
        where = ".".join(["parameters", *steps])
        match item["type"]:
            case "missing":
                return f"{where} is missing; it must be given"
            case "extra_forbidden":
                return f"{where}: unknown parameter"
            case _ if steps and steps[0] in self.secrets:
                return f"{where}: does not fit (it is secret, so its value is not shown)"
            case _:
                return f"{where}: {plain(item)}"

    def _defaults(self) -> dict[str, Any]:
        properties: dict[str, Any] = self.json_schema.get("properties", {})
        return {name: field["default"] for name, field in properties.items() if "default" in field}

    def _schema(self) -> dict[str, Any]:
        try:
            # Through its text, because a default may be an object of the author's.
            text = json.dumps(self._model.model_json_schema())
            schema: dict[str, Any] = json.loads(text)
        except AUTHOR_ERRORS as error:
            failure = author_failure("config", error)
            raise parameters_rejected([f"{self.name} has no JSON Schema: {failure.message}"]) from None
        if len(text) > MAX_SCHEMA_BYTES:
            raise parameters_rejected([f"{self.name}: its JSON Schema is larger than {MAX_SCHEMA_BYTES // 1024} KiB"])
        if problem := json_problem(schema, self.name):
            raise parameters_rejected([problem])
        return {**schema, **closed()} if self._is_closed and "$ref" not in schema else schema


def _is_model(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, BaseModel) and not issubclass(thing, RootModel)


def _is_missing(item: ErrorDetails) -> bool:
    return item["type"] == "missing" and len(item["loc"]) == 1


def _all_names(model: type[BaseModel], shown: frozenset[str]) -> frozenset[str]:
    """Return the names of some fields and all their aliases."""
    names = set(shown)
    for name, field in model.model_fields.items():
        aliases = {name, *_aliases(field)}
        if aliases & shown:
            names |= aliases
    return frozenset(names)


def _aliases(field: FieldInfo) -> Iterator[str]:
    alias = field.validation_alias
    for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
        match choice:
            case str():
                yield choice
            case AliasPath(path=[str(first), *_]):
                yield first
            case _:
                pass


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Yield the names under which a model takes its fields."""
    config = model.model_config
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        if alias is None or by_name:
            yield name
        yield from _aliases(field)
