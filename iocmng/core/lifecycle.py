"""The phases of a plugin and the one table of what may follow what.

FETCHING -> PREPARING -> STARTING -> ACTIVE -> STOPPING -> (gone)
|           |            |           |
+-----------+------------+           +-> REPLACING -> ACTIVE
|                        |           |   |
REJECTED (a new plugin)  +- CRASHED -+---+   (one that was up before: it is tried again)
"""

from __future__ import annotations

from enum import StrEnum

from iocmng.errors import WrongState


class Phase(StrEnum):
    """Where a plugin is on its way."""

    FETCHING = "fetching"  # its source is cloned, its requirements are installed
    PREPARING = "preparing"  # its code is imported and checked in a process of its own
    STARTING = "starting"  # its records are made, iocInit, initialize()
    ACTIVE = "active"  # its IOC is up
    REPLACING = "replacing"  # its IOC is up while a new version is made ready
    STOPPING = "stopping"  # cleanup(), then the process ends
    REJECTED = "rejected"  # it failed; only this entry is left
    CRASHED = "crashed"  # its process ended by itself, or did not start again; it is tried again


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.FETCHING: frozenset({Phase.PREPARING, Phase.REJECTED, Phase.CRASHED, Phase.STOPPING}),
    Phase.PREPARING: frozenset({Phase.STARTING, Phase.REJECTED, Phase.CRASHED, Phase.STOPPING}),
    Phase.STARTING: frozenset({Phase.ACTIVE, Phase.REJECTED, Phase.CRASHED, Phase.STOPPING}),
    Phase.ACTIVE: frozenset({Phase.REPLACING, Phase.STOPPING, Phase.CRASHED}),
    Phase.REPLACING: frozenset({Phase.ACTIVE, Phase.STOPPING, Phase.CRASHED}),
    Phase.STOPPING: frozenset(),
    Phase.REJECTED: frozenset({Phase.FETCHING, Phase.STOPPING}),
    Phase.CRASHED: frozenset({Phase.REPLACING, Phase.STOPPING}),
}

LOADING = frozenset({Phase.FETCHING, Phase.PREPARING, Phase.STARTING})
IOC_IS_UP = frozenset({Phase.ACTIVE, Phase.REPLACING})

STATUS_WORDS = ("loading", "loaded", "running", "paused", "stopped", "error", "invalid", "crashed", "restarting")
"""All words that the `status` of the REST contract may be."""


def check_transition(before: Phase, after: Phase) -> Phase:
    """Return `after` if it may follow `before`.

    Raises:
        WrongState: If it may not.
    """
    if after is not before and after not in TRANSITIONS[before]:
        raise WrongState(f"a plugin that is {before.value} cannot become {after.value}")
    return after


def status_word(phase: Phase, reported: str | None, *, source_failed: bool = False) -> str:
    """Return the `status` of the REST contract."""
    match phase:
        case Phase.FETCHING | Phase.PREPARING | Phase.STARTING:
            return "loading"
        case Phase.ACTIVE:
            return reported or "loading"
        case Phase.REPLACING:
            return "restarting"
        case Phase.STOPPING:
            return "stopped"
        case Phase.REJECTED:
            return "error" if source_failed else "invalid"
        case Phase.CRASHED:
            return "crashed"
