"""Makes a plugin's object, whatever its author's __init__ looks like."""

from __future__ import annotations

import inspect
import traceback
from typing import Any

from iocmng.base.author_errors import AUTHOR_ERRORS, OUR_FILES, describe
from iocmng.base.plugin import PluginBase, Runtime
from iocmng.errors import CheckFailure, PluginRejected


def construct(cls: type[PluginBase], runtime: Runtime) -> PluginBase:
    """Return a new object of the class, bound to its runtime before its `__init__` runs.

    Raises:
        PluginRejected: For the step `constructor`, if `__init__` raises.
    """
    try:
        plugin = cls.__new__(cls)
        plugin.bind_runtime(runtime)
        plugin.__init__(**_wanted_arguments(cls, runtime))  # pyright: ignore[reportUnknownMemberType]
    except AUTHOR_ERRORS as error:
        raise PluginRejected.because(author_failure("constructor", error)) from None
    return plugin


def author_failure(step: str, error: BaseException) -> CheckFailure:
    """Return the failed check for an exception of the author's code, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(OUR_FILES)] or list(frames)
    place = own[-1] if own else None
    return CheckFailure(
        step,
        describe(error),
        file=place.filename.rpartition("/")[2] if place else None,
        line=place.lineno if place else None,
    )


def _wanted_arguments(cls: type[PluginBase], runtime: Runtime) -> dict[str, Any]:
    """Return the arguments that the author's __init__ names; older plugins take `name` and `parameters`."""
    if cls.__init__ is PluginBase.__init__:
        return {}
    offered = {"name": runtime.name, "parameters": dict(runtime.parameters), "prefix": runtime.pv_prefix}
    parameters = inspect.signature(cls.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return offered
    return {name: value for name, value in offered.items() if name in parameters}
