"""What is asked for (PluginRequest, PluginSpec) and what is seen (PluginStatus)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from iocmng.core.builtin_pvs import Kind
from iocmng.core.json_values import json_problem
from iocmng.core.lifecycle import Phase
from iocmng.core.names import PLUGIN_NAME_PATTERN
from iocmng.core.source import GitSource, LocalSource, Source
from iocmng.errors import CheckFailure


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
    pat: SecretStr | None = None
    """Personal access token for the repository; never shown again."""
    auto_start: bool = True
    """false: the IOC is up and the cycles wait for start."""
    auto_start_on_boot: bool | None = None
    """After a restart of the server: unset, as it was; true, running; false, stopped."""
    autostart_order: Annotated[int | None, Field(ge=-(2**31), lt=2**31)] = None
    """Lower first; unset last."""
    parameters: dict[str, Any] = {}
    """Laid over the parameters of config.yaml."""

    @field_validator("git_url", "local_path", "branch", "commit", "pat", mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        """Read "" as absent: dashboards send it."""
        return None if value == "" else value

    @field_validator("path", "parameters", mode="before")
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
        if self.local_path is not None and (self.branch or self.commit or self.pat):
            raise ValueError("branch, commit and pat belong to git_url, not to local_path")
        return self

    @property
    def source(self) -> Source:
        """The source, without the credential."""
        if self.git_url is None:
            return LocalSource(str(self.local_path), self.path)
        return GitSource(self.git_url, self.path, self.branch, self.commit, has_credential=self.pat is not None)

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
        )


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """Desired state of one plugin.

    Attributes:
        kind: What the caller expects it to be; None takes either.
        running: Whether its cycles should run; the IOC is up either way.
        generation: Counts what was asked for under this name: 1 for the add, one more for each restart.
    """

    name: str
    source: Source
    kind: Kind | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    running: bool = True
    auto_start: bool = True
    auto_start_on_boot: bool | None = None
    autostart_order: int | None = None
    generation: int = 1

    def next_generation(self) -> PluginSpec:
        """Return the spec of a restart."""
        return replace(self, generation=self.generation + 1)


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """One record of a running IOC, as GET /pvs shows it."""

    name: str
    record_type: str
    direction: str
    built_in: bool


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """What is known of a plugin after its checks, and does not change while it runs."""

    kind: Kind
    class_name: str
    mode: str
    pv_prefix: str
    plugin_prefix: str
    parameters: Mapping[str, Any]
    pv_definitions: Mapping[str, Any]
    commit: str | None
    branch: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a plugin's IOC answers."""

    host: str
    ca_port: int
    pva_port: int
    pid: int
    node: str
    records: tuple[RecordInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What a plugin's process says of itself, as often as it changes.

    Attributes:
        version: Counts the reports of this process.
        status: One of the words of the REST contract: loaded, running, paused, stopped, error.
        state: Text of the STATUS record.
        running: Whether cycles go on (a paused task's do), or a run of a job.
        overruns: Cycles that were skipped because an earlier one took longer than the interval.
        log: Log lines since the last report.
    """

    version: int
    status: str
    state: str
    message: str
    running: bool = False
    cycle_count: int = 0
    overruns: int = 0
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """Observed state of one plugin."""

    phase: Phase
    generation: int = 0
    running: bool = False
    facts: PluginFacts | None = None
    endpoint: Endpoint | None = None
    report: Report | None = None
    message: str = ""
    failures: tuple[CheckFailure, ...] = ()
    restarts: int = 0
