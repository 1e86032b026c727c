"""What is kept so that it outlives every process: desired state, history, events. See ports.StateStore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from iocmng.core.devices import DeviceTable
from iocmng.core.runs import Run, RunState
from iocmng.core.spec import FilesRef, PluginSpec


class Cause(StrEnum):
    """Why a generation came to be."""

    ADD = "add"
    RESTART = "restart"
    ROLLBACK = "rollback"
    CHANGE = "change"
    APPLY = "apply"


class GenerationResult(StrEnum):
    """What became of a generation."""

    STARTED = "started"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PluginEntry:
    """One plugin as the store keeps it.

    Attributes:
        spec: What is desired; its `files` name what it was last started from.
        newest: Highest generation number ever tried under this name, failed ones included.
        owner: The plugins file that asked for it, by its path; None: somebody's call.
        applied: The entry of that file as it was last applied, without its credential.
        remote_node: Node on which it was last started, if that is not the Controller's own: there it may still serve
            while nobody sees it.
    """

    spec: PluginSpec
    newest: int = 1
    owner: str | None = None
    applied: Mapping[str, Any] | None = None
    remote_node: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One attempt to bring a plugin into being, as GET /plugins/{name}/generations shows it.

    Attributes:
        number: Counts the attempts under this name, from 1.
        cause: Why it was made.
        at: When it ended, in seconds since 1970-01-01 UTC.
        spec: What was asked for; its `files` name what it was started from, if it came that far.
        message: Why it failed, or where a rollback went to.
    """

    plugin: str
    number: int
    cause: Cause
    at: float
    spec: PluginSpec
    result: GenerationResult
    message: str = ""

    @property
    def files(self) -> FilesRef | None:
        """What it was started from."""
        return self.spec.files


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a plugin's state, as GET /events shows it.

    Attributes:
        id: Rises with every event and is never used twice, also after a restart of the server.
        at: When, in seconds since 1970-01-01 UTC.
        plugin: Name of the plugin.
        status: The `status` of the REST contract after the change, or `removed`.
        previous: The one before; None for the first.
        reason: Why, in a sentence.
        generation: Generation of the plugin at the time.
        node: Where its process runs, where there is one.
    """

    id: int
    at: float
    plugin: str
    status: str
    previous: str | None
    reason: str
    generation: int
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did with one entry of a plugins file.

    Attributes:
        name: Name of the plugin.
        action: added, changed, unchanged, removed or failed.
        message: Why, where there is something to say.
    """

    name: str
    action: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that a Controller needs of the store when it starts.

    Attributes:
        entries: The plugins.
        last_event: The highest id of an event so far; 0 where there is none.
        last_run: The highest id of a run so far, also where the run itself is gone; 0 where there was none.
        ended_runs: Of each job the newest run that has ended, by its id, and how it ended.
        last_audit: The highest id of an entry of the audit so far; 0 where there is none.
    """

    entries: tuple[PluginEntry, ...] = field(default_factory=tuple)
    last_event: int = 0
    last_run: int = 0
    ended_runs: Mapping[str, tuple[int, RunState]] = field(default_factory=dict[str, tuple[int, RunState]])
    last_audit: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the API shows, or the part that changed.

    Attributes:
        epoch: Names the Controller's life; another epoch makes older versions void.
        version: Rises with every change.
        complete: Whether `plugins` is everything; else it is laid over what was known.
        plugins: Plugin objects of the REST contract by name; None for one that is gone.
        ready: Whether the plugins of the store and of the plugins file have been started, or have failed to.
        events: What happened after the version that the caller knew, oldest first; with a complete snapshot none.
        runs: Runs that changed after it, as they are now, without their log; with a complete snapshot none.
        devices: The beamline's devices, with a complete snapshot; they do not change in the Controller's life.
    """

    epoch: str
    version: int
    complete: bool
    plugins: Mapping[str, dict[str, Any] | None]
    ready: bool
    events: tuple[Event, ...] = ()
    runs: tuple[Run, ...] = ()
    devices: DeviceTable | None = None
