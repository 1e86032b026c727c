"""All settings, in one frozen object that a composition root builds once and passes on.

Sources, the first that has a value wins: flags, the environment (IOCMNG_…), the YAML file that IOCMNG_CONFIG names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from iocmng.core.access import Role
from iocmng.core.author_environment import check_further
from iocmng.core.beamline_devices import read_devices
from iocmng.core.devices import DeviceTable
from iocmng.core.git_allow import check_pattern
from iocmng.core.limits import Bytes, Limits, OpenFiles, Processes
from iocmng.core.manifest import ResourceName
from iocmng.core.names import check_prefix
from iocmng.core.port_range import PortRange
from iocmng.core.pv_access import check_host, check_user
from iocmng.core.setting_values import (
    check_key_url,
    check_node_address,
    check_origin,
    check_umask,
    read_uids,
    split_list,
    split_roles,
)
from iocmng.errors import InvalidRequest

CONTAINER_PLUGINS_DIR = Path("/data/plugins")

Seconds = Annotated[float, Field(gt=0)]


def default_plugins_dir() -> Path:
    """Return /data/plugins where it can be written, else a directory of the user."""
    if CONTAINER_PLUGINS_DIR.is_dir() and os.access(CONTAINER_PLUGINS_DIR, os.W_OK):
        return CONTAINER_PLUGINS_DIR
    return Path("~/.local/share/iocmng/plugins").expanduser()


def is_loopback(host: str | None) -> bool:
    """Tell whether only this machine can reach what listens there."""
    return host in ("127.0.0.1", "localhost", "::1")


def check_home(path: Path) -> None:
    """Check that a path does not begin with the home of a user whom this machine does not know."""
    try:
        path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path.parts[0]} is the home of no user of this machine") from None


class Settings(BaseSettings):
    """Settings of the server. Each is also IOCMNG_ and its name in upper case in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="IOCMNG_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # the token
    )

    beamline_config: Path | None = None
    """values.yaml of the beamline: `beamline`, `namespace`, devices."""
    plugins_config: Path | None = None
    """Plugins to load at the start."""
    prefix: str | None = None
    """PREFIX of all PVs; unset: from the beamline file."""
    plugins_dir: Path = Field(default_factory=default_plugins_dir)
    """Where bundles and state are kept."""
    state_dir: Path | None = None
    """Unset: `.iocmng` inside the plugins directory."""
    state_url: SecretStr | None = None
    """Database that keeps the state, as postgresql://USER:PASSWORD@HOST/NAME; unset: an SQLite file in the state
    directory."""
    state_url_file: Path | None = None
    """File that holds state_url, for where its password should stand in no environment."""
    state_key: SecretStr | None = None
    """Key that encrypts credentials in the state; unset: that of state_key_file."""
    state_key_file: Path | None = None
    """File that holds the key; unset: `state.key` in the state directory, made where there is none."""
    secrets_dir: Path | None = None
    """Directory, such as a mounted Kubernetes secret, whose files an add may name as `pat_file` or `ssh_key_file`."""
    generations_kept: Annotated[int, Field(ge=2, le=1000)] = 10
    """Generations of each plugin that its history keeps; the files of those that ran are kept for a rollback."""
    events_kept: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    """Events that are kept, of all plugins together."""
    runs_kept: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Runs of each job that its history keeps, beside those that have not ended."""
    audit_kept: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """Changes that the audit keeps, as many writes of PVs beside them, and a tenth as many calls that were refused to
    strangers."""
    local_roots: Annotated[tuple[Path, ...] | None, NoDecode] = None
    """Directories, joined by ':', from which local_path and file: URLs are taken; unset: the working directory and
    the plugins directory."""
    git_allow: Annotated[tuple[str, ...] | None, NoDecode] = None
    """Patterns of repositories that code may come from, such as https://git.example.org/controls/*, separated by commas
    or blanks; unset: every git_url of an allowed scheme."""
    require_signed: bool = False
    """Take only code whose commit or tag carries a signature by an allowed key."""
    allowed_signers: Path | None = None
    """File of the ssh keys whose signatures count, in the form of ssh-keygen's ALLOWED SIGNERS."""
    gpg_home: Path | None = None
    """Directory with a GPG keyring; the signatures of all keys in it count."""
    ssh_known_hosts: Path | None = None
    """File of the host keys of ssh repositories, in the form of ssh's known_hosts; needed for `ssh_key`."""

    host: str | None = None
    """Address to listen on; unset: 0.0.0.0 where callers are asked who they are (token, tokens_file, oidc_issuer) or
    allow_unauthenticated is set, else 127.0.0.1."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of the REST API."""
    token: SecretStr | None = None
    """Bearer token of an admin; changing calls must carry it or another one that is taken."""
    tokens_file: Path | None = None
    """File of further tokens, hashed, with names and roles, as `iocmng token create` writes it; read again when it
    changes."""
    read_token_required: bool = False
    """Ask for a token in reads too, of the role viewer; /livez and /readyz stay free."""
    allow_unauthenticated: bool = False
    """Take changing calls without a token; for sites whose ingress authenticates."""
    oidc_issuer: str | None = None
    """Issuer of the JWTs (OpenID Connect) that are taken as tokens, as their claim `iss` names it."""
    oidc_audience: str | None = None
    """What the claim `aud` of a JWT must name."""
    oidc_jwks_url: str | None = None
    """Where the issuer's keys are; unset: where its .well-known/openid-configuration says."""
    oidc_role_claim: str = "roles"
    """Claim that holds groups or roles; a path such as realm_access.roles leads into it."""
    oidc_roles: Annotated[dict[str, Role], NoDecode] = {}
    """Which value of that claim gives which role, such as ops=operator,beamline-admins=admin."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, separated by commas or blanks, whose pages in a browser may call the API, such as
    https://dashboard.example.org; '*' only with read_token_required."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    """Largest body of a request, in bytes."""
    body_timeout: Seconds = 30.0
    """Seconds in which the whole body of a request must have arrived."""

    disable_ophyd: bool = True
    """Skip ophyd devices."""
    device_timeout: Seconds = 5.0
    """Seconds that an ophyd device may take to connect to its IOC."""
    pva: bool = True
    """Protocol of linked PVs: PV Access, else Channel Access."""
    access_file: Path | None = None
    """EPICS access security file that every IOC loads; unset: made from access_hosts and access_users."""
    access_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts, by IPv4 address or name, from which clients may write inputs and control PVs, separated by commas or
    blanks; unset: from everywhere."""
    access_users: Annotated[tuple[str, ...], NoDecode] = ()
    """Users, by the name that their client tells, who may write inputs and control PVs, separated by commas or blanks;
    unset: all of them."""
    epics_ports: str | None = None
    """TCP ports for the IOCs of a node, as FIRST-LAST, two for each plugin; unset: EPICS takes any."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe log lines to show."""

    ray_address: str | None = None
    """Ray cluster to join; unset: RAY_ADDRESS, and without it a Ray of its own."""
    keep: bool = False
    """Leave the plugins running when the server ends; a later one joins them again."""
    ray_host: str = "127.0.0.1"
    """Address of this machine on which a Ray of its own takes further nodes; Ray then listens on all interfaces, and
    asks for its token."""
    ray_port: Annotated[int | None, Field(ge=1024, le=65535)] = None
    """Port at which further nodes join a Ray of its own; unset: a free one."""
    ray_dashboard: bool = False
    """Start Ray's dashboard with a Ray of its own; `ray job submit` and `serve deploy` need it."""
    ray_dashboard_host: str = "127.0.0.1"
    """Address on which the dashboard listens; another one not with RAY_AUTH_MODE=disabled, because whoever reaches it
    could run code here."""
    ray_dashboard_port: Annotated[int, Field(ge=1, le=65535)] = 8265
    """Port of the dashboard."""
    serve_proxy: Literal["python", "haproxy"] = "python"
    """What answers HTTP: Ray Serve's own proxy, or HAProxy (faster, more memory)."""
    api_replicas: Annotated[int, Field(ge=1, le=32)] = 1
    """Replicas of the API deployment."""
    warm_processes: Annotated[int, Field(ge=0, le=32)] = 1
    """Processes that wait for a plugin with Python and EPICS loaded."""
    plugin_cpus: Annotated[float, Field(ge=0, le=64)] = 0.01
    """CPUs that Ray books for each plugin; a booking, not a limit."""
    plugin_resource: ResourceName | None = None
    """Ray resource, such as `ioc`, that a node must offer so that plugins run there; unset: they run on any node."""
    plugin_node_timeout: Seconds = 60.0
    """Seconds for which the start of a plugin waits until a node with plugin_resource has joined."""
    plugin_memory: Bytes | None = None
    """Memory that each process of a plugin may take, such as 512Mi or 2Gi; `limits` of its config.yaml may ask for
    less. Unset: what config.yaml says, without a limit where it says nothing."""
    plugin_open_files: OpenFiles | None = None
    """The same for open files and connections."""
    plugin_processes: Processes | None = None
    """The same for processes that its code has started."""
    plugin_env: Annotated[tuple[str, ...], NoDecode] = ()
    """Names of variables that plugins may see beside PATH, EPICS_… and other harmless ones, separated by commas or
    blanks; NAME* stands for all that begin so."""
    plugin_umask: Annotated[str, BeforeValidator(check_umask)] = "077"
    """What the files that plugins make deny to others, in octal."""
    plugin_user: str | None = None
    """User as which all plugins run; for a server that runs as root."""
    plugin_uids: Annotated[
        tuple[int, int] | None, BeforeValidator(read_uids, json_schema_input_type=str | None), NoDecode
    ] = None
    """User numbers, first-last, of which each plugin gets one of its own and keeps it; for a server that runs as root.
    One plugin cannot read another's files then."""
    map_worker_cpus: Annotated[float, Field(gt=0, le=64)] = 0.9
    """CPUs that Ray books for each process that works for a map(); a little less than one, or the bookings of the
    plugins would leave one CPU unused."""

    fetch_timeout: Seconds = 120.0
    """Seconds that a clone may take."""
    fetch_max_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024 * 1024
    """Largest size of a plugin's tree, and of what is transferred to get it, in bytes."""
    fetch_max_files: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Largest number of files and directories of a plugin."""
    requirements_timeout: Seconds = 300.0
    """Seconds that the installation of a plugin's requirements may take."""
    requirements_max_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024 * 1024
    """What the installation of a plugin's requirements may write, in bytes; it is ended beyond."""
    import_timeout: Seconds = 60.0
    """Seconds that the import and the checks of a plugin may take."""
    initialize_timeout: Seconds = 30.0
    """Seconds that a plugin's constructor, its records and initialize() may take."""
    stop_timeout: Seconds = 10.0
    """Seconds from the wish to stop until the process is killed; cleanup() must fit into it."""

    runs_queued: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Runs of each job that may wait until it is free."""
    run_timeout: Seconds | None = None
    """Seconds that a run of a job may take that was asked for without a limit of its own; unset: no limit."""
    cancel_grace: Seconds = 5.0
    """Seconds that a run has to end once it is cancelled or timed out; then its process is killed and replaced."""
    result_max_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024 * 1024)] = 1_048_576
    """Largest result of a run, in bytes of JSON."""

    crash_backoff: Seconds = 1.0
    """Seconds before the second start in a row of a plugin that keeps ending by itself; the first is at once, each
    further one waits twice as long as the one before."""
    crash_backoff_limit: Seconds = 60.0
    """Longest wait between two such starts."""
    stable_after: Seconds = 60.0
    """Seconds after which a plugin that was started again counts as healthy."""
    lease: Annotated[float, Field(ge=5)] = 30.0
    """Seconds without a word from the Controller after which a plugin on another node stops serving its PVs; as long,
    and 7 s on top for cleanup() and the end of the process, the Controller waits before it starts the plugins of a lost
    node elsewhere."""

    @field_validator("*")
    @classmethod
    def _known_homes(cls, value: Any) -> Any:
        paths = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
        for path in paths:
            if isinstance(path, Path):
                check_home(path)
        return paths if isinstance(value, tuple) else value

    @field_validator("prefix")
    @classmethod
    def _legal_prefix(cls, value: str | None) -> str | None:
        return check_prefix(value) if value else None

    @field_validator("ray_host")
    @classmethod
    def _legal_ray_host(cls, value: str) -> str:
        return check_node_address(value)

    @field_validator("local_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part for part in value.split(os.pathsep) if part) if isinstance(value, str) else value

    @field_validator("git_allow", "cors_origins", "access_hosts", "access_users", "plugin_env", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        return split_list(value)

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _split_roles(cls, value: Any) -> Any:
        return split_roles(value)

    @field_validator("cors_origins")
    @classmethod
    def _legal_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_origin(origin) for origin in value)

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        return check_key_url(value) if value else None

    @field_validator("git_allow")
    @classmethod
    def _legal_patterns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(check_pattern(pattern) for pattern in value)

    @field_validator("access_hosts")
    @classmethod
    def _legal_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_host, value))

    @field_validator("access_users")
    @classmethod
    def _legal_users(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(check_user, value))

    @field_validator("epics_ports")
    @classmethod
    def _legal_ports(cls, value: str | None) -> str | None:
        return value if value is None else str(PortRange.of(value))

    @field_validator("plugin_env")
    @classmethod
    def _legal_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_further(name) for name in value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_keys(self) -> Settings:
        if self.require_signed and self.allowed_signers is None and self.gpg_home is None:
            raise ValueError(
                "IOCMNG_REQUIRE_SIGNED needs the keys that may sign: name them with IOCMNG_ALLOWED_SIGNERS (ssh) or "
                "IOCMNG_GPG_HOME"
            )
        return self

    @model_validator(mode="after")
    def _knows_callers(self) -> Settings:
        if self.oidc_issuer and not (self.oidc_audience and self.oidc_roles):
            raise ValueError("IOCMNG_OIDC_ISSUER needs IOCMNG_OIDC_AUDIENCE and IOCMNG_OIDC_ROLES, too")
        if self.read_token_required and not self.asks_who:
            raise ValueError(
                "IOCMNG_READ_TOKEN_REQUIRED needs tokens: set IOCMNG_TOKEN, IOCMNG_TOKENS_FILE or IOCMNG_OIDC_ISSUER"
            )
        if "*" in self.cors_origins and not self.read_token_required:
            raise ValueError(
                "'*' in IOCMNG_CORS_ORIGINS lets every page on the web read here through somebody's browser; it needs "
                "IOCMNG_READ_TOKEN_REQUIRED=true. Or list the origins"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_say_access(self) -> Settings:
        if self.access_file is not None and (self.access_hosts or self.access_users):
            raise ValueError(
                "IOCMNG_ACCESS_FILE says all of it: write the hosts and users into it, and unset IOCMNG_ACCESS_HOSTS "
                "and IOCMNG_ACCESS_USERS"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_users(self) -> Settings:
        if self.plugin_user is not None and self.plugin_uids is not None:
            raise ValueError(
                "IOCMNG_PLUGIN_USER gives all plugins one user and IOCMNG_PLUGIN_UIDS each its own: set one of them"
            )
        return self

    @model_validator(mode="after")
    def _resolved(self) -> Settings:
        # Frozen for everyone else: paths are made absolute once, so that all processes mean the same place.
        roots = self.local_roots if self.local_roots is not None else (Path.cwd(), self.plugins_dir)
        values = {
            "beamline_config": self.beamline_config and self.beamline_config.expanduser().absolute(),
            "plugins_config": self.plugins_config and self.plugins_config.expanduser().absolute(),
            "plugins_dir": self.plugins_dir.expanduser().absolute(),
            "state_url_file": self.state_url_file and self.state_url_file.expanduser().absolute(),
            "state_key_file": self.state_key_file and self.state_key_file.expanduser().absolute(),
            "secrets_dir": self.secrets_dir and self.secrets_dir.expanduser().absolute(),
            "allowed_signers": self.allowed_signers and self.allowed_signers.expanduser().absolute(),
            "access_file": self.access_file and self.access_file.expanduser().absolute(),
            "gpg_home": self.gpg_home and self.gpg_home.expanduser().absolute(),
            "ssh_known_hosts": self.ssh_known_hosts and self.ssh_known_hosts.expanduser().absolute(),
            "tokens_file": self.tokens_file and self.tokens_file.expanduser().absolute(),
            "state_dir": (self.state_dir or self.plugins_dir / ".iocmng").expanduser().absolute(),
            "local_roots": tuple(root.expanduser().resolve() for root in roots),
            "host": self.host or ("0.0.0.0" if self.asks_who or self.allow_unauthenticated else "127.0.0.1"),
            "ray_address": self.ray_address or os.environ.get("RAY_ADDRESS") or None,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def port_range(self) -> PortRange | None:
        """The TCP ports for the IOCs of a node."""
        return PortRange.of(self.epics_ports) if self.epics_ports else None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return is_loopback(self.host)

    @property
    def asks_who(self) -> bool:
        """Whether callers are asked who they are."""
        return bool(self.token or self.tokens_file or self.oidc_issuer)

    @property
    def state(self) -> Path:
        """The state directory, resolved."""
        assert self.state_dir is not None
        return self.state_dir

    @property
    def all_values_dir(self) -> Path:
        """Where the saved PV values of all plugins lie."""
        return self.state / "values"

    def values_dir(self, plugin: str) -> Path:
        """Return where the saved PV values of a plugin lie."""
        return self.all_values_dir / plugin

    @property
    def all_work_dir(self) -> Path:
        """Where the working directories of all plugins lie."""
        return self.state / "work"

    def work_dir(self, plugin: str) -> Path:
        """Return the working directory of a plugin."""
        return self.all_work_dir / plugin

    @property
    def plugin_limits(self) -> Limits:
        """What the site allows each process of a plugin."""
        return Limits.model_construct(
            memory=self.plugin_memory, open_files=self.plugin_open_files, processes=self.plugin_processes
        )

    @property
    def roots(self) -> tuple[Path, ...]:
        """The local roots, resolved."""
        return self.local_roots or ()

    def without_callers(self) -> Settings:
        """Return the settings as processes may have them that take no calls: they need not know who may call."""
        oidc: dict[str, Any] = {"oidc_issuer": None, "oidc_audience": None, "oidc_jwks_url": None, "oidc_roles": {}}
        return self.model_copy(update={"token": None, "tokens_file": None, **oidc})

    def without_secrets(self) -> Settings:
        """Return the settings as processes may have them that need no secret of the server."""
        secrets = ("state_url", "state_url_file", "state_key", "state_key_file")
        return self.without_callers().model_copy(update=dict.fromkeys(secrets))

    def beamline(self) -> dict[str, Any]:
        """Return the contents of the beamline file, or nothing where none is set.

        Raises:
            InvalidRequest: If it cannot be read.
        """
        return read_yaml(self.beamline_config) if self.beamline_config else {}

    def device_table(self, beamline: Mapping[str, Any]) -> DeviceTable:
        """Return the ophyd devices that the beamline file, given its contents, describes; none if they are off."""
        return DeviceTable() if self.disable_ophyd else read_devices(beamline)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read flags first and the environment second; load_settings adds the file."""
        return init_settings, env_settings


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file of the site holds.

    Raises:
        InvalidRequest: If it cannot be read or holds something else.
    """
    try:
        data: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        # Not PyYAML's own text: it quotes the line, which may hold a credential.
        place = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidRequest(f"{path}{place} is no valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} is no valid YAML: {type(error).__name__}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InvalidRequest(f"{path} must hold a mapping, not a {type(data).__name__}")
    return data  # pyright: ignore[reportUnknownVariableType]


def load_settings(config: Path | None = None, **flags: Any) -> Settings:
    """Build the settings from flags, the environment and the file that `config` or IOCMNG_CONFIG names.

    Raises:
        InvalidRequest: If a value does not fit; the text names the setting.
    """
    path = config or (Path(os.environ["IOCMNG_CONFIG"]) if os.environ.get("IOCMNG_CONFIG") else None)
    from_file = {str(name): value for name, value in read_yaml(path).items()} if path else {}
    given = {name: value for name, value in flags.items() if value is not None}
    # What stands in the file counts only where the environment says nothing.
    below = {name: value for name, value in from_file.items() if not os.environ.get(f"IOCMNG_{name.upper()}")}
    try:
        return Settings(**{**below, **given})
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
        )
        raise InvalidRequest(f"settings do not fit: {places}") from error
