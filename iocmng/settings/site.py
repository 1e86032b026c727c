"""Settings of the site: where everything is, who may call, what EPICS does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator
from pydantic_settings import NoDecode

from iocmng.core.access import Role
from iocmng.core.git_allow import check_pattern
from iocmng.core.port_range import PortRange
from iocmng.core.pv_access import check_host, check_user
from iocmng.core.setting_values import check_origin, split_roles
from iocmng.core.tokens_file import HashedToken
from iocmng.settings.values import (
    Group,
    Seconds,
    SitePath,
    Words,
    default_plugins_dir,
    is_loopback,
    key_url,
    legal_host,
    legal_ports,
    legal_prefix,
    lower,
    no_service_link,
    split_paths,
)


class SiteSettings(Group):
    """The beamline, and where everything is kept."""

    beamline_config: SitePath | None = None
    """values.yaml of the beamline: `beamline`, `namespace`, devices."""
    plugins_config: SitePath | None = None
    """Plugins to load at the start."""
    prefix: Annotated[str | None, AfterValidator(legal_prefix)] = None
    """PREFIX of all PVs; unset: from the beamline file."""
    plugins_dir: SitePath = Field(default_factory=default_plugins_dir)
    """Where bundles and state are kept."""
    state_dir: SitePath | None = None
    """Unset: `.iocmng` inside the plugins directory."""
    state_url: SecretStr | None = None
    """Database that keeps the state, as postgresql://USER:PASSWORD@HOST/NAME; unset: an SQLite file in the state
    directory."""
    state_url_file: SitePath | None = None
    """File that holds state_url, for where its password should stand in no environment."""
    state_key: SecretStr | None = None
    """Key that encrypts credentials in the state; unset: that of state_key_file."""
    state_key_file: SitePath | None = None
    """File that holds the key; unset: `state.key` in the state directory, made where there is none."""
    secrets_dir: SitePath | None = None
    """Directory, such as a mounted Kubernetes secret, whose files an add may name as `pat_file` or `ssh_key_file`."""
    pvlist_dir: SitePath | None = None
    """Directory in which each plugin gets NAME/pvlist.txt with the names of its PVs, and NAME/NAME-config.yaml with the
    address of its IOC, as feeders of ChannelFinder read them; unset: none."""
    generations_kept: Annotated[int, Field(ge=2, le=1000)] = 10
    """Generations of each plugin that its history keeps; the files of those that ran are kept for a rollback."""
    events_kept: Annotated[int, Field(ge=100, le=10_000_000)] = 10_000
    """Events that are kept, of all plugins together."""
    runs_kept: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Runs of each job that its history keeps, beside those that have not ended."""
    audit_kept: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """Changes that the audit keeps, as many writes of PVs beside them, and a tenth as many calls that were refused to
    strangers."""

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


class SourceSettings(Group):
    """Where code may come from, and what a plugin may take until it runs."""

    local_roots: Annotated[Annotated[tuple[SitePath, ...], BeforeValidator(split_paths)] | None, NoDecode] = None
    """Directories, joined by ':', from which local_path and file: URLs are taken; unset: the working directory and
    the plugins directory."""
    git_allow: Annotated[Words[Annotated[str, AfterValidator(check_pattern)]] | None, NoDecode] = None
    """Patterns of repositories that code may come from, such as https://git.example.org/controls/*, separated by commas
    or blanks; unset: every git_url of an allowed scheme."""
    require_signed: bool = False
    """Take only code whose commit or tag carries a signature by an allowed key."""
    allowed_signers: SitePath | None = None
    """File of the ssh keys whose signatures count, in the form of ssh-keygen's ALLOWED SIGNERS."""
    gpg_home: SitePath | None = None
    """Directory with a GPG keyring; the signatures of all keys in it count."""
    ssh_known_hosts: SitePath | None = None
    """File of the host keys of ssh repositories, in the form of ssh's known_hosts; needed for `ssh_key`."""

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.require_signed and self.allowed_signers is None and self.gpg_home is None:
            raise ValueError(
                "IOCMNG_REQUIRE_SIGNED needs the keys that may sign: name them with IOCMNG_ALLOWED_SIGNERS (ssh) or "
                "IOCMNG_GPG_HOME"
            )
        return self

    @property
    def roots(self) -> tuple[Path, ...]:
        """The local roots, resolved."""
        return self.local_roots or ()


