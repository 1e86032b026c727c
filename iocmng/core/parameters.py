"""`parameters_schema` of config.yaml: what a plugin declares of its parameters, and the check of values against it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, RootModel, model_validator

from iocmng.core.json_values import deep_merge
from iocmng.core.parameter_types import Parameter
from iocmng.core.pv_fields import misplaced
from iocmng.core.words import nearest
from iocmng.errors import CheckFailure, InvalidRequest, PluginRejected

OWN_PARAMETERS = ("mode", "interval", "version", "triggered")
"""Parameters that iocmng itself reads: they may be given beside the declared ones, and cannot be declared."""

MAX_FAILURES = 20
"""Mistakes that are named."""


class ParametersSchema(RootModel[dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=128)], Parameter]]):
    """The parameters that a plugin declares, by name."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _no_own(self) -> ParametersSchema:
        for name in OWN_PARAMETERS:
            if name in self.root:
                raise misplaced(own_parameter_problem(), name)
        return self

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the parameters whose values are never shown."""
        return frozenset(name for name, parameter in self.root.items() if parameter.secret)

    def to_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameters; units stand under `x-unit`."""
        required = [name for name, parameter in self.root.items() if parameter.required]
        return {
            "type": "object",
            "properties": {name: parameter.to_json_schema() for name, parameter in self.root.items()},
            **({"required": required} if required else {}),
            **closed(),
        }

    def problems(
        self, values: Mapping[str, Any], *, complete: bool, elsewhere: Container[str] = ()
    ) -> list[tuple[str, str]]:
        """Return the mistakes, each as the parameter's name and what is to be said of it.

        Args:
            values: The values given.
            complete: Whether it is a mistake that a required one is missing.
            elsewhere: Those that are given, though not here.
        """
        found: list[tuple[str, str]] = []
        for name, value in values.items():
            try:
                if parameter := self.root.get(name):
                    parameter.converted(value)
                elif name not in OWN_PARAMETERS:
                    raise ValueError(unknown_parameter(name, self.root))
            except ValueError as error:
                is_secret = name in self.root and self.root[name].secret
                found.append((name, f": {_SECRET_PROBLEM if is_secret else error}"))
        if complete:
            required = (name for name, parameter in self.root.items() if parameter.required)
            missing = (name for name in required if name not in values and name not in elsewhere)
            found += [(name, " is missing; it must be given") for name in missing]
        return found

    def check_run(self, own: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
        """Check the parameters of a run.

        Args:
            own: The job's own as they are shown, so without its secrets, which have been checked.
            overrides: Those of the run, laid over them, deeply.

        Raises:
            PluginRejected: With one entry for each wrong one.
        """
        hidden = self.secrets & own.keys()
        values = deep_merge({name: value for name, value in own.items() if name not in hidden}, overrides)
        if problems := self.problems(values, complete=True, elsewhere=hidden):
            raise _rejected(problems)

    def check(self, values: Mapping[str, Any], *, complete: bool = True) -> dict[str, Any]:
        """Return the values as the plugin gets them, with the defaults of those that are not given.

        Args:
            values: The values given; those that iocmng itself reads are passed on as they are.
            complete: Whether all required ones must be there.

        Raises:
            PluginRejected: With one entry for each wrong one.
        """
        if problems := self.problems(values, complete=complete):
            raise _rejected(problems)
        checked = {name: value for name, value in values.items() if name not in self.root}
        for name, parameter in self.root.items():
            if name in values:
                checked[name] = parameter.filled(values[name])
            elif (default := parameter.fallback()) is not None:
                checked[name] = default
        return checked


_SECRET_PROBLEM = "does not fit what parameters_schema says of it (it is secret, so its value is not shown)"


def _rejected(problems: list[tuple[str, str]]) -> PluginRejected:
    return parameters_rejected([f"parameters.{name}{problem}" for name, problem in problems])


def closed() -> dict[str, Any]:
    """Return what a JSON Schema of parameters says of names that are not declared."""
    return {"patternProperties": {f"^({'|'.join(OWN_PARAMETERS)})$": {}}, "additionalProperties": False}


def own_parameter_problem() -> str:
    """Return what is said of a declared parameter that has a name of iocmng's own."""
    return f"iocmng itself reads this parameter; choose another name (taken are {', '.join(OWN_PARAMETERS)})"


def unknown_parameter(name: str, declared: Iterable[str]) -> str:
    """Return what is said of a parameter that is not declared."""
    names = list(declared)
    listed = f" (parameters are {', '.join(names)})" if names else "; the plugin has no parameters"
    return f"unknown parameter{nearest(name, names) or listed}"


def parameters_rejected(sentences: list[str]) -> PluginRejected:
    """Return the error for these mistakes."""
    named = [CheckFailure("config", sentence) for sentence in sentences[:MAX_FAILURES]]
    if len(sentences) > MAX_FAILURES:
        named.append(CheckFailure("config", f"and {len(sentences) - MAX_FAILURES} mistakes more"))
    return PluginRejected.because(*named)


def run_refused(error: PluginRejected) -> InvalidRequest:
    """Return the same mistakes as those of a call that asks for a run."""
    failures = [CheckFailure("request", failure.message, failure.file, failure.line) for failure in error.failures]
    return InvalidRequest("; ".join(failure.message for failure in failures), failures=failures)
