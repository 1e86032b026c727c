"""Functions that authors offer to expressions of declarative tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar, overload

from iocmng.errors import InvalidRequest

_Function = TypeVar("_Function", bound=Callable[..., Any])

_registered: dict[str, Callable[..., Any]] = {}


@overload
def register(function: _Function) -> _Function: ...
@overload
def register(function: str) -> Callable[[_Function], _Function]: ...
def register(function: Callable[..., Any] | str) -> Any:
    """Register a function under its own name, or under the name given.

    A plugin runs in a process of its own, so one plugin's functions never meet another's.

    Example:
        >>> @register
        ... def celsius(kelvin):
        ...     return kelvin - 273.15

    Raises:
        InvalidRequest: If the name is no Python identifier.
    """
    if isinstance(function, str):
        return partial(_add, function)
    return _add(function.__name__, function)


def _add(name: str, function: _Function) -> _Function:
    if not name.isidentifier():
        raise InvalidRequest(f"function name {name!r} is not allowed: it must be a Python identifier")
    _registered[name] = function
    return function


def registered() -> Mapping[str, Callable[..., Any]]:
    """Return the registered functions by name, read-only."""
    return MappingProxyType(_registered)
