"""Bodies and answers of rollback and apply."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iocmng.api.schemas import Answer, Problem
from iocmng.core.request import PluginRequest


class RollbackRequest(BaseModel):
    """The body of a rollback; it may be absent."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    generation: Annotated[int | None, Field(ge=1, lt=2**31)] = None
    """Where to go back to; unset: the newest that ran before the present one."""


class ApplyRequest(BaseModel):
    """The body of an apply: all the plugins that one plugins file asks for."""

    # Inputs are hidden because the text of a ValidationError would show the PATs.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    owner: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]
    """The plugins file, by its path. What it asked for earlier and asks for no longer is removed."""
    plugins: Annotated[list[PluginRequest], Field(max_length=1000)]
    """Its entries; none removes all that it asked for earlier."""

    @model_validator(mode="after")
    def _each_name_once(self) -> ApplyRequest:
        counts = Counter(plugin.name for plugin in self.plugins)
        if repeated := sorted(name for name, count in counts.items() if count > 1):
            names = ", ".join(repr(name) for name in repeated)
            raise ValueError(f"each plugin may stand in plugins once, but these are repeated: {names}")
        return self


class AppliedObject(Answer):
    """What was done with one plugin."""

    name: str
    action: Literal["added", "changed", "unchanged", "removed", "failed"]
    message: str
    """Why, where there is something to say."""


class ApplyAnswer(Answer):
    """Every plugin is as the file asks for."""

    ok: Literal[True]
    message: str
    results: list[AppliedObject]


class ApplyProblem(Problem):
    """A problem document of RFC 9457 that also tells what was done; `validation.errors` has one entry per failure."""

    results: list[AppliedObject] = []
    """What was done with each plugin; absent where the body was wrong and nothing was done."""
