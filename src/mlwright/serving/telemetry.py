"""OpenTelemetry, where it is configured: each request to a model is a span, exported beside the requests.

The standard variables say where to, how many and how (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`,
`OTEL_BSP_MAX_QUEUE_SIZE`, ...). Without an endpoint nothing of it is imported. Where the collector does not
follow, spans are lost, and no request is kept waiting.

Source: OpenTelemetry Specification, Environment Variables; Semantic Conventions for HTTP spans.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlwright.kernel.errors import Unavailable
from mlwright.kernel.version import VERSION
from mlwright.serving.tracing import SAMPLED, Trace

if TYPE_CHECKING:
    from mlwright.serving.served import Served

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_GOODBYE_S = 2.0
"""How long the end waits until what is left has been exported."""


def configured(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether spans are exported."""
    return (
        any(variables.get(name) for name in _ENDPOINTS)
        and variables.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and variables.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "otlp"
    )


class Span:
    """A request that is being answered.

    Args:
        span: as OpenTelemetry has it.
        state: `tracestate` as it came, or as a sampler wants it.
    """

    __slots__ = ("_span", "trace")

    def __init__(self, span: Any, state: str) -> None:
        context = span.get_span_context()
        self._span = span
        self.trace = Trace(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags & SAMPLED, state
        )

    def end(self, status: int) -> None:
        """It was answered with this status."""
        if self._span.is_recording():
            self._span.set_attribute("http.response.status_code", status)
            if status >= 500:
                from opentelemetry.trace import StatusCode

                self._span.set_attribute("error.type", str(status))
                self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Telemetry:
    """Exports spans, from a thread of its own.

    Raises:
        Unavailable: the packages of the extra `otel` are not installed.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise Unavailable(
                f"traces are to be exported, and {error.name} is not installed",
                hint="uv pip install 'mlwright[otel]', or unset OTEL_EXPORTER_OTLP_ENDPOINT",
            ) from error
        # Each span that finds the queue full would be a line of the log.
        logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "mlwright"}
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("mlwright.serving", VERSION)
        self._otel = trace

    def begin(self, parent: Trace | None, method: str, path: str, served: Served, protocol: str) -> Span:
        """A request has come.

        Args:
            parent: what it is a part of.
        """
        otel = self._otel
        context = None
        if parent is not None:
            came = otel.SpanContext(
                int(parent.trace_id, 16),
                int(parent.span_id, 16),
                is_remote=True,
                trace_flags=otel.TraceFlags(parent.flags),
                trace_state=otel.TraceState.from_header([parent.state]),
            )
            context = otel.set_span_in_context(otel.NonRecordingSpan(came))
        span = self._tracer.start_span(
            f"{method} {path}",
            context,
            otel.SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": path,
                "url.path": path,
                "mlwright.model": served.spec.model,
                "mlwright.protocol": protocol,
            },
        )
        return Span(span, parent.state if parent is not None else "")

    def close(self) -> None:
        """Export what is left; blocks for 2 s at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_GOODBYE_S)
