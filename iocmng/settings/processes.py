"""Settings of the processes: Ray's, the plugins', and their times."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from iocmng.core.author_environment import check_further
from iocmng.core.limits import Bytes, Cores, Limits, OpenFiles, Processes
from iocmng.core.manifest import ResourceName
from iocmng.core.setting_values import check_node_address, check_umask, read_uids
from iocmng.settings.values import Group, Seconds, Words


class RaySettings(Group):
    """Ray, and how plugins are spread over it."""

    ray_address: str | None = None
    """Ray cluster to join; unset: RAY_ADDRESS, and without it a Ray of its own."""
    keep: bool = False
    """Leave the plugins running when the server ends; a later one joins them again."""
    ray_host: Annotated[str, AfterValidator(check_node_address)] = "127.0.0.1"
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
    metrics: bool = True
    """Tell Prometheus of plugins, runs and starts, by the endpoint of Ray's agent; false: not, and a Ray of its own
    does not open it at all."""
    metrics_port: Annotated[int | None, Field(ge=1024, le=65535)] = None
    """Port of that endpoint, with a Ray of its own; unset: a free one."""
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


class PluginSettings(Group):
    """What plugins' processes may do."""

    plugin_memory: Bytes | None = None
    """Memory that each process of a plugin may take, such as 512Mi or 2Gi; `limits` of its config.yaml may ask for
    less. Unset: what config.yaml says, without a limit where it says nothing."""
    plugin_open_files: OpenFiles | None = None
    """The same for open files and connections."""
    plugin_processes: Processes | None = None
    """The same for processes that its code has started."""
    plugin_cpu: Cores | None = None
    """The same for CPU time, in cores such as 0.5 or 500m, of each process of a plugin and all that it starts. Where
    this machine cannot keep it, the server does not start; on another node, the plugin does not."""
    plugin_env: Annotated[Words[Annotated[str, AfterValidator(check_further)]], NoDecode] = ()
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

    @model_validator(mode="after")
    def _one_way_to_users(self) -> Self:
        if self.plugin_user is not None and self.plugin_uids is not None:
            raise ValueError(
                "IOCMNG_PLUGIN_USER gives all plugins one user and IOCMNG_PLUGIN_UIDS each its own: set one of them"
            )
        return self

    @property
    def plugin_limits(self) -> Limits:
        """What the site allows each process of a plugin."""
        return Limits.model_construct(
            memory=self.plugin_memory,
            open_files=self.plugin_open_files,
            processes=self.plugin_processes,
            cpu=self.plugin_cpu,
        )


class LoadingSettings(Group):
    """Limits of getting, starting and stopping a plugin."""

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
    requirements_build: bool | None = None
    """Whether requirements may be built from source, which runs their authors' code as the server's user, or must be
    wheels; unset: they may, unless plugins have other users than the server (plugin_uids, plugin_user)."""
    import_timeout: Seconds = 60.0
    """Seconds that the import and the checks of a plugin may take."""
    initialize_timeout: Seconds = 30.0
    """Seconds that a plugin's constructor, its records and initialize() may take."""
    stop_timeout: Seconds = 10.0
    """Seconds from the wish to stop until the process is killed; cleanup() must fit into it."""


class RunSettings(Group):
    """Runs of jobs."""

    runs_queued: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Runs of each job that may wait until it is free."""
    run_timeout: Seconds | None = None
    """Seconds that a run of a job may take that was asked for without a limit of its own; unset: no limit."""
    cancel_grace: Seconds = 5.0
    """Seconds that a run has to end once it is cancelled or timed out; then its process is killed and replaced."""
    result_max_bytes: Annotated[int, Field(ge=1024, le=1024 * 1024 * 1024)] = 1_048_576
    """Largest result of a run, in bytes of JSON."""


class SupervisionSettings(Group):
    """What happens to plugins that end by themselves."""

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
