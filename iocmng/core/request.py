"""What callers may ask for: an add (also an entry of the plugins file), and a change."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from iocmng.core.builtin_pvs import Kind
from iocmng.core.json_values import json_problem, merge_patch
from iocmng.core.manifest import LabelTable, ResourceTable
from iocmng.core.names import PLUGIN_NAME_PATTERN
from iocmng.core.schedule_section import ScheduleField, schedule_of
from iocmng.core.secrets import kept_secrets
from iocmng.core.source import GitSource, LocalSource, Source
from iocmng.core.spec import PluginSpec
from iocmng.errors import InvalidRequest


class PluginRequest(BaseModel):
    """The body of an add, and one entry of the plugins file."""

    # Inputs are hidden because the text of a ValidationError would show the PAT.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    name: Annotated[str, Field(pattern=PLUGIN_NAME_PATTERN)]
    """1 to 128 letters, digits, '_' and '-'."""
    git_url: Annotated[str | None, Field(max_length=2048)] = None
    """Repository: https, ssh, or a path below one of the server's local roots."""
    local_path: Annotated[str | None, Field(max_length=2048)] = None
    """Directory on the server, below one of its local roots."""
    path: Annotated[str, Field(max_length=1024)] = ""
    """Directory of the plugin inside the repository."""
    branch: Annotated[str | None, Field(max_length=255)] = None
    """Branch or tag; unset: the repository's default branch."""
    commit: Annotated[str | None, Field(max_length=64)] = None
    """Commit to use instead of the branch's newest."""
    pat: Annotated[SecretStr | None, Field(max_length=4096)] = None
    """Personal access token for the repository; kept encrypted and never shown again."""
    pat_file: Annotated[str | None, Field(max_length=1024)] = None
    """Instead of `pat`: name of a file in the server's secrets directory that holds it; read at each fetch."""
    auto_start: bool = True
    """false: the IOC is up and the cycles wait for start."""
    auto_start_on_boot: bool | None = None
    """After a restart of the server: unset, as it was; true, running; false, stopped."""
    autostart_order: Annotated[int | None, Field(ge=-(2**31), lt=2**31)] = None
    """Lower first; unset last."""
    parameters: dict[str, Any] = {}
    """Laid over the parameters of config.yaml."""
    resources: ResourceTable = {}
    """Ray resources that the plugin's node must offer, such as {"gpu": 1}; laid over those of config.yaml."""
    node: LabelTable = {}
    """Labels that the plugin's node must have (`ray start --labels`); laid over those of config.yaml."""
    schedule: ScheduleField = None
    """When the job runs by itself, in place of what config.yaml says: a cron expression (times in UTC), a mapping, or
    `off`."""

    @field_validator("git_url", "local_path", "branch", "commit", "pat", "pat_file", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        """Read "" as absent: dashboards send it."""
        return None if value == "" else value

    @field_validator("path", "parameters", "resources", "node", mode="before")
    @classmethod
    def _null(cls, value: Any, info: Any) -> Any:
        return ("" if info.field_name == "path" else {}) if value is None else value

    @field_validator("parameters")
    @classmethod
    def _plain_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        if problem := json_problem(value):
            raise ValueError(problem)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> PluginRequest:
        if (self.git_url is None) == (self.local_path is None):
            raise ValueError("give git_url or local_path, and only one of them")
        if self.local_path is not None and (self.branch or self.commit or self.pat or self.pat_file):
            raise ValueError("branch, commit, pat and pat_file belong to git_url, not to local_path")
        if self.pat is not None and self.pat_file is not None:
            raise ValueError("give pat or pat_file, not both")
        return self

    @property
    def source(self) -> Source:
        """The source, without the credential."""
        if self.git_url is None:
            return LocalSource(str(self.local_path), self.path)
        has_credential = self.pat is not None or self.pat_file is not None
        return GitSource(self.git_url, self.path, self.branch, self.commit, has_credential, self.pat_file)

    def spec(self, kind: Kind | None) -> PluginSpec:
        """Return the desired state that this request asks for."""
        return PluginSpec(
            name=self.name,
            source=self.source,
            kind=kind,
            parameters=self.parameters,
            running=self.auto_start,
            auto_start=self.auto_start,
            auto_start_on_boot=self.auto_start_on_boot,
            autostart_order=self.autostart_order,
            resources=self.resources,
            node=self.node,
            schedule=schedule_of(self.schedule),
        )


class PluginChange(BaseModel):
    """The body of a PATCH: a JSON Merge Patch (RFC 7396) of what an add may say. What is absent stays as it is."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    branch: Annotated[str | None, Field(max_length=255)] = None
    """Branch or tag; null: the repository's default branch."""
    commit: Annotated[str | None, Field(max_length=64)] = None
    """Commit to use instead of the branch's newest; null: none."""
    pat: Annotated[SecretStr | None, Field(max_length=4096)] = None
    """A new personal access token; null forgets the one there is."""
    parameters: dict[str, Any] | None = {}
    """Merged into the parameters of the add; a null takes one away, a null for all of them takes all."""
    auto_start_on_boot: bool | None = None
    """After a restart of the server: null, as it was; true, running; false, stopped."""
    autostart_order: Annotated[int | None, Field(ge=-(2**31), lt=2**31)] = None
    """Lower first; null last."""
    schedule: ScheduleField = None
    """When the job runs by itself: a cron expression (times in UTC), a whole mapping, or `off`; null: as config.yaml
    says."""

    @field_validator("branch", "commit", "pat", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        """Read "" as null: dashboards send it."""
        return None if value == "" else value

    @field_validator("parameters")
    @classmethod
    def _plain_json(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if problem := json_problem(value):
            raise ValueError(problem)
        return value

    @property
    def needs_replacement(self) -> bool:
        """Whether the plugin's process must be replaced to show the change."""
        return bool(self.model_fields_set & {"branch", "commit", "parameters"})

    def of(self, spec: PluginSpec) -> PluginSpec:
        """Return the spec with this change made; `generation` and `files` are as they were.

        Raises:
            InvalidRequest: If a branch or commit is given for a local directory.
        """
        given = self.model_fields_set
        source = spec.source
        if given & {"branch", "commit", "pat"}:
            if not isinstance(source, GitSource):
                raise InvalidRequest(f"{spec.name} comes from a local directory: branch, commit and pat do not fit it")
            changes: dict[str, Any] = {key: getattr(self, key) for key in ("branch", "commit") if key in given}
            if "branch" in given and "commit" not in given:
                changes["commit"] = None  # a pinned commit would win over the branch
            if "pat" in given:
                changes |= {"has_credential": self.pat is not None, "credential_file": None}
            source = replace(source, **changes)
        simple: dict[str, Any] = {
            key: getattr(self, key) for key in ("auto_start_on_boot", "autostart_order") if key in given
        }
        if "schedule" in given:
            simple["schedule"] = schedule_of(self.schedule)
        parameters = {} if self.parameters is None else merge_patch(spec.parameters, self.parameters)
        parameters = kept_secrets(parameters, spec.parameters)
        return replace(spec, source=source, parameters=parameters, **simple)


def plugins_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a plugins file (IOCMNG_PLUGINS_CONFIG, `iocmng apply -f`), for editors.

    An entry has the keys of an add. That it names one source, or a path relative to the file, is left to the server.
    """
    entry = PluginRequest.model_json_schema(ref_template="#/$defs/{model}")
    definitions = entry.pop("$defs", {})
    return {
        "title": "iocmng plugins file",
        "type": "object",
        "required": ["plugins"],
        "properties": {
            "plugins": {
                "description": "The plugins to load, in the order of autostart_order and then of their names.",
                "anyOf": [{"type": "array", "items": {"$ref": "#/$defs/PluginRequest"}}, {"type": "null"}],
            }
        },
        "$defs": {**definitions, "PluginRequest": {**entry, "description": "One plugin."}},
    }
