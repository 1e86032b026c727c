"""YAML files of the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from iocmng.errors import InvalidRequest


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file of the site holds.

    Raises:
        InvalidRequest: If it cannot be read or holds something else.
    """
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        # Not PyYAML's own text: it quotes the line, which may hold a credential.
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidRequest(f"{path}{place} is no valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} is no valid YAML: {type(error).__name__}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InvalidRequest(f"{path} must hold a mapping, not a {type(data).__name__}")
    return data  # pyright: ignore[reportUnknownVariableType]
