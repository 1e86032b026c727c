"""What `iocmng-run` is given, in the form that release 2.x took it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from iocmng.errors import InvalidRequest

DECLARATIVE = "iocmng.declarative"
"""Module that stands for a DeclarativeTask without a file of its own."""


def module_directory(module: str | None, config: Path | None) -> Path:
    """Return the plugin's directory from what iocmng-run is given: a module name, or a config.yaml beside it.

    Raises:
        InvalidRequest: If neither is given, or there is no such module in the working directory or on Python's path.
    """
    if module is not None and module != DECLARATIVE:
        for place in (Path.cwd(), *map(Path, sys.path)):
            file = place.joinpath(*module.split(".")).with_suffix(".py")
            if file.is_file():
                return file.parent
        raise InvalidRequest(f"there is no module {module} in {Path.cwd()}, nor on Python's path")
    if config is None:
        raise InvalidRequest("give --module, or --config with a config.yaml that lies beside the plugin")
    return config.absolute().parent


def parameters_of(given: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that options of the form KEY=VALUE give: a number, true or false, or else text.

    Raises:
        InvalidRequest: If one is not of this form.
    """
    parameters: dict[str, Any] = {}
    for option in given:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"--param {option!r} must be of the form KEY=VALUE")
        parameters[key] = _value(text)
    return parameters


def _value(text: str) -> Any:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text.lower() == "true" if text.lower() in ("true", "false") else text
