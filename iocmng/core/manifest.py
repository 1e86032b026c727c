"""config.yaml: its schema, from which the published JSON Schema is generated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from iocmng.core.builtin_pvs import Kind, Mode
from iocmng.core.declared_pvs import Declared, with_built_in
from iocmng.core.json_values import deep_merge, json_problem
from iocmng.core.limits import Limits
from iocmng.core.names import MAX_RECORD_NAME_LENGTH, PV_SEGMENT_PATTERN, PV_SEGMENTS_PATTERN, record_name
from iocmng.core.parameters import ParametersSchema
from iocmng.core.pv_fields import Direction, StrictModel, misplaced
from iocmng.core.pvs import DeclaredPv, Pv
from iocmng.core.schedule_section import ScheduleField
from iocmng.errors import CheckFailure, PluginRejected

NO_SCHEDULE = "only a job runs by a schedule; a task has its `interval`"
"""Why a task must not have one."""

CONFIG_FILE_NAMES = ("config.yaml", "config.yml", "config.json")


def _text_or_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise ValueError(f"must be text (in quotes) or a number, not {value!r:.80}")
    return value


class Parameters(BaseModel):
    """Parameters that iocmng itself reads; all others belong to the plugin and are passed on as they are."""

    model_config = StrictModel.model_config | ConfigDict(extra="allow", json_schema_extra=None)

    mode: Annotated[Mode, Field(strict=False)] = Mode.CONTINUOUS
    """When a task runs: in a loop, when RUN is written, or when an input changes."""
    interval: Annotated[float, Field(gt=0, le=86_400)] = 1.0
    """Seconds from the start of one cycle to the start of the next."""
    version: Annotated[str | int | float | None, BeforeValidator(_text_or_number)] = None
    """Shown in the VERSION PV instead of the commit."""

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, data: Any) -> Any:
        """Read `triggered: true` as `mode: triggered`."""
        match data:
            case {"triggered": bool(triggered), **rest}:
                return {"mode": "triggered" if triggered else "continuous", **rest, "triggered": triggered}
            case {"triggered": other}:
                raise misplaced(f"must be true or false, not {other!r:.80}", "triggered")
            case _:
                return data


ResourceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]

ResourceTable = dict[ResourceName, Annotated[float, Field(gt=0, le=1e6)]]
"""Amounts of Ray resources by name."""

LabelTable = dict[
    Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,125}$")],
    Annotated[str, Field(pattern=r"^!?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")],
]
"""Values of Ray node labels by name; a value that begins with `!` is one that the node must not have."""

_WatchdogSeconds = Annotated[float, Field(gt=0, le=86_400)]


class Watchdog(StrictModel):
    """When a call of the author's code counts as hung, and what then happens."""

    seconds: _WatchdogSeconds
    """Seconds that execute(), triggered() or on_write() may take; after that STATUS is ERROR until it returns."""
    restart: bool = False
    """Whether a plugin that hangs is started again."""


def _seconds_alone(value: Any) -> Any:
    """Read `watchdog: 10` as `watchdog: {seconds: 10}`."""
    if isinstance(value, int | float):
        return {"seconds": value}
    if value is not None and not isinstance(value, dict | Watchdog):
        raise ValueError(f"must be a number of seconds, or {{seconds: 10, restart: true}}, not {value!r:.80}")
    return value  # pyright: ignore[reportUnknownVariableType]


PvTable = dict[Annotated[str, Field(pattern=PV_SEGMENT_PATTERN)], Pv]


