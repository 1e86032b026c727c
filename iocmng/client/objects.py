"""What the server answers, as plain dictionaries with the keys of the REST contract; the types are for editors.

A dictionary holds all that the server has sent, also keys that are not named here.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

RunState = Literal["queued", "running", "success", "failed", "cancelled", "timed_out", "lost"]

ENDED: frozenset[str] = frozenset({"success", "failed", "cancelled", "timed_out", "lost"})
"""States in which a run stays."""


class FailedCheck(TypedDict):
    """One failed check of a plugin."""

    step: str
    message: str
    file: str | None
    line: int | None


class Validation(TypedDict):
    """Outcome of a plugin's checks."""

    ok: bool
    errors: list[str]
    failures: list[FailedCheck]
    warnings: list[str]


class Plugin(TypedDict):
    """One plugin; docs/reference/rest.md lists all keys."""

    name: str
    plugin_type: Literal["task", "job"] | None
    class_name: str | None
    git_url: str | None
    local_path: str | None
    path: str
    branch: str | None
    commit: str | None
    status: str
    running: bool
    cycle_count: int
    mode: str | None
    pv_prefix: str | None
    parameters: dict[str, Any]
    start_parameters: dict[str, Any]
    built_pvs: list[str]
    validation: Validation
    message: str
    node: str | None
    restarts: int
    generation: int
    owner: str | None


class PluginList(TypedDict):
    """Plugins, sorted by name."""

    plugins: list[Plugin]
    count: int


class Done(TypedDict):
    """The call did what it was asked for; `message` says it in a sentence."""

    ok: bool
    message: str


class DoneWithPlugin(Done):
    """The call did what it was asked for, to this plugin."""

    plugin: Plugin | None


class DoneWithChecks(DoneWithPlugin):
    """The call loaded this plugin."""

    validation: Validation


class Applied(TypedDict):
    """What was done with one plugin of a plugins file."""

    name: str
    action: Literal["added", "changed", "unchanged", "removed", "failed"]
    message: str


class ApplyAnswer(Done):
    """What was done with each plugin of a plugins file."""

    results: list[Applied]


class Generation(TypedDict):
    """One attempt to bring a plugin into being."""

    generation: int
    cause: str
    at: str
    commit: str | None
    branch: str | None
    git_url: str | None
    local_path: str | None
    path: str
    parameters: dict[str, Any]
    result: str
    message: str
    current: bool


class GenerationList(TypedDict):
    """A plugin's generations, newest first."""

    name: str
    generations: list[Generation]
    count: int


class Event(TypedDict):
    """One change of a plugin's state; `id` rises with every event."""

    id: int
    time: str
    plugin: str
    status: str
    previous: str | None
    reason: str
    generation: int
    node: str | None


class EventList(TypedDict):
    """Events, oldest first."""

    events: list[Event]
    count: int


class AuditEntry(TypedDict):
    """One thing that somebody has done, or tried to do; docs/reference/rest.md explains the keys."""

    id: int
    time: str
    door: Literal["rest", "cluster", "epics"]
    kind: Literal["change", "write", "refused"]
    who: str
    role: str | None
    address: str | None
    claimed: str | None
    method: str | None
    what: str
    plugin: str | None
    request: dict[str, Any]
    status: int | None
    code: str | None
    duration_ms: float


class AuditList(TypedDict):
    """Entries of the audit, newest first; `next` is the path of the next page, or None."""

    entries: list[AuditEntry]
    count: int
    next: str | None


class LogLines(TypedDict):
    """Log lines, oldest first; `next` asks for what follows, `missed` tells that some are kept no longer."""

    name: str
    lines: list[str]
    generations: list[int]
    next: int
    missed: bool


class Pv(TypedDict):
    """One record and where it is served."""

    name: str
    plugin: str
    type: str
    direction: str
    alias: str | None
    host: str | None
    ca_port: int | None
    pva_port: int | None


class PvList(TypedDict):
    """Records, in the order of their plugins."""

    pvs: list[Pv]
    count: int


class NameServer(TypedDict):
    """The IOC of one plugin, as clients reach it."""

    plugin: str
    node: str
    host: str
    ca_port: int
    pva_port: int


class NameServers(TypedDict):
    """What a client sets that no broadcast reaches, and the IOCs behind it."""

    EPICS_CA_NAME_SERVERS: str
    EPICS_PVA_NAME_SERVERS: str
    servers: list[NameServer]
    count: int


class Health(TypedDict):
    """The server's version and the number of plugins."""

    status: str
    version: str
    tasks_count: int
    jobs_count: int


class JobResult(TypedDict):
    """What a job returned."""

    success: bool
    data: Any
    message: str
    timestamp: str


class Run(TypedDict):
    """One run of a job. `progress` is in percent; times are ISO 8601; `log` is missing in lists."""

    run_id: int
    job: str
    state: RunState
    parameters: dict[str, Any]
    who: str
    cause: str
    generation: int
    queued_at: str
    started_at: str | None
    ended_at: str | None
    timeout: float | None
    progress: float
    message: str
    result: JobResult | None
    log: list[str]


class RunNews(TypedDict):
    """What happened to a run, as the stream of events tells it: a run without parameters, result and log."""

    run_id: int
    job: str
    state: RunState
    who: str
    cause: str
    generation: int
    queued_at: str
    started_at: str | None
    ended_at: str | None
    timeout: float | None
    progress: float
    message: str


class RunList(TypedDict):
    """Runs, newest first; `next` is the path of the next page, or None."""

    runs: list[Run]
    count: int
    next: str | None


class RunStarted(Done):
    """A run waits for its turn, or has begun."""

    run_id: int
    run: Run


class RunCancelled(Done):
    """A run was asked to end."""

    run: Run
