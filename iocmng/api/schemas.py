"""What the calls take and answer. The answers are documentation: on the fast path nothing is serialised with them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iocmng.core.builtin_pvs import Kind

PluginStatusWord = Literal[
    "loading", "loaded", "running", "paused", "stopped", "error", "invalid", "crashed", "restarting"
]


class Answer(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class FailedCheck(Answer):
    """One failed check."""

    step: str
    """clone, dependencies, config, syntax, import, inheritance, abstract methods, constructor, records, initialize;
    `request` for a mistake in the call itself."""
    message: str
    """What is wrong and what to do about it."""
    file: str | None
    """Path of the file inside the plugin."""
    line: int | None
    """Line in the file, counted from 1."""


class Validation(Answer):
    """Outcome of a plugin's checks."""

    ok: bool
    errors: list[str]
    """One text for each failed check."""
    failures: list[FailedCheck]
    """The same, in parts."""
    warnings: list[str]
    """What is taken, and should be written in another way."""


class FailedValidation(Answer):
    """The checks that failed; empty where the error is none of a check."""

    ok: Literal[False]
    errors: list[FailedCheck]


class Problem(Answer):
    """Every error: a problem document of RFC 9457, with what dashboards look for repeated at the top level."""

    type: Annotated[str, Field(examples=["urn:iocmng:problem:unknown-plugin"])]
    """`urn:iocmng:problem:` and a word that stays the same from release to release."""
    title: str
    status: int
    detail: str
    """What happened, where, and what to do."""
    instance: str
    """Path of the call."""
    ok: Literal[False]
    message: str
    """The same as `detail`."""
    validation: FailedValidation
    run_id: int | None = None
    """The run that the call has waited for; only where there was one."""


class PvDefinitions(Answer):
    """The PVs that config.yaml declares, each with its type, unit and so on."""

    inputs: dict[str, dict[str, Any]]
    outputs: dict[str, dict[str, Any]]


class EndpointObject(Answer):
    """Where a plugin's IOC answers."""

    host: str
    ca_port: int
    pva_port: int
    public_host: str | None
    """Where clients elsewhere reach the node, if its label in Ray says so."""


class ScheduleObject(Answer):
    """When a job runs by itself."""

    cron: str
    timezone: str
    """Whose clock the expression means."""
    parameters: dict[str, Any]
    """Laid over the job's parameters for these runs."""


class RecordObject(Answer):
    """One record of a plugin's IOC."""

    name: str
    record_type: str
    direction: str
    built_in: bool
    alias: str | None
    """A further name that it answers to, with underscores for the hyphens of the plugin's name; null: none."""


class LastRun(Answer):
    """How a run has ended."""

    run_id: int
    state: Literal["success", "failed", "cancelled", "timed_out", "lost"]


class RunsOverview(Answer):
    """The runs of a job, in short."""

    queued: int
    """How many wait."""
    running: list[int]
    """Which go on."""
    last: LastRun | None
    """The newest that has ended."""


class MadeDevice(Answer):
    """An ophyd device that a plugin has made."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: str
    prefix: str
    """What stands before each of its PVs."""
    device_class: str = Field(alias="class")
    """Its Python class, with the module."""


class PluginObject(Answer):
    """One plugin."""

    name: str
    plugin_type: Kind | None
    """null while it is loaded for the first time and the add did not say."""
    class_name: str | None
    git_url: str | None
    local_path: str | None
    path: str
    branch: str | None
    commit: str | None
    status: PluginStatusWord
    running: bool
    """Whether its cycles run, or may run."""
    cycle_count: int
    overruns: int
    """Cycles skipped because an earlier one took longer than the interval."""
    mode: str | None
    pv_prefix: str | None
    plugin_prefix: str | None
    parameters: dict[str, Any]
    """config.yaml's, with those of the add laid over them, and the defaults of declared ones."""
    start_parameters: dict[str, Any]
    """Those of the add."""
    parameters_schema: dict[str, Any] | None
    """JSON Schema of the plugin's own parameters, with units as `x-unit`; null where it declares none."""
    arguments: Any
    """The same as pv_definitions, under its newer name."""
    pv_definitions: PvDefinitions
    base_control_pvs: list[str]
    additional_input_pvs: list[str]
    additional_output_pvs: list[str]
    built_pvs: list[str]
    """Full record names."""
    auto_start: bool
    auto_start_on_boot: bool | None
    autostart_order: int | None
    validation: Validation
    message: str
    state: str | None
    """Text of the STATUS record; null while the IOC is down."""
    node: str | None
    """Machine that the process runs on."""
    pid: int | None
    endpoint: EndpointObject | None
    """null while the IOC is down."""
    records: list[RecordObject]
    restarts: int
    """How often it was restarted since it was added; counted from 0 again after a restart of the Controller."""
    crashes: int
    """Starts in a row that ended by themselves; 0 once it has run for a while."""
    last_exit: str | None
    """How its process last ended by itself, in a sentence."""
    next_try: str | None
    """When it is started again, ISO 8601, while it waits for that."""
    hung: bool
    """Whether its process lives but no longer answers."""
    generation: int
    """1 for the add, one more for each restart, rollback or change that replaced it."""
    owner: str | None
    """The plugins file that asked for it; null: somebody's call."""
    resources: dict[str, float]
    """Ray resources that its node must offer."""
    node_labels: dict[str, str]
    """Labels that its node must have."""
    schedule: ScheduleObject | None
    """When the job runs by itself; null: never."""
    next_run: str | None
    """When it will next run by itself, ISO 8601."""
    runs: RunsOverview | None
    """Its runs; null for a task."""
    devices: list[MadeDevice]
    """Ophyd devices that its process has made."""


class PluginList(Answer):
    """Plugins, sorted by name."""

    plugins: list[PluginObject]
    count: int


class Done(Answer):
    """The call did what it was asked for."""

    ok: Literal[True]
    message: str


class DoneWithPlugin(Done):
    """The call did what it was asked for, to this plugin."""

    plugin: PluginObject | None
    """null if the plugin has been removed meanwhile."""


class DoneWithChecks(DoneWithPlugin):
    """The call loaded this plugin, or began to."""

    validation: Validation


class LogLines(Answer):
    """Log lines of a plugin, oldest first."""

    name: str
    lines: list[str]
    generations: list[int]
    """Which generation of the plugin has written each line."""
    next: int
    """Number of the last line. Asked for with `?after=`, it brings what follows: no line twice, and none left out."""
    missed: bool
    """Whether lines behind `after` are kept no longer."""


class Alive(Answer):
    """The API answers."""

    status: Literal["ok"]


class Health(Alive):
    """The API answers, and this is what it looks after."""

    version: str
    tasks_count: int
    jobs_count: int
