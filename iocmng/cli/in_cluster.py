"""`--cluster`: the API's application runs in this process, and speaks to the Controller of the Ray cluster here.

The answers are the server's own, because the application is the same; what listens is a socket in a private directory.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import ray
import uvicorn
from ray._private import services  # no public call tells the address that `auto` means
from ray.exceptions import RayError

from iocmng.api import create_app
from iocmng.api.audit import Caller
from iocmng.client import Client
from iocmng.cluster.client import RayControllerClient
from iocmng.cluster.ray_job import job_name
from iocmng.core.audit import Door
from iocmng.errors import ServerUnreachable
from iocmng.settings import Settings

CONNECT_TIMEOUT = 5.0
"""Seconds until the cluster's head must take a connection."""

START_TIMEOUT = 30.0
"""Seconds until the application must answer."""

END_TIMEOUT = 5.0


@contextmanager
def cluster_client() -> Iterator[Client]:
    """Return a client of the Controller in the cluster that RAY_ADDRESS names, or that this machine belongs to.

    Raises:
        ServerUnreachable: If there is no cluster, or no Controller in it. None is ever started.
    """
    _join(os.environ.get("RAY_ADDRESS") or "auto")
    try:
        controller = RayControllerClient.find(records=False)  # the API does
        if controller is None:
            raise ServerUnreachable(
                f"no iocmng runs in the Ray cluster at {ray.get_runtime_context().gcs_address}; start one there with "
                "`iocmng server` or `serve run`, or name another cluster with RAY_ADDRESS"
            )
        with _served(controller) as path:
            transport = httpx.HTTPTransport(uds=str(path))
            with Client("http://localhost", transport=transport) as client:
                yield client
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    if "://" in address:
        raise ServerUnreachable(f"RAY_ADDRESS must be HOST:PORT of the cluster's head, not an address like {address}")
    try:
        head = services.canonicalize_bootstrap_address(address) or address
        # Ray itself tries for minutes, also where `auto` finds nothing but the address of a cluster that has ended.
        host, _, port = head.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT).close()
        ray.init(address=head, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        place = "here" if address == "auto" else f"at {address}"
        reason = str(error).strip().partition("\n")[0]
        raise ServerUnreachable(f"there is no Ray cluster {place}: {reason}") from error


@contextmanager
def _served(controller: RayControllerClient) -> Iterator[Path]:
    """Serve the API on a socket that nobody else can open; return its path."""

    async def connect() -> RayControllerClient:
        return controller

    # Whoever may open the socket may run code on the cluster anyway: no token is asked for.
    # Made of the defaults, because the environment holds the settings of others.
    app = create_app(Settings.model_construct(host="127.0.0.1"), connect, caller=Caller(Door.CLUSTER, job_name()))
    with tempfile.TemporaryDirectory(prefix="iocmng-") as directory, socket.socket(socket.AF_UNIX) as listener:
        path = Path(directory) / "api"
        listener.bind(str(path))
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield path
        finally:
            server.should_exit = True
            thread.join(END_TIMEOUT)


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    end = time.monotonic() + START_TIMEOUT
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise ServerUnreachable("the way to the Controller could not be opened")
        time.sleep(0.02)
