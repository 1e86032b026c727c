"""From the configuration of an older controller to a plugins file, and what is left to be done by hand. Pure.

The older file is one mapping, `prefix, tasksrepo, tasksrev, tasks: [{name, module, parameters, pvs}]`, and its tasks
are modules side by side in one repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from iocmng.core.builtin_pvs import Kind, reserved_names
from iocmng.core.manifest import Manifest, place_of, plain
from iocmng.core.names import check_plugin_name, check_prefix
from iocmng.core.request import PluginRequest
from iocmng.core.words import nearest
from iocmng.errors import InvalidRequest

_KEYS = ("prefix", "tasksrepo", "tasksrev", "tasks")
_TASK_KEYS = ("name", "module", "parameters", "pvs")

CLASS_HINT = (
    "in each module: `from iocmng import TaskBase` instead of task_base; initialize() for what ran once, execute() for "
    "one turn of the loop in run(), cleanup() for what came after it; on_write(pv_name, value) instead of "
    "handle_pv_write(); self.cycle_count instead of get_cycle(); self.set_pv() instead of writing to records; no "
    "cothread.Sleep: `interval` among the parameters says how often execute() is called"
)
"""What has to be done in every class of the older kind."""


@dataclass(frozen=True, slots=True)
class TaskToMove:
    """One task of the older file.

    Attributes:
        entry: Its entry in the plugins file.
        config: Its config.yaml, which lies beside its module; empty where none is needed.
        hands: What somebody has to do, a sentence each.
    """

    entry: dict[str, Any]
    config: dict[str, Any]
    hands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """What became of an older file.

    Attributes:
        tasks: Its tasks, in their order.
        hands: What somebody has to do that concerns no task alone.
    """

    tasks: tuple[TaskToMove, ...]
    hands: tuple[str, ...]

    def plugins_file(self) -> dict[str, Any]:
        """Return the contents of the plugins file."""
        return {"plugins": [task.entry for task in self.tasks]}


def import_controller(document: Mapping[str, Any]) -> Import:
    """Return what the older file becomes.

    Args:
        document: Contents of the file.

    Raises:
        InvalidRequest: If it is no such file.
    """
    tasks: Any = document.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise InvalidRequest("this is no file of an older controller: it has no list `tasks` with a task in it")
    repository, revision = (_text(document, key) for key in ("tasksrepo", "tasksrev"))
    if not repository:
        raise InvalidRequest("`tasksrepo` is missing: the URL of the repository in which the tasks' modules lie")
    moved: list[TaskToMove] = []
    for number, task in enumerate(cast("list[Any]", tasks), 1):
        if not isinstance(task, dict):
            raise InvalidRequest(f"task {number} must be a mapping with name and module, not a {type(task).__name__}")
        moved.append(_move(cast("dict[str, Any]", task), number, repository, revision))
    names = [task.entry["name"] for task in moved]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidRequest(f"two tasks have the name {', '.join(twice)}; a plugin's name is unique")
    return Import(tuple(moved), (*_site_hands(document), CLASS_HINT))


def _site_hands(document: Mapping[str, Any]) -> Iterator[str]:
    if prefix := _text(document, "prefix"):
        try:
            yield f"start the server with IOCMNG_PREFIX={check_prefix(prefix)}, and the PVs keep their beginning"
        except InvalidRequest as error:
            yield f"prefix: {error.message}"
    yield from _unknown_keys(document, _KEYS)


def _move(task: Mapping[str, Any], number: int, repository: str, revision: str) -> TaskToMove:
    hands: list[str] = []
    old_name = _text(task, "name") or _text(task, "module")
    if not old_name:
        raise InvalidRequest(f"task {number} has neither `name` nor `module`")
    name = _plugin_name(old_name)
    if name != old_name:
        hands.append(
            f"its name is {name!r}, because {old_name[:140]!r} is not allowed; screens see it in its PVs' names"
        )
    module = (_text(task, "module") or old_name).removesuffix(".py").replace(".", "/").strip("/")
    hands.append(f"in the repository: move {module}.py to {module}/{module.rpartition('/')[2]}.py")
    entry: dict[str, Any] = {"name": name, "git_url": repository, "path": module}
    if revision:
        entry["branch"] = revision
    if parameters := task.get("parameters"):
        entry["parameters"] = parameters
    hands += _unfit(PluginRequest, entry)
    config = {"pvs": task["pvs"]} if task.get("pvs") else {}
    hands += _unfit(Manifest, config)
    hands += _built_in(config)
    hands += _unknown_keys(task, _TASK_KEYS)
    return TaskToMove(entry, config, tuple(hands))


def _plugin_name(name: str) -> str:
    legal = re.sub(r"[^A-Za-z0-9_-]+", "-", name).lstrip("_-")[:128]
    return check_plugin_name(legal)


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value: Any = mapping.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidRequest(f"`{key}` must be text, not a {type(value).__name__}")
    return str(value)


def _unfit(model: type[PluginRequest | Manifest], content: Mapping[str, Any]) -> list[str]:
    """Return what a server would say of an entry or a config.yaml."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        return [f"{'.'.join(map(str, place_of(item)))}: {plain(item)}" for item in error.errors(include_url=False)]
    return []


def _built_in(config: Mapping[str, Any]) -> Iterator[str]:
    sections: Any = config.get("pvs")
    for direction in ("inputs", "outputs"):
        table: Any = cast("dict[str, Any]", sections).get(direction) if isinstance(sections, dict) else None
        names = set(cast("dict[str, Any]", table)) if isinstance(table, dict) else set[str]()
        for pv in sorted(reserved_names(Kind.TASK) & names):
            yield f"pvs.{direction}.{pv}: every task has a PV of this name by itself; take it out, or rename it"


def _unknown_keys(mapping: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[str]:
    for key in mapping:
        if key not in known:
            yield f"{key}: not carried over{nearest(str(key), known)}"
