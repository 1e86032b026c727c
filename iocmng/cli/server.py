"""`iocmng server`: everything on one machine, or the API of a cluster that runs already."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError

from iocmng.cli.haproxy import HaProxy
from iocmng.cluster.client import RayControllerClient
from iocmng.cluster.names import NAMESPACE
from iocmng.errors import InvalidRequest, IocmngError, ServerUnavailable
from iocmng.serve_app import APPLICATION_NAME, application
from iocmng.settings import Settings

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Bundles are small; Ray's default is a third of the memory."""

LOG_DIRECTORY = "/tmp/ray/session_latest/logs/serve"

RAY_DEFAULTS = {
    "RAY_memory_monitor_refresh_ms": "0",  # it would kill small innocent actors
    "RAY_AUTH_MODE": "disabled",  # else it depends on a file in the user's home
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 would let anything else on the machine starve IOCs and API
    # Serve kills a proxy that is not ready in time and begins anew: on a loaded machine 5 s are never enough.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "60",
}

SHUTDOWN_MARGIN = 10.0
"""Seconds that a graceful end may take beyond the plugins' own stop_timeout."""


def run_server(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then stop the plugins in good order, if Ray is our own.

    Raises:
        ServerUnavailable: If the port is taken, or the cluster cannot be joined.
    """
    _check_port(settings)
    if settings.plugins_config is not None and not settings.plugins_config.is_file():
        raise InvalidRequest(f"there is no plugins file {settings.plugins_config}")
    try:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequest(f"cannot make {settings.state}: {error.strerror}; see IOCMNG_PLUGINS_DIR") from error
    ended = threading.Event()
    haproxy = HaProxy() if settings.serve_proxy == "haproxy" and settings.ray_address is None else None
    _start_ray(settings, haproxy.environment() if haproxy else {})
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        RayControllerClient.begin(settings)  # loads plugins while Serve starts
        _start_serve(settings)
        _say(f"iocmng answers on http://{settings.host}:{settings.port}/api/v1 (documentation: /docs)")
        while not ended.wait(1.0):
            pass
    finally:
        _say("iocmng ends; a moment for the plugins' cleanup()")
        _shut_down(settings)
        if haproxy:
            haproxy.end()


def _start_ray(settings: Settings, environment: dict[str, str]) -> None:
    os.environ.pop("IOCMNG_TOKEN", None)  # all processes of Ray inherit this environment, author's code too
    for name, value in (RAY_DEFAULTS | environment).items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "warning"}
    if settings.ray_address is None:
        options |= {
            "address": "local",
            "include_dashboard": settings.ray_dashboard,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
    else:
        options["address"] = settings.ray_address
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ServerUnavailable(
            f"cannot start or join Ray at {settings.ray_address or 'this machine'}: {error}"
        ) from error


def _start_serve(settings: Settings) -> None:
    quiet = {"enable_access_log": False, "log_level": "WARNING"}
    app = application(settings)
    try:
        serve.start(http_options={"host": settings.host, "port": settings.port}, logging_config=quiet)
        serve.run(app, name=APPLICATION_NAME, route_prefix="/", blocking=False, logging_config=quiet)  # pyright: ignore[reportCallIssue]
    except (RayError, RuntimeError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ServerUnavailable(f"Ray Serve did not start: {reason} (its log: {LOG_DIRECTORY})") from error


def _shut_down(settings: Settings) -> None:
    """End the API; with a Ray of our own, end the plugins too. In a joined cluster they go on."""
    if settings.ray_address is not None:
        serve.delete(APPLICATION_NAME)
        ray.shutdown()
        return
    try:
        asyncio.run(_stop_plugins(settings))
    except (IocmngError, TimeoutError) as error:
        _say(f"the plugins did not all end in good order: {error}")
    ray.shutdown()


async def _stop_plugins(settings: Settings) -> None:
    async with asyncio.timeout(settings.stop_timeout + SHUTDOWN_MARGIN):
        client = await RayControllerClient.connect(settings)
        await client.shutdown()


def _check_port(settings: Settings) -> None:
    """Find out early, and in one sentence, that the port is taken; Ray Serve would tell it in a traceback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host or "127.0.0.1", settings.port))
        except OSError as error:
            raise ServerUnavailable(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; another port: IOCMNG_PORT"
            ) from error


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201
