"""All types of parameters that config.yaml may declare, as frozen and strict models that check and convert values."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError, model_validator

from iocmng.core.json_values import deep_merge
from iocmng.core.pv_fields import StrictModel, misplaced
from iocmng.core.scalar_parameters import SCALARS, DeclaredParameter, ScalarParameter
from iocmng.core.words import shown

PARAMETER_TYPES = ("float", "int", "bool", "string", "list", "array", "object", "mapping")

_Size = Annotated[int, Field(ge=0)]


class ListParameter(DeclaredParameter):
    """A list of values of one type."""

    type: Literal["list", "array"]
    element: Literal["float", "int", "bool", "string"]
    """Type of each element."""
    unit: str = ""
    """Unit of each element, to be shown."""
    min: float | int | None = None
    """Least value of each element."""
    max: float | int | None = None
    """Greatest value of each element."""
    choices: Annotated[list[float | int | str], Field(min_length=1)] | None = None
    """The only values of each element."""
    min_length: _Size = 0
    """Least number of elements."""
    max_length: _Size | None = None
    """Greatest number of elements."""
    default: list[Any] | None = None
    """Value where none is given."""

    def converted(self, value: Any) -> list[Any]:
        """See DeclaredParameter."""
        if not isinstance(value, list):
            raise ValueError(f"must be a list, not {shown(value)}")
        items = cast("list[Any]", value)
        if len(items) < self.min_length or (self.max_length is not None and len(items) > self.max_length):
            upper = "" if self.max_length is None else f" and {self.max_length} at most"
            raise ValueError(f"must have {self.min_length} elements at least{upper}, not {len(items)}")
        rule, found = self._rule(), list[Any]()
        for index, item in enumerate(items):
            try:
                found.append(rule.converted(item))
            except ValueError as error:
                raise ValueError(f"element {index}: {error}") from None
        return found

    def kind_schema(self) -> dict[str, Any]:
        """See DeclaredParameter."""
        more = {"minItems": self.min_length or None, "maxItems": self.max_length}
        items = self._rule().kind_schema()
        return {"type": "array", "items": items} | {key: value for key, value in more.items() if value is not None}

    def _rule(self) -> ScalarParameter:
        keys = self.model_fields_set & {"unit", "min", "max", "choices"}
        return SCALARS[self.element].model_validate({"type": self.element} | {key: getattr(self, key) for key in keys})

    @model_validator(mode="before")
    @classmethod
    def _element_fits(cls, data: Any) -> Any:
        # Before the default is looked at, which is checked with the rule of the elements.
        match data:
            case {"element": str(element)} if rule := SCALARS.get(element):
                keys = cast("dict[str, Any]", data).keys() & {"unit", "min", "max", "choices"}
                wrong = sorted(keys - rule.model_fields.keys())
                if wrong:
                    raise misplaced(f"not for a list of {element}", wrong[0])
                try:
                    rule.model_validate({"type": element} | {key: data[key] for key in keys})
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    place = (*first["loc"], *first.get("ctx", {}).get("place", ()))
                    raise misplaced(_words(first["msg"]), *place) from None
            case _:
                pass
        return data  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _lengths_rise(self) -> ListParameter:
        if self.max_length is not None and self.min_length > self.max_length:
            raise misplaced(f"min_length ({self.min_length}) must not be above max_length", "min_length")
        return self


class ObjectParameter(DeclaredParameter):
    """A mapping, of which nothing more is declared."""

    type: Literal["object", "mapping"]
    default: dict[str, Any] | None = None
    """Value where none is given; what is given is laid over it."""

    def filled(self, value: Any) -> dict[str, Any]:
        """See DeclaredParameter; the default is filled in, deeply."""
        return copy.deepcopy(deep_merge(self.default or {}, self.converted(value)))

    def converted(self, value: Any) -> dict[str, Any]:
        """See DeclaredParameter."""
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping (KEY: VALUE), not {shown(value)}")
        return copy.deepcopy(cast("dict[str, Any]", value))

    def kind_schema(self) -> dict[str, Any]:
        """See DeclaredParameter."""
        return {"type": "object"}


Parameter = Annotated[ScalarParameter | ListParameter | ObjectParameter, Field(discriminator="type")]

PARAMETER_MODELS: dict[str, type[StrictModel]] = {
    **SCALARS,
    **dict.fromkeys(("list", "array"), ListParameter),
    **dict.fromkeys(("object", "mapping"), ObjectParameter),
}
"""The models by the word that stands as `type`."""


def _words(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Input should be", "must be")
