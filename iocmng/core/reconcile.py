"""From what is desired and what is observed to what is to be done. Pure: the control loop applies it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from iocmng.core.lifecycle import IOC_IS_UP, Phase
from iocmng.core.spec import PluginSpec, PluginStatus


@dataclass(frozen=True, slots=True)
class Launch:
    """Fetch, check and start a plugin that has no process."""

    spec: PluginSpec


@dataclass(frozen=True, slots=True)
class Replace:
    """Make a new process ready, stop the old one, start the new one."""

    spec: PluginSpec


@dataclass(frozen=True, slots=True)
class SetRunning:
    """Start or stop the cycles of a plugin whose IOC is up."""

    name: str
    running: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a plugin that is no longer desired, and forget it."""

    name: str


Action = Launch | Replace | SetRunning | Stop


def reconcile(
    desired: Mapping[str, PluginSpec], observed: Mapping[str, PluginStatus], busy: Iterable[str] = ()
) -> list[Action]:
    """Return the actions that bring what is observed nearer to what is desired, ordered by start order, then name.

    Args:
        desired: What should be, by name.
        observed: What is, by name.
        busy: Names with an action under way; they get no second one.
    """
    occupied = frozenset(busy)
    actions: list[Action] = [Stop(name) for name in sorted(observed) if name not in desired and name not in occupied]
    for name in sorted(desired, key=lambda name: start_order(desired[name])):
        if name not in occupied:
            actions += _one(desired[name], observed.get(name))
    return actions


def start_order(spec: PluginSpec) -> tuple[float, str]:
    """Sort key: autostart_order, lower first and unset last, then the name."""
    return (float("inf") if spec.autostart_order is None else spec.autostart_order, spec.name)


def _one(spec: PluginSpec, status: PluginStatus | None) -> list[Action]:
    if status is None:
        return [Launch(spec)]
    outdated = status.generation != spec.generation
    if status.phase in IOC_IS_UP or status.phase is Phase.CRASHED:
        if outdated:
            return [Replace(spec)]
        if status.phase is Phase.ACTIVE and status.running != spec.running:
            return [SetRunning(spec.name, spec.running)]
        return []
    # A rejected plugin stays as it is until something new is asked for.
    return [Launch(spec)] if outdated and status.phase is Phase.REJECTED else []
