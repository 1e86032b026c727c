"""`iocmng import`: the file of an older controller becomes a plugins file and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from iocmng.cli.output import Output
from iocmng.core.manifest import CONFIG_FILE_NAMES
from iocmng.core.old_controller import Import, import_controller
from iocmng.errors import InvalidRequest
from iocmng.settings import read_yaml


def import_old(old: Path, target: Path | None, output: Output) -> None:
    """Write the plugins file, and tell on stderr what needs hands.

    Args:
        old: The older file, or the directory in which it lies.
        target: Where the plugins file goes; None: to stdout.
        output: Takes what is told.

    Raises:
        InvalidRequest: If there is no such file, it is none of an older controller, or the target exists.
    """
    if target and target.exists():
        raise InvalidRequest(f"{target} exists; name another file with -o, or take it away")
    imported = import_controller(read_yaml(_file(old)))
    text = _yaml(imported.plugins_file())
    if target:
        target.write_text(text, encoding="utf-8")
    if output.as_json:
        tasks = [{"name": task.entry["name"], "config": task.config, "hands": task.hands} for task in imported.tasks]
        output.object({**imported.plugins_file(), "tasks": tasks, "hands": imported.hands})
        return
    if not target:
        for line in text.splitlines():
            output.line(line)
    _report(imported, output)


def _file(old: Path) -> Path:
    if not old.is_dir():
        return old
    for name in CONFIG_FILE_NAMES:
        if (old / name).is_file():
            return old / name
    raise InvalidRequest(f"{old} holds none of {', '.join(CONFIG_FILE_NAMES)}")


def _report(imported: Import, output: Output) -> None:
    for task in imported.tasks:
        for sentence in task.hands:
            output.note(f"{task.entry['name']}: {sentence}")
        if task.config:
            output.note(f"{task.entry['name']}: beside the module, {task.entry['path']}/config.yaml:")
            for line in _yaml(task.config).splitlines():
                output.note(f"    {line}")
    for sentence in imported.hands:
        output.note(sentence)


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
