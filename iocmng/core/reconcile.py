"""From what is desired and what is observed to what is to be done. Pure: the control loop applies it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from iocmng.core.lifecycle import Phase
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
class Revive:
    """Start a plugin again whose process has ended by itself."""

    spec: PluginSpec


@dataclass(frozen=True, slots=True)
class Forgive:
    """Forget the earlier ends of a plugin that has served for long enough since."""

    name: str


@dataclass(frozen=True, slots=True)
class SetRunning:
    """Start or stop the cycles of a plugin whose IOC is up."""

    name: str
    running: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a plugin that is no longer desired, and forget it."""

    name: str


Action = Launch | Replace | Revive | SetRunning | Stop | Forgive


def reconcile(
    desired: Mapping[str, PluginSpec],
    observed: Mapping[str, PluginStatus],
    busy: Iterable[str] = (),
    *,
    now: float = 0.0,
    stable_after: float = 60.0,
) -> list[Action]:
    """Return the actions that bring what is observed nearer to what is desired, ordered by start order, then name.

    Args:
        desired: What should be, by name.
        observed: What is, by name.
        busy: Names with an action under way, or that have to wait; they get none.
        now: The monotonic clock's time in seconds.
        stable_after: Seconds of service after which earlier ends of a plugin's process are forgotten.
    """
    occupied = frozenset(busy)
    actions: list[Action] = [Stop(name) for name in sorted(observed) if name not in desired and name not in occupied]
    for name in sorted(desired, key=lambda name: start_order(desired[name])):
        if name not in occupied:
            actions += _one(desired[name], observed.get(name), now, stable_after)
    return actions


def next_look(observed: Mapping[str, PluginStatus], stable_after: float) -> float | None:
    """Return when reconcile() will have something to do although nothing happens until then; None: never."""
    return min((moment for status in observed.values() for moment in _moments(status, stable_after)), default=None)


def start_order(spec: PluginSpec) -> tuple[float, str]:
    """Sort key: autostart_order, lower first and unset last, then the name."""
    return (float("inf") if spec.autostart_order is None else spec.autostart_order, spec.name)


def _moments(status: PluginStatus, stable_after: float) -> Iterator[float]:
    if status.phase in _RETRIED and status.retry_at is not None:
        yield status.retry_at
    if status.phase is Phase.ACTIVE and status.crashes and status.started_at is not None:
        yield status.started_at + stable_after


_RETRIED = frozenset({Phase.CRASHED, Phase.REJECTED})


def _one(spec: PluginSpec, status: PluginStatus | None, now: float, stable_after: float) -> list[Action]:
    if status is None:
        return [Launch(spec)]
    outdated = status.generation != spec.generation
    due = status.retry_at is not None and status.retry_at <= now
    match status.phase:
        case Phase.ACTIVE | Phase.REPLACING | Phase.CRASHED if outdated:
            return [Replace(spec)]
        case Phase.ACTIVE:
            if status.running != spec.running:
                return [SetRunning(spec.name, spec.running)]
            return [Forgive(spec.name)] if any(at <= now for at in _moments(status, stable_after)) else []
        case Phase.CRASHED if due:
            return [Revive(spec)]
        case Phase.REJECTED if outdated or due:
            return [Launch(spec)]
        case _:
            # A rejected plugin stays as it is until something new is asked for.
            return []
