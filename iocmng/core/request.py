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
from iocmng.core.source import GitSource, LocalSource, Source, is_ssh_url
from iocmng.core.spec import PluginSpec
from iocmng.errors import InvalidRequest

SshKey = Annotated[SecretStr | None, Field(max_length=16384)]

_OF_GIT = ("branch", "commit", "pat", "pat_file", "ssh_key", "ssh_key_file", "require_signed")
_CHANGES_OF_GIT = ("branch", "commit", "pat", "ssh_key", "require_signed")
_CREDENTIALS = ("pat", "pat_file", "ssh_key", "ssh_key_file")


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
    ssh_key: SshKey = None
    """Private key, without a passphrase, for an ssh repository; kept encrypted and never shown again."""
    ssh_key_file: Annotated[str | None, Field(max_length=1024)] = None
    """Instead of `ssh_key`: name of a file in the server's secrets directory that holds it; read at each fetch."""
    require_signed: bool = False
    """true: take only a commit or tag that an allowed key has signed, also where the server does not ask for that."""
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

    @field_validator("git_url", "local_path", *(key for key in _OF_GIT if key != "require_signed"), mode="before")
    @classmethod
    def _absent(cls, value: Any) -> Any:
        """Read "" as absent: dashboards send it."""
        return None if value == "" else value

    @field_validator("path", "parameters", "resources", "node", "require_signed", mode="before")
    @classmethod
    def _null(cls, value: Any, info: Any) -> Any:
        empty: dict[str, Any] = {"path": "", "require_signed": False}
        return empty.get(info.field_name, {}) if value is None else value

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
        if self.local_path is not None and any(getattr(self, key) for key in _OF_GIT):
            raise ValueError(f"{', '.join(_OF_GIT[:-1])} and {_OF_GIT[-1]} belong to git_url, not to local_path")
        given = [key for key in _CREDENTIALS if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"give {' or '.join(given)}, not {'both' if len(given) == 2 else 'all of them'}")
        if given and given[0].startswith("ssh_key") and self.git_url is not None and not is_ssh_url(self.git_url):
            raise ValueError(f"{given[0]} is for ssh: git_url must be ssh://USER@HOST/PATH or USER@HOST:PATH")
        return self

    @property
    def source(self) -> Source:
        """The source, without the credential."""
        if self.git_url is None:
            return LocalSource(str(self.local_path), self.path)
        file = self.pat_file if self.pat_file is not None else self.ssh_key_file
        return GitSource(
            self.git_url,
            self.path,
            self.branch,
            self.commit,
            has_credential=self.credential is not None or file is not None,
            credential_file=file,
            uses_key=self.ssh_key is not None or self.ssh_key_file is not None,
            require_signed=self.require_signed,
        )

    @property
    def credential(self) -> str | None:
        """The PAT or the ssh key, where one was given as such."""
        given = self.pat or self.ssh_key
        return given.get_secret_value() if given else None

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
    """A new personal access token; null forgets the credential there is."""
    ssh_key: SshKey = None
    """A new private key for an ssh repository; null forgets the credential there is."""
    require_signed: bool | None = None
    """true: take only signed code, and fetch the plugin anew; false and null: what the server asks of all plugins."""
    parameters: dict[str, Any] | None = {}
    """Merged into the parameters of the add; a null takes one away, a null for all of them takes all."""
    auto_start_on_boot: bool | None = None
    """After a restart of the server: null, as it was; true, running; false, stopped."""
    autostart_order: Annotated[int | None, Field(ge=-(2**31), lt=2**31)] = None
    """Lower first; null last."""
    schedule: ScheduleField = None
    """When the job runs by itself: a cron expression (times in UTC), a whole mapping, or `off`; null: as config.yaml
    says."""

    @field_validator("branch", "commit", "pat", "ssh_key", mode="before")
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

    @model_validator(mode="after")
    def _one_credential(self) -> PluginChange:
        if self.pat is not None and self.ssh_key is not None:
            raise ValueError("give pat or ssh_key, not both")
        return self

    @property
    def changes_credential(self) -> bool:
        """Whether the credential is replaced or forgotten."""
        return bool(self.model_fields_set & {"pat", "ssh_key"})

    @property
    def credential(self) -> str | None:
        """The new credential, if there is one."""
        given = self.pat or self.ssh_key
        return given.get_secret_value() if given else None

    @property
    def needs_replacement(self) -> bool:
        """Whether the plugin's process must be replaced to show the change."""
        return bool(self.require_signed or self.model_fields_set & {"branch", "commit", "parameters"})

    def of(self, spec: PluginSpec) -> PluginSpec:
        """Return the spec with this change made; `generation` and `files` are as they were.

        Raises:
            InvalidRequest: If a branch, commit or credential is given that does not fit the source.
        """
        given = self.model_fields_set
        source = spec.source
        if given & set(_CHANGES_OF_GIT):
            if not isinstance(source, GitSource):
                keys = f"{', '.join(_CHANGES_OF_GIT[:-1])} and {_CHANGES_OF_GIT[-1]}"
                raise InvalidRequest(f"{spec.name} comes from a local directory: {keys} do not fit it")
            if self.ssh_key is not None and not is_ssh_url(source.url):
                raise InvalidRequest(f"{spec.name} does not come from an ssh repository: ssh_key does not fit it")
            changes: dict[str, Any] = {key: getattr(self, key) for key in ("branch", "commit") if key in given}
            if "branch" in given and "commit" not in given:
                changes["commit"] = None  # a pinned commit would win over the branch
            if "require_signed" in given:
                changes["require_signed"] = bool(self.require_signed)
            if self.changes_credential:
                changes |= {
                    "has_credential": self.credential is not None,
                    "credential_file": None,
                    "uses_key": self.ssh_key is not None,
                }
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