class ApiSettings(Group):
    """The REST API, and who may call it."""

    host: str | None = None
    """Address to listen on; unset: 0.0.0.0 where callers are asked who they are (token, tokens_file, oidc_issuer) or
    allow_unauthenticated is set, else 127.0.0.1."""
    port: Annotated[int, Field(ge=1, le=65535), BeforeValidator(no_service_link)] = 8080
    """Port of the REST API."""
    _hashed_token: HashedToken | None = PrivateAttr(default=None)
    token: SecretStr | None = None
    """Bearer token of an admin; changing calls must carry it or another one that is taken."""
    tokens_file: SitePath | None = None
    """File of further tokens, hashed, with names and roles, as `iocmng token create` writes it; read again when it
    changes."""
    read_token_required: bool = False
    """Ask for a token in reads too, of the role viewer; /livez and /readyz stay free."""
    allow_unauthenticated: bool = False
    """Take changing calls without a token; for sites whose ingress authenticates."""
    oidc_issuer: Annotated[str | None, AfterValidator(key_url)] = None
    """Issuer of the JWTs (OpenID Connect) that are taken as tokens, as their claim `iss` names it."""
    oidc_audience: str | None = None
    """What the claim `aud` of a JWT must name."""
    oidc_jwks_url: Annotated[str | None, AfterValidator(key_url)] = None
    """Where the issuer's keys are; unset: where its .well-known/openid-configuration says."""
    oidc_role_claim: str = "roles"
    """Claim that holds groups or roles; a path such as realm_access.roles leads into it."""
    oidc_roles: Annotated[dict[str, Role], BeforeValidator(split_roles), NoDecode] = {}
    """Which value of that claim gives which role, such as ops=operator,beamline-admins=admin."""
    cors_origins: Annotated[Words[Annotated[str, AfterValidator(check_origin)]], NoDecode] = ()
    """Origins, separated by commas or blanks, whose pages in a browser may call the API, such as
    https://dashboard.example.org; '*' only with read_token_required."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_048_576
    """Largest body of a request, in bytes."""
    body_timeout: Seconds = 30.0
    """Seconds in which the whole body of a request must have arrived."""

    @model_validator(mode="after")
    def _knows_callers(self) -> Self:
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

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        return is_loopback(self.host)

    @property
    def asks_who(self) -> bool:
        """Whether callers are asked who they are."""
        return bool(self.hashed_token or self.tokens_file or self.oidc_issuer)

    @property
    def hashed_token(self) -> HashedToken | None:
        """The token of an admin as it is compared."""
        return HashedToken.of(self.token.get_secret_value()) if self.token else self._hashed_token

    def with_token(self, token: HashedToken | None) -> Self:
        """Return the settings with a token, or without one, that is not in them by value."""
        changed = self.model_copy(update={"token": None})
        changed._hashed_token = token
        return changed


class EpicsSettings(Group):
    """EPICS, devices, and the log."""

    disable_ophyd: bool = True
    """Skip ophyd devices."""
    device_timeout: Seconds = 5.0
    """Seconds that an ophyd device may take to connect to its IOC."""
    pva: bool = True
    """Protocol of linked PVs: PV Access, else Channel Access."""
    access_file: SitePath | None = None
    """EPICS access security file that every IOC loads; unset: made from access_hosts and access_users."""
    access_hosts: Annotated[Words[Annotated[str, AfterValidator(check_host)]], NoDecode] = ()
    """Hosts, by IPv4 address or name, from which clients may write inputs and control PVs, separated by commas or
    blanks; unset: from everywhere."""
    access_users: Annotated[Words[Annotated[str, AfterValidator(check_user)]], NoDecode] = ()
    """Users, by the name that their client tells, who may write inputs and control PVs, separated by commas or blanks;
    unset: all of them."""
    underscore_aliases: bool = True
    """Whether each PV of a plugin with hyphens in its name also answers to a name with underscores in their place, as
    screens generated for 2.x have it."""
    epics_ports: Annotated[str | None, AfterValidator(legal_ports)] = None
    """TCP ports for the IOCs of a node, as FIRST-LAST, two for each plugin; unset: EPICS takes any."""
    epics_public_host: Annotated[str | None, AfterValidator(legal_host)] = None
    """Host name or IPv4 address at which clients reach the IOCs, as GET /pvs/name-servers tells them; unset: the
    address of the plugin's node. Ray's label `iocmng/epics-public-host` says it for one node."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = "info"
    """Least severe log lines to show."""
    log_format: Annotated[Literal["text", "json"], BeforeValidator(lower)] = "text"
    """Form of the log on stderr. `json`: one object on each line, the plugins' lines too; then Ray's processes write to
    the stderr of what has started them, not to files, unless RAY_LOG_TO_STDERR=0."""

    @model_validator(mode="after")
    def _one_way_to_say_access(self) -> Self:
        if self.access_file is not None and (self.access_hosts or self.access_users):
            raise ValueError(
                "IOCMNG_ACCESS_FILE says all of it: write the hosts and users into it, and unset IOCMNG_ACCESS_HOSTS "
                "and IOCMNG_ACCESS_USERS"
            )
        return self

    @property
    def port_range(self) -> PortRange | None:
        """The TCP ports for the IOCs of a node."""
        return PortRange.of(self.epics_ports) if self.epics_ports else None
