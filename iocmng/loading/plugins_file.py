"""The plugins file (IOCMNG_PLUGINS_CONFIG): what is loaded when the server starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from iocmng.core.request import PluginRequest
from iocmng.errors import InvalidRequest
from iocmng.settings import read_yaml


def read_plugins_file(file: Path) -> tuple[list[PluginRequest], list[str]]:
    """Return the entries in their start order, and one sentence for each entry that does not fit.

    A `path` with neither git_url nor local_path is a directory, relative to the file.

    Raises:
        InvalidRequest: If the file as a whole cannot be read.
    """
    entries: Any = read_yaml(file).get("plugins") or []
    if not isinstance(entries, list):
        raise InvalidRequest(f"{file}: `plugins` must be a list")
    requests: list[PluginRequest] = []
    problems: list[str] = []
    for number, entry in enumerate(cast("list[Any]", entries), 1):
        try:
            requests.append(PluginRequest.model_validate(_with_local_path(entry, file.absolute().parent)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "entry"
            problems.append(f"{file}, entry {number}: {place}: {first['msg'].removeprefix('Value error, ')}")
    requests.sort(key=lambda request: (_order(request), request.name))
    return requests, problems


def _with_local_path(entry: Any, base: Path) -> Any:
    if not isinstance(entry, dict) or entry.get("git_url"):
        return cast("Any", entry)
    # 2.x took a branch for every entry, and looked at it only where there was a repository.
    fields = {key: value for key, value in cast("dict[str, Any]", entry).items() if key != "branch"}
    if fields.get("local_path"):
        return fields
    return {**fields, "local_path": str(base / str(fields.get("path") or ".")), "path": ""}


def _order(request: PluginRequest) -> float:
    return float("inf") if request.autostart_order is None else request.autostart_order
