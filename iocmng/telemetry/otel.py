"""Tracing by OpenTelemetry's own SDK, which reads its OTEL_ variables itself."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from iocmng._version import __version__
from iocmng.core.ports.tracing import Attribute
from iocmng.core.trace_context import carried, current

_FLUSH_MILLISECONDS = 2000


class OtelSpan:
    """Implements core.ports.tracing.Span."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        """Give it another name."""
        self._span.update_name(name)

    def note(self, name: str, value: Attribute | None) -> None:
        """Note an attribute."""
        if value is not None:
            self._span.set_attribute(name, value)


class OtelTracing:
    """Implements core.ports.tracing.Tracing."""

    def __init__(self, process: str) -> None:
        about = {"service.version": __version__, "service.instance.id": f"{process}-{os.getpid()}"}
        if not os.environ.get("OTEL_SERVICE_NAME"):
            about["service.name"] = "iocmng"
        self._provider = TracerProvider(resource=Resource.create(about))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("iocmng", __version__)

    @contextmanager
    def span(self, name: str, **attributes: Attribute | None) -> Generator[OtelSpan]:
        """Return a span below the current one."""
        kind = SpanKind.SERVER if name == "request" else SpanKind.INTERNAL
        given = {f"iocmng.{key}": value for key, value in attributes.items() if value is not None}
        span = self._tracer.start_span(
            name, context=_parent(), kind=kind, attributes=given, record_exception=False, set_status_on_exception=False
        )
        try:
            with carried(_traceparent(span.get_span_context())):
                yield OtelSpan(span)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Send what has not been sent yet."""
        self._provider.force_flush(_FLUSH_MILLISECONDS)


def _parent() -> Context:
    traceparent = current()
    if traceparent is None:
        return Context()
    _, trace, span, flags = traceparent.split("-")
    parent = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
