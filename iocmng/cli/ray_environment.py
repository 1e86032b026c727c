"""The environment of Ray, which must be complete before Ray is imported: nothing here imports it.

A Ray of the server's own is on 127.0.0.1 alone and asks for a token. A cluster that is joined has its own rules.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

from iocmng.cli.server_log import SERVER_LOG
from iocmng.errors import InvalidRequest
from iocmng.loading.own_environment import drop_variables
from iocmng.settings import Settings, is_loopback, load_settings

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"

TOKEN_FILE = "ray.token"
"""Name, in the state directory, of the token of a Ray that the server starts itself."""

ONE_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch for a machine to which no others may join. The whole of Ray then takes 127.0.0.1 for the address of this
machine, and listens there; without it, Ray puts the address on the network in the place of any 127.0.0.1."""

NO_METRICS = {"RAY_enable_metrics_collection": "0"}
"""Ray's switch for a machine on which nobody looks at figures: its agent opens no port for them."""

DEFAULTS = {
    "RAY_memory_monitor_refresh_ms": "0",  # it would kill small innocent actors
    "RAY_USAGE_STATS_ENABLED": "0",
    # glibc's arenas, one for each of Ray's many threads, made the Controller grow five times as fast with each add.
    "MALLOC_ARENA_MAX": "2",
    "RAY_worker_niceness": "0",  # Ray's 15 would let anything else on the machine starve IOCs and API
    # Serve kills a proxy that is not ready in time and begins anew: on a loaded machine 5 s are never enough.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "60",
    # A proxy that died is missed after three of these; with Ray's 10 s the API would be away for half a minute.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # uvicorn by itself waits for a request's head for ever.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "iocmng.cluster.proxy_guard.install",
    # uvicorn would take what a header says for the address of every caller on this machine. A site whose ingress runs
    # here names it in this variable.
    "FORWARDED_ALLOW_IPS": "",
}

ALL_TO_STDERR = {"RAY_LOG_TO_STDERR": "1", "RAY_BACKEND_LOG_LEVEL": "warning"}
"""Ray's processes, the plugins' among them, write to the stderr that they have got, and no files. With these Ray's own
lines come, too; they are no JSON."""

SECRETS = ("IOCMNG_TOKEN", "IOCMNG_STATE_KEY", "IOCMNG_STATE_URL")
"""Variables that Ray's processes must not inherit: author's code runs in some of them."""


def prepare(settings: Settings) -> None:
    """Complete the environment for the Ray that the settings ask for; what is set already stays.

    Raises:
        InvalidRequest: If what is set opens Ray to others, or means nothing.
    """
    drop_variables(SECRETS)
    set_defaults(DEFAULTS)
    if settings.log_format == "json":
        set_defaults(ALL_TO_STDERR)
    _find_programs()
    if settings.ray_address is not None:
        prepare_to_join(settings.ray_address)
        return
    set_defaults({MODE: "token"})
    if asks_for_token() and not _token_is_given():
        os.environ[TOKEN_PATH] = str(token_file(settings))
    _check(settings)
    if is_loopback(settings.ray_host):
        os.environ.update(ONE_MACHINE)
    if not settings.metrics:
        os.environ.update(NO_METRICS)
    if settings.ray_port is not None:
        os.environ["RAY_GCS_SERVER_PORT"] = str(settings.ray_port)


def prepare_to_join(address: str) -> None:
    """Complete the environment of a process that joins the Ray at an address: what is on 127.0.0.1 is left there."""
    if _is_here(address):
        os.environ.update(ONE_MACHINE)


def prepare_command() -> None:
    """Complete the environment of a command that speaks to the Ray of RAY_ADDRESS, or to that of this machine.

    For one of this machine the token is looked for in the state directory, unless the environment tells of a token.
    """
    address = os.environ.get("RAY_ADDRESS") or "auto"
    prepare_to_join(address)
    if MODE in os.environ or _token_is_given() or not _is_here(address):
        return
    with contextlib.suppress(InvalidRequest):  # the settings of a server, which are not this command's to check
        file = token_file(load_settings())
        if os.access(file, os.R_OK):
            os.environ.update({MODE: "token", TOKEN_PATH: str(file)})


def token_file(settings: Settings) -> Path:
    """Return where the token of the server's own Ray lies, unless the environment names another one."""
    return settings.state / TOKEN_FILE


def asks_for_token() -> bool:
    """Tell whether Ray lets only those in who have its token."""
    return os.environ.get(MODE, "").lower() == "token"


def set_defaults(values: dict[str, str]) -> None:
    """Set the variables that are not set."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def _is_here(address: str) -> bool:
    return address == "auto" or is_loopback(address.rpartition(":")[0].strip("[]"))


def _token_is_given() -> bool:
    return bool(os.environ.get(TOKEN) or os.environ.get(TOKEN_PATH))


def _check(settings: Settings) -> None:
    mode = os.environ[MODE]
    if mode.lower() not in ("token", "disabled"):
        raise InvalidRequest(f"RAY_AUTH_MODE is {mode!r}: it must be token (also if it is not set) or disabled")
    open_doors = {"IOCMNG_RAY_HOST": settings.ray_host}
    if settings.ray_dashboard:
        open_doors["IOCMNG_RAY_DASHBOARD_HOST"] = settings.ray_dashboard_host
    for name, host in open_doors.items():
        if not asks_for_token() and not is_loopback(host):
            raise InvalidRequest(
                f"{name} {host} lets other machines run code here without a token; leave RAY_AUTH_MODE unset or set it "
                "to token, or let Ray listen on 127.0.0.1"
            )
    _check_bindable(settings.ray_host)
    path = os.environ.get(TOKEN_PATH)
    if asks_for_token() and not os.environ.get(TOKEN) and path and Path(path) != token_file(settings):
        _check_token_of_site(Path(path))
    if not asks_for_token():
        SERVER_LOG.warning(
            "iocmng: warning: RAY_AUTH_MODE=disabled lets every user and program of this machine run code as this "
            "server; leave it unset, and Ray asks for a token"
        )


def _check_bindable(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((host, 0))
    except OSError as error:
        raise InvalidRequest(f"IOCMNG_RAY_HOST {host} is no address of this machine: {error.strerror}") from None


def _check_token_of_site(path: Path) -> None:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidRequest(f"cannot read Ray's token from RAY_AUTH_TOKEN_PATH {path}: {reason}") from None
    if not content.strip():
        raise InvalidRequest(f"RAY_AUTH_TOKEN_PATH {path} is empty: it must hold Ray's token")


def _find_programs() -> None:
    """A job is a command line such as `iocmng job run scan`, and must find the iocmng that runs here."""
    here = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", os.defpath)
    if here not in path.split(os.pathsep):
        os.environ["PATH"] = f"{here}{os.pathsep}{path}"
