"""config.yaml: its schema, from which the published JSON Schema is generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from iocmng.core.builtin_pvs import Kind, Mode, builtin_pvs, reserved_names
from iocmng.core.json_values import deep_merge, json_problem
from iocmng.core.names import MAX_RECORD_NAME_LENGTH, PV_SEGMENT_PATTERN, record_name
from iocmng.core.pvs import DeclaredPv, Direction, Pv
from iocmng.errors import CheckFailure, PluginRejected

CONFIG_FILE_NAMES = ("config.yaml", "config.yml", "config.json")

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Parameters(BaseModel):
    """Parameters that iocmng itself reads; all others belong to the plugin and are passed on as they are."""

    model_config = _STRICT | ConfigDict(extra="allow")

    mode: Annotated[Mode, Field(strict=False)] = Mode.CONTINUOUS
    """When a task runs: in a loop, when RUN is written, or when an input changes."""
    interval: Annotated[float, Field(gt=0, le=86_400)] = 1.0
    """Seconds from the start of one cycle to the start of the next."""
    version: str | int | float | None = None
    """Shown in the VERSION PV instead of the commit."""

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, data: Any) -> Any:
        """Read `triggered: true` as `mode: triggered`."""
        match data:
            case {"triggered": bool(triggered), **rest}:
                return {"mode": "triggered" if triggered else "continuous", **rest, "triggered": triggered}
            case _:
                return data


PvTable = dict[Annotated[str, Field(pattern=PV_SEGMENT_PATTERN)], Pv]


class PvSections(BaseModel):
    """The PVs of a plugin by name."""

    model_config = _STRICT

    inputs: PvTable = {}
    """Written by operators, read by the plugin."""
    outputs: PvTable = {}
    """Written by the plugin, read-only for clients."""

    @field_validator("inputs", "outputs", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value


class Manifest(BaseModel):
    """The contents of a plugin's config.yaml."""

    model_config = _STRICT | ConfigDict(
        title="iocmng plugin configuration",
        populate_by_name=True,
        json_schema_extra={"patternProperties": {"^x-": {}}},
    )

    type: Annotated[Kind, Field(strict=False)] | None = None
    """task or job; optional, must agree with the class."""
    class_name: Annotated[str | None, Field(alias="class")] = None
    """Name of the plugin's class, needed only where the directory has several."""
    prefix: Annotated[str | None, Field(pattern=PV_SEGMENT_PATTERN)] = None
    """PV segment instead of the plugin's name in upper case."""
    parameters: Parameters = Parameters()
    """Passed to the plugin as self.parameters; parameters given when it is added win."""
    pvs: PvSections = PvSections()
    """The plugin's PVs."""
    arguments: PvSections = PvSections()
    """The same section under its newer name; a PV that stands in both is taken from here."""

    @field_validator("parameters", "pvs", "arguments", mode="before")
    @classmethod
    def _empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("parameters", mode="before")
    @classmethod
    def _plain_json(cls, value: Any) -> Any:
        if problem := json_problem(value):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _input_only_keys(self) -> Manifest:
        for name, pv in self.outputs.items():
            if wrong := pv.input_only & pv.model_fields_set:
                raise ValueError(f"output {name}: {', '.join(sorted(wrong))} is for inputs only")
        if both := set(self.inputs) & set(self.outputs):
            raise ValueError(f"{', '.join(sorted(both))} is declared as an input and as an output")
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
        """Return all PVs of the plugin, the built-in ones first.

        Raises:
            PluginRejected: If a declared name is that of a built-in PV.
        """
        own = [
            DeclaredPv(name=name, direction=direction, pv=pv)
            for direction, table in ((Direction.INPUT, self.inputs), (Direction.OUTPUT, self.outputs))
            for name, pv in table.items()
        ]
        reserved = reserved_names(kind)
        failures = [
            CheckFailure(
                "config",
                f"{pv.direction.value} {pv.name} has the name of a built-in PV of every {kind.value}; choose another "
                f"(built in are {', '.join(sorted(reserved))})",
            )
            for pv in own
            if pv.name in reserved
        ]
        if failures:
            raise PluginRejected.because(*failures)
        return (*builtin_pvs(kind, mode), *own)


def check_record_names(pv_prefix: str, pvs: tuple[DeclaredPv, ...]) -> None:
    """Check that every full record name fits EPICS.

    Raises:
        PluginRejected: With one entry for each name that is too long.
    """
    failures = [
        CheckFailure(
            "config",
            f"record name {name!r} has {len(name)} characters; EPICS takes {MAX_RECORD_NAME_LENGTH} at most. "
            "Shorten the PV's name, or the PV segment with `prefix` in config.yaml",
        )
        for name in (record_name(pv_prefix, pv.name) for pv in pvs)
        if len(name) > MAX_RECORD_NAME_LENGTH
    ]
    if failures:
        raise PluginRejected.because(*failures)


def parameter_failures(error: ValidationError) -> list[CheckFailure]:
    """Return one failure per wrong parameter."""
    return [
        CheckFailure(
            "config",
            f"parameters.{'.'.join(map(str, item['loc']))}: {item['msg']}, not {item['input']!r:.80}",
        )
        for item in error.errors(include_url=False)
    ]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of config.yaml, for editors and for the documentation."""
    return Manifest.model_json_schema(by_alias=True)
