"""The PVs that a plugin declares, together with those that every plugin has. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from iocmng.core.builtin_pvs import Kind, Mode, builtin_pvs, is_of_2x, reserved_names
from iocmng.core.pvs import DeclaredPv
from iocmng.errors import CheckFailure, PluginRejected


@dataclass(frozen=True, slots=True)
class Declared:
    """All PVs of a plugin.

    Attributes:
        pvs: The PVs, the built-in ones first.
        warnings: A sentence on each declared name that is that of a built-in one.
    """

    pvs: tuple[DeclaredPv, ...]
    warnings: tuple[str, ...] = ()


def with_built_in(kind: Kind, mode: Mode, own: Sequence[DeclaredPv]) -> Declared:
    """Return what a plugin declares, with the built-in PVs.

    A plugin that was written for 2.x may declare a name that has become built in since:

    - one that 2.x had, too: the built-in PV is served, and puts to it are told to the plugin as well;
    - one that is newer: the plugin's own is served in place of the built-in one.

    Raises:
        PluginRejected: If a declared name is that of a built-in PV of the other direction: nothing could be passed on.
    """
    taken = reserved_names(kind)
    same = {pv.name: pv for pv in own if pv.name in taken and is_of_2x(kind, pv.name)}
    newer = {pv.name for pv in own if pv.name in taken} - same.keys()
    if failures := list(_of_the_other_direction(kind, same)):
        raise PluginRejected.because(*failures)
    built_in = tuple(
        pv.model_copy(update={"told": True}) if pv.name in same else pv
        for pv in builtin_pvs(kind, mode)
        if pv.name not in newer
    )
    served = {pv.name for pv in built_in}
    warnings = [_passed_over(kind, pv, pv.name in served) for pv in same.values()]
    warnings += [
        f"{name} is a built-in PV of every {kind.value} now; yours is served in its place. Rename it to have both"
        for name in sorted(newer)
    ]
    return Declared((*built_in, *(pv for pv in own if pv.name not in same)), tuple(warnings))


def _of_the_other_direction(kind: Kind, same: dict[str, DeclaredPv]) -> Iterator[CheckFailure]:
    directions = {pv.name: pv.direction for mode in Mode for pv in builtin_pvs(kind, mode)}
    for pv in same.values():
        if pv.direction is not directions[pv.name]:
            yield CheckFailure(
                "config",
                f"{pv.direction.value} {pv.name} has the name of a built-in PV of every {kind.value}, which is an "
                f"{directions[pv.name].value}; choose another name "
                f"(built in are {', '.join(sorted(reserved_names(kind)))})",
            )


def _passed_over(kind: Kind, pv: DeclaredPv, is_served: bool) -> str:
    place = f"{pv.direction.value} {pv.name}"
    if not is_served:
        return f"{place}: a {kind.value} of this mode has no such PV, so it was left out; rename it, or take it out"
    told = "; puts to it are told to on_write()" if pv.direction == "input" and kind is Kind.TASK else ""
    return (
        f"{place}: every {kind.value} has this PV by itself, and that one is served{told}. Take it out of config.yaml"
    )
