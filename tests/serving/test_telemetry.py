"""Spans, exported to a collector."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mlwright.kernel.errors import Unavailable
from mlwright.serving import ReplicaSpec, start
from mlwright.serving.plan import serve_requirements
from mlwright.serving.telemetry import Telemetry, configured
from tests.serving.conftest import PYTHON, ask, post, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.spans: list[Any] = []
        self.services: set[str] = set()


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        assert self.headers["content-type"] == "application/x-protobuf"
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.server.services.add(told["service.name"])
            self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_requests_are_told_to_a_collector(
    spec: ReplicaSpec, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a span of the trace it came with, and has its status; what is left goes out at the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    row = spec.models[0].signature.example.input
    with start(spec, PYTHON, folder=tmp_path) as server:
        sampled = post(server.url, {"rows": [row]}, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="a=1")
        post(server.url, {"rows": [row]}, traceparent=f"00-{TRACE}-{SPAN}-00")
        post(server.url, {"rows": [row]})
        ask(server.url, "GET", "/health/live")
        until(lambda: len(collector.spans) == 1)
        post(server.url, {"rows": 1}, traceparent=f"00-{TRACE}-{SPAN}-01")
    until(lambda: len(collector.spans) == 2)

    answered, refused = collector.spans
    assert answered.trace_id.hex() == TRACE
    assert answered.parent_span_id.hex() == SPAN
    assert sampled.headers["traceparent"] == f"00-{TRACE}-{answered.span_id.hex()}-01"
    assert sampled.headers["tracestate"] == "a=1"
    told = {each.key: each.value for each in answered.attributes}
    assert told["http.response.status_code"].int_value == 200
    assert told["mlwright.model"].string_value == "diagnosis@1"
    assert {each.key: each.value.int_value for each in refused.attributes}["http.response.status_code"] == 422
    assert collector.services == {"mlwright"}


@pytest.mark.parametrize(
    ("variables", "is_configured"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_say_whether(variables: dict[str, str], is_configured: bool) -> None:
    """Without an endpoint, or where it is turned off, nothing is exported."""
    assert configured(variables) is is_configured


def test_a_replica_that_exports_needs_the_packages_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra `otel` is among what its environment must hold, and only then."""
    without = serve_requirements()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")

    more = set(serve_requirements()) - set(without)

    assert {each.partition(">")[0].partition("<")[0] for each in more} == {
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
    }


def test_a_missing_package_is_named(hide: Callable[[str], None]) -> None:
    """Who configures an exporter and has none installed is told what to type."""
    hide("opentelemetry")

    with pytest.raises(Unavailable, match="opentelemetry is not installed") as missing:
        Telemetry()

    assert missing.value.hint is not None
    assert "mlwright[otel]" in missing.value.hint


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has a package not be there."""
    import sys

    def hidden(package: str) -> None:
        for name in [each for each in sys.modules if each.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return hidden
