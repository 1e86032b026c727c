"""Parameters with a single value that config.yaml may declare: numbers, text, true or false."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from iocmng.core.pv_fields import StrictModel, misplaced
from iocmng.core.words import nearest, short, shown


class DeclaredParameter(StrictModel):
    """What all declared parameters have."""

    description: str = ""
    """What the parameter means."""
    secret: bool = False
    """Whether its value is never shown: answers have `***` in its place, and the plugin gets it."""
    required: bool = False
    """Whether it must be given: a task's when it is added, a job's at the latest with the run."""

    def filled(self, value: Any) -> Any:
        """Return a value that was given as the plugin gets it.

        Raises:
            ValueError: If it does not fit.
        """
        return self.converted(value)

    @abstractmethod
    def converted(self, value: Any) -> Any:
        """Return a value as this type has it.

        Raises:
            ValueError: If it does not fit.
        """

    @abstractmethod
    def kind_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what the value must be."""

    def to_json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameter."""
        default = self.fallback()
        more = {"default": default, "description": self.description or None, "writeOnly": self.secret or None}
        return {**self.kind_schema(), **{key: value for key, value in more.items() if value is not None}}

    def fallback(self) -> Any:
        """Return the default, converted, or None where there is none."""
        default = getattr(self, "default", None)
        return None if default is None else self.converted(default)

    @model_validator(mode="after")
    def _default_fits(self) -> DeclaredParameter:
        default = getattr(self, "default", None)
        if default is None:
            return self
        if self.secret:
            raise misplaced(
                "a secret parameter has no default: it would stand in the repository; leave it out", "default"
            )
        if self.required:
            raise misplaced("a required parameter has no default; leave one of the two out", "required")
        try:
            self.converted(default)
        except ValueError as error:
            raise misplaced(str(error), "default") from None
        return self


class _Choosing(DeclaredParameter):
    """A single value, perhaps one of a few."""

    def _one_of_choices(self, value: Any) -> Any:
        choices: list[Any] | None = getattr(self, "choices", None)
        if choices is None or value in choices:
            return value
        words = [short(choice) for choice in choices]
        raise ValueError(f"{shown(value)} is not one of {', '.join(words)}{nearest(short(value), words)}")

    def _choices_fit(self) -> None:
        """Raise the error of config.yaml if the choices do not fit the other keys."""
        choices: list[Any] = getattr(self, "choices", None) or []
        for index, choice in enumerate(choices):
            if choice in choices[:index]:
                raise misplaced(f"{shown(choice)} stands twice", "choices", index)


class _Number(_Choosing):
    """A number, perhaps with bounds."""

    unit: str = ""
    """Unit, to be shown."""

    @abstractmethod
    def _number(self, value: Any) -> float | int: ...

    def converted(self, value: Any) -> float | int:
        """See DeclaredParameter."""
        return self._one_of_choices(self._within(self._number(value)))

    def kind_schema(self) -> dict[str, Any]:
        """See DeclaredParameter."""
        more = {
            "minimum": self._bound("min"),
            "maximum": self._bound("max"),
            "enum": getattr(self, "choices", None),
            "x-unit": self.unit or None,
        }
        word = "integer" if isinstance(self, IntParameter) else "number"
        return {"type": word} | {key: value for key, value in more.items() if value is not None}

    def _bound(self, key: str) -> float | int | None:
        return getattr(self, key)

    def _within(self, value: float | int) -> float | int:
        least, most = self._bound("min"), self._bound("max")
        unit = f" {self.unit}" if self.unit else ""
        if (least is None or value >= least) and (most is None or value <= most):
            return value
        if least is not None and most is not None:
            bounds = f"from {short(least)} to {short(most)}"
        else:
            bounds = f"at least {short(least)}" if least is not None else f"at most {short(most)}"
        raise ValueError(f"must be {bounds}{unit}, not {short(value)}")

    @model_validator(mode="after")
    def _bounds_and_choices(self) -> _Number:
        least, most = self._bound("min"), self._bound("max")
        if least is not None and most is not None and least > most:
            raise misplaced(f"min ({short(least)}) must not be above max ({short(most)})", "min")
        self._choices_fit()
        for index, choice in enumerate(cast("list[Any]", getattr(self, "choices", None) or [])):
            try:
                self._within(choice)
            except ValueError as error:
                raise misplaced(str(error), "choices", index) from None
        return self


class FloatParameter(_Number):
    """A number. Whole numbers are taken too."""

    type: Literal["float"]
    min: float | None = None
    """Least value."""
    max: float | None = None
    """Greatest value."""
    choices: Annotated[list[float], Field(min_length=1)] | None = None
    """The only values."""
    default: float | None = None
    """Value where none is given."""

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be a number, not {shown(value)}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"must be a number that a float can hold, not {shown(value)}")
        return number


class IntParameter(_Number):
    """A whole number."""

    type: Literal["int"]
    min: int | None = None
    """Least value."""
    max: int | None = None
    """Greatest value."""
    choices: Annotated[list[int], Field(min_length=1)] | None = None
    """The only values."""
    default: int | None = None
    """Value where none is given."""

    def _number(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {shown(value)}")
        return value


class BoolParameter(DeclaredParameter):
    """true or false."""

    type: Literal["bool"]
    default: bool | None = None
    """Value where none is given."""

    def converted(self, value: Any) -> bool:
        """See DeclaredParameter."""
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {shown(value)}")
        return value

    def kind_schema(self) -> dict[str, Any]:
        """See DeclaredParameter."""
        return {"type": "boolean"}


class StringParameter(_Choosing):
    """Text."""

    type: Literal["string"]
    choices: Annotated[list[str], Field(min_length=1)] | None = None
    """The only values."""
    default: str | None = None
    """Value where none is given."""

    def converted(self, value: Any) -> str:
        """See DeclaredParameter."""
        if not isinstance(value, str):
            raise ValueError(f"must be text, not {shown(value)}")
        return self._one_of_choices(value)

    def kind_schema(self) -> dict[str, Any]:
        """See DeclaredParameter."""
        return {"type": "string"} | ({"enum": self.choices} if self.choices else {})

    @model_validator(mode="after")
    def _no_choice_twice(self) -> StringParameter:
        self._choices_fit()
        return self


ScalarParameter = FloatParameter | IntParameter | BoolParameter | StringParameter

SCALARS: dict[str, type[ScalarParameter]] = {
    "float": FloatParameter,
    "int": IntParameter,
    "bool": BoolParameter,
    "string": StringParameter,
}
