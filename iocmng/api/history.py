"""From what the Controller keeps of the past to the objects of the REST contract."""

from __future__ import annotations

from typing import Any

from iocmng.core.source import GitSource
from iocmng.core.state import Event, Generation
from iocmng.core.words import iso_time


def event_object(event: Event) -> dict[str, Any]:
    """Return an event as the calls show it."""
    return {
        "id": event.id,
        "time": iso_time(event.at),
        "plugin": event.plugin,
        "status": event.status,
        "previous": event.previous,
        "reason": event.reason,
        "generation": event.generation,
        "node": event.node,
    }


def generation_object(generation: Generation, current: int | None) -> dict[str, Any]:
    """Return a generation as the calls show it; `current` is the number of the plugin's present one."""
    source, files = generation.spec.source, generation.files
    git = source if isinstance(source, GitSource) else None
    return {
        "generation": generation.number,
        "cause": generation.cause.value,
        "at": iso_time(generation.at),
        "commit": files.commit if files else (git.commit if git else None),
        "branch": (files.branch if files else None) or (git.branch if git else None),
        "git_url": git.url if git else None,
        "local_path": None if isinstance(source, GitSource) else source.directory,
        "path": source.path,
        "parameters": dict(generation.spec.parameters),
        "result": generation.result.value,
        "message": generation.message,
        "current": generation.number == current,
    }
