"""The Ray that a server runs on: one of its own, one of its own that is kept, or a cluster that is there already."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from ray._private import parameter  # no public call chooses the agent's port
from ray.exceptions import RayError

from iocmng.cli import ray_environment
from iocmng.cluster.names import NAMESPACE
from iocmng.errors import ServerUnavailable
from iocmng.settings import Settings, is_loopback
from iocmng.store.private_file import make_private_file

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Bundles are small; Ray's default is a third of the memory."""

HELD = {"state_dir", "metrics_port", "ray_host", "ray_dashboard", "ray_dashboard_host", "ray_dashboard_port"}
"""Settings of the process that holds a kept Ray; the rest is in the environment that it inherits."""

KEPT_START_TIMEOUT = 60.0
KEPT_END_TIMEOUT = 20.0

Kind = Literal["own", "kept", "joined"]


@dataclass(frozen=True, slots=True)
class KeptRay:
    """A Ray that outlives the server which has started it; noted in the state directory.

    Attributes:
        pid: Process that holds it; SIGTERM ends it, and everything on it.
        started: When that process was started, in clock ticks since the boot, so that a number that is another
            process's by now is not taken for it.
        address: Address to join it at.
    """

    pid: int
    started: int
    address: str

    @property
    def lives(self) -> bool:
        """Whether it is still there."""
        return _start_time(self.pid) == self.started

    def end(self) -> None:
        """End it, and return when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + KEPT_END_TIMEOUT
        while self.lives and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.lives:
            os.kill(self.pid, signal.SIGKILL)


def start_ray(settings: Settings, environment: dict[str, str]) -> Kind:
    """Start or join the Ray that the settings ask for; a kept one that lives is joined in any case.

    Args:
        settings: The server's settings, for which ray_environment.prepare() has been called.
        environment: What Ray's processes shall have in their environment besides.

    Raises:
        ServerUnavailable: If that is not possible.
    """
    ray_environment.set_defaults(environment)
    if settings.ray_address is not None:
        _init(settings.ray_address, {})
        return "joined"
    _make_token(settings)
    kept = find_kept(settings)
    if kept is None and settings.keep:
        kept = _start_kept(settings)
    if kept is not None:
        _init(kept.address, {})
        return "kept"
    _init("local", _own_options(settings))
    return "own"


def find_kept(settings: Settings) -> KeptRay | None:
    """Return the Ray that an earlier server has kept, if it lives."""
    try:
        kept = KeptRay(**json.loads(_note(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return kept if kept.lives else None


def forget_kept(settings: Settings) -> None:
    """Remove the note of a kept Ray."""
    _note(settings).unlink(missing_ok=True)


def hold(settings: Settings) -> None:
    """Start a Ray and hold it until SIGTERM: the whole life of the process that keeps one."""
    _init("local", _own_options(settings))
    kept = KeptRay(os.getpid(), _start_time(os.getpid()), ray.get_runtime_context().gcs_address)
    note = _note(settings)
    staged = note.with_suffix(".new")
    staged.write_text(json.dumps(asdict(kept)), encoding="utf-8")
    staged.replace(note)
    signal.sigwait({signal.SIGTERM})
    forget_kept(settings)
    ray.shutdown()


def _start_kept(settings: Settings) -> KeptRay:
    log = settings.state / "kept-ray.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "iocmng.cli.hold_ray",
                settings.model_dump_json(include=HELD),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in the server's terminal is not for it
        )
    deadline = time.monotonic() + KEPT_START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if kept := find_kept(settings):
            return kept
        time.sleep(0.1)
    process.kill()
    raise ServerUnavailable(f"no Ray that is kept could be started; its log: {log}")


def _make_token(settings: Settings) -> None:
    """Make the token of our own Ray where there is none; it stays, so that scripts of the site can rely on it."""
    file = ray_environment.token_file(settings)
    if os.environ.get(ray_environment.TOKEN_PATH) != str(file) or not ray_environment.asks_for_token():
        return
    try:
        if not file.exists():
            make_private_file(file, secrets.token_hex(32).encode())
        is_empty = not file.read_bytes().strip()
    except OSError as error:
        raise ServerUnavailable(
            f"the token of Ray in {file} cannot be read or made: {error.strerror}; see that this user may read it and "
            "that its disk has room, or give a token in RAY_AUTH_TOKEN"
        ) from error
    if is_empty:
        raise ServerUnavailable(f"the token of Ray in {file} is empty; remove the file, and the server makes a new one")


@contextlib.contextmanager
def _any_agent_port() -> Iterator[None]:
    """Let the dashboard's agent take a free port while Ray starts.

    With its fixed one, 52365, only one Ray of a machine takes jobs. ray.init has no argument for it.
    """
    original = parameter.RayParams
    parameter.RayParams = functools.partial(original, dashboard_agent_listen_port=0)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        parameter.RayParams = original


def _own_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"include_dashboard": settings.ray_dashboard, "object_store_memory": OBJECT_STORE_BYTES}
    if not is_loopback(settings.ray_host):
        options["_node_ip_address"] = settings.ray_host
    if settings.metrics_port is not None:
        options["_metrics_export_port"] = settings.metrics_port
    if not settings.ray_dashboard:
        return options
    return options | {"dashboard_host": settings.ray_dashboard_host, "dashboard_port": settings.ray_dashboard_port}


def _init(address: str, options: dict[str, Any]) -> None:
    quiet: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "warning"}
    try:
        with _any_agent_port():
            ray.init(address=address, **quiet, **options)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        place = "this machine" if address == "local" else address
        raise ServerUnavailable(f"cannot start or join Ray at {place}: {error}") from error


def _note(settings: Settings) -> Path:
    return settings.state / "kept-ray.json"


def _start_time(pid: int) -> int:
    """Return when a process was started (field 22 of proc_pid_stat(5)), or 0 where there is none."""
    with contextlib.suppress(OSError):
        return int(
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
    return 0
