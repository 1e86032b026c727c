"""Composition root for Ray Serve: `iocmng.serve_app:build` is the import_path of serve_config/*.yaml.

Arguments of the application are settings by name, as in `serve run iocmng.serve_app:build port=8080`; the environment
(IOCMNG_…) of the process that builds it fills in what is not given.
"""

from __future__ import annotations

from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray._common.tls_utils import add_port_to_grpc_server
from ray.serve._private import replica
from ray.serve.context import _get_global_client  # pyright: ignore[reportPrivateUsage]  no public call tells it

from iocmng.api.app import create_app
from iocmng.api.guard import check_access
from iocmng.base.audit_log import show_audit_log
from iocmng.base.log_output import LogContext, show_log
from iocmng.cluster.client import RayControllerClient
from iocmng.cluster.lent_secrets import left_secrets
from iocmng.cluster.nodes import own_node
from iocmng.core.ports.controller import ControllerClient
from iocmng.core.trace_context import request_shown
from iocmng.errors import InvalidRequest
from iocmng.settings import Settings, is_loopback, load_settings
from iocmng.telemetry import open_tracing

APPLICATION_NAME = "iocmng"

MAX_ONGOING_REQUESTS = 1000
"""Requests that one replica serves at once; an add waits for its plugin and must not use up the places."""


# An open event stream is a request that never ends by itself: a replica that is to end must not wait for it for long.
@serve.deployment(
    max_ongoing_requests=MAX_ONGOING_REQUESTS, ray_actor_options={"num_cpus": 0}, graceful_shutdown_timeout_s=5
)
@serve.ingress()
class Api:
    """One replica of the REST API. It holds no state of its own but a copy of the Controller's snapshot."""

    def __init__(self, settings: Settings) -> None:
        # To stderr of this process, which Ray keeps beside the Controller's.
        show_log(settings.log_level, settings.log_format, LogContext({"node": own_node()}, request_shown))
        self._tracing = open_tracing("api")
        _stay_on_loopback()
        # Where the proxies listen is Serve's to know: http_options of a config file win over our own setting, and
        # whether a call without a token may change something depends on it.
        self._settings = settings.model_copy(update={"host": listening_address()[0]})
        show_audit_log()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._settings, self._connect, tracing=self._tracing)

    def reconfigure(self, user_config: Any) -> None:
        """Refuse a `user_config`; Ray Serve calls it only where a config file has one.

        Raises:
            InvalidRequest: Always.
        """
        raise InvalidRequest(
            f"iocmng takes no user_config (here {user_config!r}): settings stand under args of the application, and "
            "what is logged of each call under logging_config"
        )

    async def _connect(self) -> ControllerClient:
        return await RayControllerClient.connect(self._settings, records=False)  # the API does


def _stay_on_loopback() -> None:
    """Let this replica's gRPC server, by which deployments call each other, listen where the whole of Ray does.

    Serve binds it to all interfaces, without a way to say otherwise. Where Ray takes further nodes it has to be so.
    """
    address = ray.util.get_node_ip_address()
    if is_loopback(address):
        binds: Any = replica
        binds.add_port_to_grpc_server = lambda server, _: add_port_to_grpc_server(server, f"{address}:0")


def listening_address() -> tuple[str, int]:
    """Return the address and the port on which Serve's proxies listen."""
    client: Any = _get_global_client()
    return str(client.http_config.host), int(client.http_config.port)


def application(settings: Settings) -> serve.Application:
    """Return the Serve application for these settings; Serve keeps them in Ray's control store."""
    hashed = settings.with_token(settings.hashed_token)
    return Api.options(num_replicas=settings.api_replicas).bind(hashed)


def build(args: dict[str, Any]) -> serve.Application:
    """Return the Serve application for these arguments; Ray Serve calls it.

    Raises:
        InvalidRequest: If an argument is no setting or does not fit, or the file of tokens does not.
        ServerUnavailable: If the head node cannot keep the secrets of the state.
    """
    settings = load_settings(**args)
    check_access(settings)
    # `serve run` with this import path builds before it joins Ray; then the secrets of the state go as they are.
    return application(left_secrets(settings) if ray.is_initialized() else settings)
