"""From a plugins file to steps: what has to be added, changed and removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from iocmng.core.reconcile import start_order
from iocmng.core.request import PluginRequest
from iocmng.core.spec import PluginSpec
from iocmng.core.state import PluginEntry


class Action(StrEnum):
    """What a step does, in the words of the answer."""

    ADD = "added"
    CHANGE = "changed"
    KEEP = "unchanged"
    REMOVE = "removed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `request` is missing only where a plugin is removed."""

    action: Action
    name: str
    request: PluginRequest | None = None


def plan(
    owner: str,
    requests: Iterable[PluginRequest],
    entries: Mapping[str, PluginEntry],
    *,
    remove: bool = True,
    contents: Mapping[str, str] | None = None,
) -> list[Step]:
    """Return the steps in their order: removals first, then the entries in their start order.

    A plugin that somebody else has added is taken over, because the file says what is wanted under its name. Removed
    is only what this file had asked for.

    Args:
        owner: Path of the file.
        requests: Its entries.
        entries: The plugins that exist, by name.
        remove: Whether what the file no longer names is removed; not to be done if some of it cannot be read.
        contents: What the directories hold that are to be compared by that, and not by their paths, by plugin.
    """
    digests = contents or {}
    wanted = {request.name: request for request in requests}
    steps = [
        Step(Action.REMOVE, name)
        for name, entry in sorted(entries.items())
        if remove and entry.owner == owner and name not in wanted
    ]
    for request in sorted(wanted.values(), key=lambda request: start_order(request.spec(None))):
        entry = entries.get(request.name)
        if entry is None:
            action = Action.ADD
        elif entry.owner == owner and entry.applied == applied_form(request, digests.get(request.name)):
            action = Action.KEEP
        else:
            action = Action.CHANGE
        steps.append(Step(action, request.name, request))
    return steps


def applied_form(request: PluginRequest, contents: str | None = None) -> dict[str, Any]:
    """Return an entry as it is kept to be compared with later ones: without its credential.

    Args:
        request: The entry.
        contents: Digest of the directory that it names, if that shall count and the path shall not.
    """
    form = request.model_dump(mode="json", exclude={"pat", "ssh_key"}, exclude_defaults=True)
    return form | {"local_path": f"contents {contents}"} if contents else form


def changed_spec(entry: PluginEntry, request: PluginRequest, number: int) -> PluginSpec:
    """Return the spec of a changed entry.

    Args:
        entry: What there is.
        request: What is wanted.
        number: Number of the new generation, if there has to be one.
    """
    before, wanted = entry.spec, request.spec(entry.spec.kind)
    same = (before.source, before.parameters, before.resources, before.node) == (
        wanted.source,
        wanted.parameters,
        wanted.resources,
        wanted.node,
    )
    if same:
        return replace(wanted, running=before.running, generation=before.generation, files=before.files)
    return replace(wanted, generation=number)