class PvSections(StrictModel):
    """The PVs of a plugin by name."""

    inputs: PvTable = {}
    """Written by operators, read by the plugin."""
    outputs: PvTable = {}
    """Written by the plugin, read-only for clients."""

    @field_validator("inputs", "outputs", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class Manifest(StrictModel):
    """The contents of a plugin's config.yaml."""

    model_config = ConfigDict(title="iocmng plugin configuration")

    type: Annotated[Kind, Field(strict=False)] | None = None
    """task or job; optional, must agree with the class."""
    class_name: Annotated[str | None, Field(alias="class")] = None
    """Name of the plugin's class, needed only where the directory has several."""
    prefix: Annotated[str | None, Field(pattern=PV_SEGMENTS_PATTERN)] = None
    """PV segment, or several joined by ':', instead of the plugin's name in upper case."""
    watchdog: Annotated[
        Watchdog | None, BeforeValidator(_seconds_alone, json_schema_input_type=Watchdog | _WatchdogSeconds | None)
    ] = None
    """Limit for each call of the plugin's code: a number of seconds, or a mapping; unset means no limit."""
    schedule: ScheduleField = None
    """When a job runs by itself: a cron expression (times in UTC), or a mapping; unset means never."""
    concurrency: Annotated[int, Field(ge=1, le=32)] = 1
    """For jobs: how many runs may go on at once, the further ones in processes of their own."""
    parameters: Parameters = Parameters()
    """Passed to the plugin as self.parameters; parameters given when it is added win."""
    parameters_schema: ParametersSchema | None = None
    """The plugin's own parameters by name; unset: whatever is given is passed on."""
    pvs: PvSections = PvSections()
    """The plugin's PVs."""
    arguments: PvSections = PvSections()
    """The same section under its newer name; a PV that stands in both is taken from here."""

    resources: ResourceTable = {}
    """Ray resources that the plugin's node must offer, such as `{gpu: 1}`."""
    node: LabelTable = {}
    """Labels that the plugin's node must have, such as `{room: hall-2}` (`ray start --labels room=hall-2`)."""
    limits: Limits = Limits()
    """What each process of the plugin may take, such as `{memory: 512Mi, open_files: 256, processes: 64, cpu: 0.5}`."""

    _warnings: tuple[str, ...] = PrivateAttr(())

    @field_validator("parameters", "pvs", "arguments", "resources", "node", "limits", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("parameters", "parameters_schema", mode="before")
    @classmethod
    def _plain_json(cls, value: Any, info: ValidationInfo) -> Any:
        if problem := json_problem(value, str(info.field_name)):
            raise misplaced(problem, *_place_of_problem(value))
        return value

    @model_validator(mode="after")
    def _only_jobs_have_schedules(self) -> Manifest:
        if self.type is Kind.TASK and self.schedule is not None:
            raise misplaced(NO_SCHEDULE, "schedule")
        return self

    @model_validator(mode="after")
    def _directions(self) -> Manifest:
        for section in ("arguments", "pvs"):
            sections: PvSections = getattr(self, section)
            for name, pv in sections.outputs.items():
                if wrong := sorted(pv.input_only & pv.model_fields_set):
                    raise misplaced(f"{', '.join(wrong)}: for inputs only", section, "outputs", name, wrong[0])
                if name in self.inputs:
                    raise misplaced("declared as an input and as an output", section, "outputs", name)
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence on each thing that was taken although it should be written in another way."""
        return self._warnings

    def noting(self, warnings: Iterable[str]) -> Self:
        """Return the manifest with these warnings."""
        self._warnings = tuple(warnings)
        return self

    @property
    def inputs(self) -> dict[str, Pv]:
        """The declared inputs of both sections."""
        return {**self.pvs.inputs, **self.arguments.inputs}

    @property
    def outputs(self) -> dict[str, Pv]:
        """The declared outputs of both sections."""
        return {**self.pvs.outputs, **self.arguments.outputs}

    def merged_parameters(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with those given from outside laid over them, `mode` and `interval` included.

        Raises:
            PluginRejected: If the result does not fit (an interval that is no number, for example).
        """
        merged = deep_merge(self.parameters.model_dump(mode="json", exclude_unset=True), overrides)
        if "triggered" in overrides and "mode" not in overrides:
            merged.pop("mode", None)
        if problem := json_problem(merged):
            raise PluginRejected.because(CheckFailure("config", problem))
        try:
            known = Parameters.model_validate(merged)
        except ValidationError as error:
            raise PluginRejected.because(*parameter_failures(error)) from error
        return {**merged, "mode": known.mode.value, "interval": known.interval}

    def declared_pvs(self, kind: Kind, mode: Mode) -> tuple[DeclaredPv, ...]:
        """Return all PVs of the plugin, the built-in ones first; see declared()."""
        return self.declared(kind, mode).pvs

    def declared(self, kind: Kind, mode: Mode) -> Declared:
        """Return all PVs of the plugin, and what there is to warn of.

        Raises:
            PluginRejected: If a declared name is that of a built-in PV that is written from the other side.
        """
        if kind is not Kind.JOB and "concurrency" in self.model_fields_set:
            raise PluginRejected.because(CheckFailure("config", "concurrency: for jobs only; a task has no runs"))
        own = [
            DeclaredPv(name=name, direction=direction, pv=pv)
            for direction, table in ((Direction.INPUT, self.inputs), (Direction.OUTPUT, self.outputs))
            for name, pv in table.items()
        ]
        return with_built_in(kind, mode, own)


def check_record_names(pv_prefix: str, pvs: tuple[DeclaredPv, ...]) -> None:
    """Check that every full record name fits EPICS.

    Raises:
        PluginRejected: With one entry for each name that is too long.
    """
    failures = [
        CheckFailure(
            "config",
            f"record name {name!r:.200} has {len(name)} characters; EPICS takes {MAX_RECORD_NAME_LENGTH} at most. "
            "Shorten the PV's name, or the PV segment with `prefix` in config.yaml",
        )
        for name in (record_name(pv_prefix, pv.name) for pv in pvs)
        if len(name) > MAX_RECORD_NAME_LENGTH
    ]
    if failures:
        raise PluginRejected.because(*failures)


def _place_of_problem(value: Any) -> list[str]:
    """Return the keys that lead to what json_problem complains of."""
    if isinstance(value, dict):
        for key, child in cast("dict[Any, Any]", value).items():
            if json_problem(child):
                return [str(key), *_place_of_problem(child)]
    return []


def parameter_failures(error: ValidationError) -> list[CheckFailure]:
    """Return one failure per wrong parameter."""
    return [
        CheckFailure(
            "config",
            f"{'.'.join(map(str, ('parameters', *place_of(item))))}: {plain(item)}",
        )
        for item in error.errors(include_url=False)
    ]


def place_of(item: ErrorDetails) -> tuple[int | str, ...]:
    """Return the place of a mistake that pydantic or one of our own validators found."""
    return (*item["loc"], *item.get("ctx", {}).get("place", ()))


def plain(item: ErrorDetails) -> str:
    """Return pydantic's message in plain words."""
    message = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.replace("String should have", "must have")
    return message if item["type"] == "value_error" else f"{message}, not {item['input']!r:.80}"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of config.yaml, for editors and for the documentation."""
    return Manifest.model_json_schema(by_alias=True)
