"""Carries out the plan of a plugins file while everything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from iocmng.cluster.keeper import Keeper
from iocmng.core.builtin_pvs import Kind
from iocmng.core.plugins_file import Action, Step, applied_form, plan
from iocmng.core.request import PluginRequest
from iocmng.core.source import Source
from iocmng.core.state import Applied
from iocmng.errors import IocmngError


class Changes(Protocol):
    """The calls of the Controller that a plan is made of."""

    async def add(self, request: PluginRequest, kind: Kind | None, wait: bool) -> int:
        """See Controller.add."""
        ...

    async def remove(self, name: str, kind: Kind | None) -> int:
        """See Controller.remove."""
        ...

    async def replace_by(self, name: str, request: PluginRequest) -> int:
        """See Controller.replace_by."""
        ...

    async def move(self, name: str, source: Source) -> None:
        """See Controller.move."""
        ...


async def apply_plan(
    changes: Changes, keeper: Keeper, owner: str, requests: Sequence[PluginRequest], contents: Mapping[str, str]
) -> list[Applied]:
    """Add, change and remove plugins one after the other; return what became of each.

    Args:
        changes: Does it.
        keeper: Knows what there is.
        owner: Path of the plugins file.
        requests: Its entries.
        contents: Digests of the directories that are compared by what they hold, by plugin.
    """
    applied: list[Applied] = []
    for step in plan(owner, requests, keeper.entries(), contents=contents):
        try:
            await _carry_out(changes, keeper, owner, step, contents.get(step.name))
        except IocmngError as error:
            applied.append(Applied(step.name, "failed", str(error)))
        else:
            applied.append(Applied(step.name, str(step.action)))
    return applied


async def _carry_out(changes: Changes, keeper: Keeper, owner: str, step: Step, contents: str | None) -> None:
    name, request = step.name, step.request
    if request is None:
        await changes.remove(name, None)
        return
    if step.action is Action.ADD:
        await changes.add(request, None, wait=True)
    elif request.credential is not None:
        await keeper.set_credential(name, request.credential)
    if step.action is Action.CHANGE:
        await changes.replace_by(name, request)
    if step.action is not Action.KEEP:
        await keeper.own(name, owner, applied_form(request, contents))
    elif contents is not None:
        await changes.move(name, request.source)  # the directory of then may be gone by the next restart
