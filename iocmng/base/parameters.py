"""A plugin's parameters, checked by what declares them: config.yaml, a model of its class, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from iocmng.base.parameters_model import ModelCheck
from iocmng.core.json_values import deep_merge
from iocmng.core.parameters import ParametersSchema, parameters_rejected, run_refused
from iocmng.core.secrets import secret_texts
from iocmng.errors import PluginRejected


@dataclass(frozen=True, slots=True)
class CheckedParameters:
    """Parameters that have passed the check.

    Attributes:
        rules: What they were checked by.
        given: As they were given, in config.yaml and with the add or the run.
        values: As the plugin gets them: converted, and with the defaults.
        shown: The same as plain JSON, as the REST API shows them.
        typed: The instance of the class's model; None where it has none, or where a job waits for a required one.
    """

    rules: ParameterRules
    given: Mapping[str, Any]
    values: Mapping[str, Any]
    shown: Mapping[str, Any]
    typed: BaseModel | None = None

    def secret_texts(self) -> list[str]:
        """Return the texts that must not stand in a log line: the values of the secret parameters."""
        return secret_texts([value for name, value in self.given.items() if name in self.rules.secrets])

    def of_run(self, overrides: Mapping[str, Any]) -> CheckedParameters:
        """Return the parameters of one run: these with those of the call laid over them, deeply.

        Raises:
            InvalidRequest: With one entry for each wrong one.
        """
        try:
            return self.rules.check(deep_merge(self.given, overrides))
        except PluginRejected as error:
            raise run_refused(error) from None


class ParameterRules:
    """What one plugin declares of its parameters. To make one, and to check, may run the author's code.

    Args:
        declared: `parameters_schema` of its config.yaml.
        cls: Its class, which may have a model.

    Attributes:
        declared: `parameters_schema`, if that declares them.
        json_schema: JSON Schema of the parameters; None where nothing is declared.
        secrets: Names of the parameters whose values are never shown.
        warnings: What looks like a mistake of the author's.

    Raises:
        PluginRejected: For the step `config`, if both are there, or the model is of no use.
    """

    def __init__(self, declared: ParametersSchema | None = None, cls: type | None = None) -> None:
        self.declared = declared
        self._model = ModelCheck.of(cls) if cls is not None else None
        self.warnings = ModelCheck.warnings(cls) if cls is not None else ()
        self.json_schema = declared.to_json_schema() if declared is not None else None
        if self._model is not None:
            if declared is not None:
                raise parameters_rejected(
                    [
                        "parameters_schema: the parameters are declared here and by the class, as "
                        f"{self._model.name}; keep one of the two"
                    ]
                )
            self.json_schema = self._model.json_schema
        declares = self._model or declared
        self.secrets: frozenset[str] = declares.secrets if declares is not None else frozenset()

    def check(self, given: Mapping[str, Any], *, complete: bool = True) -> CheckedParameters:
        """Check parameters and fill in the defaults.

        Args:
            given: config.yaml's parameters with those of the add, or of a run, laid over them.
            complete: Whether all required ones must be there.

        Raises:
            PluginRejected: For the step `config`, with one entry for each wrong one.
        """
        if self._model is not None:
            return CheckedParameters(self, given, *self._model.check(given, complete=complete))
        values = dict(given) if self.declared is None else self.declared.check(given, complete=complete)
        return CheckedParameters(self, given, values, values)
