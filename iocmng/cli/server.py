"""`iocmng server`: everything on one machine, or the API of a cluster that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from pathlib import Path

import ray
from ray import serve
from ray.exceptions import RayError

from iocmng.api.guard import access_warnings, check_access
from iocmng.cli.haproxy import HaProxy
from iocmng.cli.own_ray import Kind, find_kept, forget_kept, start_ray
from iocmng.cli.server_log import SERVER_LOG
from iocmng.cli.service_manager import ServiceManager
from iocmng.cluster.client import RayControllerClient
from iocmng.cluster.lent_secrets import left_secrets, lent_secrets
from iocmng.epics.access import read_access
from iocmng.errors import InvalidRequest, IocmngError, ServerUnavailable
from iocmng.loading.cpu_share import check_cpu_share
from iocmng.loading.kept_secrets import forget_secrets
from iocmng.loading.plugin_users import check_users
from iocmng.serve_app import APPLICATION_NAME, application, listening_address
from iocmng.settings import Settings, is_loopback
from iocmng.store import open_store

LOG_DIRECTORY = "/tmp/ray/session_latest/logs/serve"

SHUTDOWN_MARGIN = 10.0
"""Seconds that a graceful end may take beyond the plugins' own stop_timeout."""

LAST_LIMIT = 15.0
"""Seconds after which the end of Ray itself is no longer waited for."""


def run_server(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then stop the plugins in good order, if Ray is our own and not to be kept.

    Raises:
        ServerUnavailable: If the port is taken, the state cannot be used, or the cluster cannot be joined.
        InvalidRequest: If a setting does not fit.
    """
    _check(settings)
    for warning in access_warnings(settings):
        SERVER_LOG.warning("iocmng: %s", warning)
    ended, manager = threading.Event(), ServiceManager()
    haproxy = HaProxy() if settings.serve_proxy == "haproxy" and settings.ray_address is None else None
    kind = start_ray(settings, haproxy.environment() if haproxy else {})
    lent = contextlib.ExitStack()
    try:
        # A Controller on any other Ray than one's own may outlive this process.
        settings = lent.enter_context(lent_secrets(settings)) if kind == "own" else left_secrets(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        RayControllerClient.begin(settings)  # starts plugins while Serve starts
        _start_serve(settings, kind)
        # In a cluster that has Serve already, its address stays what it is.
        host, port = listening_address()
        SERVER_LOG.info("iocmng answers on http://%s:%d/api/v1 (documentation: /docs)", host, port)
        manager.ready(f"answers on http://{host}:{port}/api/v1")
        while not ended.wait(1.0):
            pass
    finally:
        manager.stopping()
        _shut_down(settings, kind)
        if haproxy:
            haproxy.end()
        lent.close()


def stop_kept(settings: Settings) -> None:
    """Stop the plugins that a server with `--keep` has left running, and end their Ray.

    Raises:
        ServerUnavailable: If there is none.
    """
    if find_kept(settings) is None:
        raise ServerUnavailable(f"no server was kept with the state directory {settings.state}")
    start_ray(settings, {})
    _stop_everything(settings, "kept")


def _check(settings: Settings) -> None:
    """Find out early, and in one sentence, what would else be told in a traceback, or not at all."""
    if settings.plugins_config is not None and not settings.plugins_config.is_file():
        raise InvalidRequest(f"there is no plugins file {settings.plugins_config}")
    check_access(settings)
    if settings.keep and settings.serve_proxy == "haproxy":
        raise InvalidRequest("keep does not go together with serve_proxy haproxy: choose one of them")
    for warning in read_access(settings).warnings:
        SERVER_LOG.warning("iocmng: %s", warning)
    _make_directory(settings.state)
    check_users(settings)
    if find_kept(settings) is not None or settings.ray_address is not None:
        return  # what runs there holds the state, and maybe the port
    check_cpu_share(settings)
    _check_ports(settings)
    open_store(settings).close()


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidRequest(f"cannot make {directory}: {error.strerror}; see IOCMNG_PLUGINS_DIR") from error


def _start_serve(settings: Settings, kind: Kind) -> None:
    quiet = {"enable_access_log": False, "log_level": "WARNING"}
    app = application(settings)
    try:
        if kind == "kept":
            serve.shutdown()  # what a server that was killed has left listens where that one was told to
        serve.start(http_options={"host": settings.host, "port": settings.port}, logging_config=quiet)
        serve.run(app, name=APPLICATION_NAME, route_prefix="/", blocking=False, logging_config=quiet)  # pyright: ignore[reportCallIssue]
    except (RayError, RuntimeError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ServerUnavailable(f"Ray Serve did not start: {reason} (its log: {LOG_DIRECTORY})") from error


def _shut_down(settings: Settings, kind: Kind) -> None:
    """End the API, and the plugins where they are not to be kept. In a joined cluster they go on."""
    if kind == "joined":
        serve.delete(APPLICATION_NAME)
        ray.shutdown()
    elif settings.keep:
        serve.shutdown()
        ray.shutdown()
        SERVER_LOG.info(
            "iocmng ends; its plugins run on. `iocmng server` joins them again, `iocmng server --stop` ends them"
        )
    else:
        SERVER_LOG.info("iocmng ends; a moment for the plugins' cleanup()")
        _stop_everything(settings, kind)


def _stop_everything(settings: Settings, kind: Kind) -> None:
    try:
        asyncio.run(_stop_plugins(settings))
    except (IocmngError, TimeoutError) as error:
        SERVER_LOG.error("the plugins did not all end in good order: %s", error)
    # Whatever Ray may hang in: a supervisor that has sent SIGTERM must see an end.
    limit = threading.Timer(LAST_LIMIT, os._exit, [1])
    limit.daemon = True
    limit.start()
    kept = find_kept(settings) if kind == "kept" else None
    ray.shutdown()
    if kept is not None:
        kept.end()
        forget_kept(settings)
        forget_secrets(settings)
    limit.cancel()


async def _stop_plugins(settings: Settings) -> None:
    async with asyncio.timeout(settings.stop_timeout + SHUTDOWN_MARGIN):
        client = await RayControllerClient.connect(settings)
        await client.shutdown()


def _check_ports(settings: Settings) -> None:
    """Check that the ports are free. Ray says of its own only that a node has ended, after a long time."""
    _check_port(settings.host or "127.0.0.1", settings.port, "IOCMNG_PORT")
    if settings.metrics and settings.metrics_port is not None:
        if settings.metrics_port == settings.port:
            raise InvalidRequest(f"IOCMNG_PORT and IOCMNG_METRICS_PORT are both {settings.port}: choose another one")
        host = settings.ray_host if is_loopback(settings.ray_host) else ""
        _check_port(host, settings.metrics_port, "IOCMNG_METRICS_PORT")


def _check_port(host: str, port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerUnavailable(
                f"cannot listen on {host}:{port}: {error.strerror}; another port: {name}"
            ) from error
