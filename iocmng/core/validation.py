"""The outcome of a plugin's checks, in the words of the REST contract. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from iocmng.core.spec import PluginFacts
from iocmng.errors import CheckFailure

STEPS = ("clone", "dependencies", "config", "syntax", "import", "inheritance", "abstract methods")
"""Names of all checks of a plugin, in the order in which they are made."""


def validation(failures: Sequence[CheckFailure], warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return the `validation` object."""
    return {"ok": not failures, "errors": [failure.to_dict() for failure in failures], "warnings": list(warnings)}


def shown_validation(failures: Sequence[CheckFailure], warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Return the `validation` of a plugin object: its `errors` are texts, which dashboards of 2.x show as they are."""
    texts = [str(failure) for failure in failures]
    return {**validation(failures, warnings), "errors": texts, "failures": [failure.to_dict() for failure in failures]}


class StepState(StrEnum):
    """What became of one check."""

    OK = "ok"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What all checks of a plugin have found.

    Attributes:
        passed: Names of the checks that the plugin has passed.
        failures: What is wrong.
        facts: What is known of the plugin, if it has passed.
    """

    passed: frozenset[str]
    failures: tuple[CheckFailure, ...] = ()
    facts: PluginFacts | None = None

    @property
    def ok(self) -> bool:
        """Whether a server takes the plugin, as far as its checks go."""
        return not self.failures

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server would warn of."""
        return self.facts.warnings if self.facts else ()

    def steps(self) -> dict[str, StepState]:
        """Return what became of each check, in their order."""
        failed = {failure.step for failure in self.failures}
        return {
            step: StepState.FAILED if step in failed else StepState.OK if step in self.passed else StepState.NOT_RUN
            for step in STEPS
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the `validation` object that a server would answer."""
        return validation(self.failures, self.warnings)


def steps_before(step: str) -> frozenset[str]:
    """Return the checks that come before one, all of them if it is none of the seven."""
    return frozenset(STEPS[: STEPS.index(step)]) if step in STEPS else frozenset(STEPS)
