"""Whether traces are asked for, by the variables that OpenTelemetry defines for all programs."""

from __future__ import annotations

import os

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def traces_endpoint() -> str | None:
    """Return where traces are to be sent; None: nowhere."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("otlp", ""):
        return None
    return next((value for name in _ENDPOINTS if (value := os.environ.get(name))), None)
