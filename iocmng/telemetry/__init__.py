"""Traces, sent by OpenTelemetry where the site asks for them: the only room that imports it."""

from __future__ import annotations

import logging

from iocmng.base.no_tracing import NoTracing
from iocmng.core.ports.tracing import Tracing
from iocmng.settings.traces import traces_endpoint

_log = logging.getLogger(__name__)


def open_tracing(process: str) -> Tracing:
    """Return what keeps the traces of this process; where that is not possible the log says why, and none are kept.

    Args:
        process: What this process is, such as `api`.
    """
    endpoint = traces_endpoint()
    if endpoint is None:
        return NoTracing()
    try:
        from iocmng.telemetry.otel import OtelTracing

        return OtelTracing(process)
    except ImportError as error:
        reason = f"`iocmng[otel]` is not installed ({error.name} is missing)"
    except Exception as error:  # noqa: BLE001 - boundary: a wrong OTEL_ variable must not keep a server from starting
        reason = f"{type(error).__name__}: {error}"
    _log.warning("no traces are sent to %s: %s", endpoint, reason)
    return NoTracing()
