"""What all requests to a model have in common, whatever their protocol: a deadline, a trace, and a count."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from mlwright.serving.asking import TIMEOUT, Asking, asking
from mlwright.serving.problems import Fault, Problem
from mlwright.serving.request import Endpoint, Reply, Request
from mlwright.serving.tracing import Trace, begun, parse

if TYPE_CHECKING:
    from mlwright.serving.served import Served
    from mlwright.serving.telemetry import Telemetry

_TIMEOUT, _PARENT, _STATE = TIMEOUT.encode(), b"traceparent", b"tracestate"
_DIGITS = 9


class Predicting:
    """An endpoint of a protocol that asks a model.

    Args:
        endpoint: what it does itself.
        served: the model that it asks.
        protocol: its name.
        telemetry: to which requests are told; None for none.
    """

    def __init__(
        self, endpoint: Endpoint, served: Served, protocol: str, telemetry: Telemetry | None
    ) -> None:
        self._endpoint = endpoint
        self._served = served
        self._protocol = protocol
        self._telemetry = telemetry
        self._model = served.figures
        self._counted = served.figures.of(protocol)
        self._timeout_s = served.limits.timeout_ms / 1000

    async def __call__(self, request: Request) -> Reply:
        """Answer, in time."""
        began, status = monotonic(), 500
        timeout, trace = _told(request)
        if self._telemetry is None:
            span, trace = None, begun(trace)
        else:
            span = self._telemetry.begin(trace, request.method, request.path, self._served, self._protocol)
            trace = span.trace
        who = Asking(began + min(self._timeout_s, _seconds(timeout)), trace, request.gone)
        asking.set(who)
        request.admit = lambda: self._admit(who, timeout)
        self._model.in_flight += 1
        try:
            reply = await self._endpoint(request)
            status = reply.status
            return reply
        except Problem as problem:
            status = problem.http_status
            raise
        finally:
            self._model.in_flight -= 1
            self._counted.count(status, monotonic() - began)
            if span is not None:
                span.end(status)

    def _admit(self, who: Asking, timeout: bytes) -> None:
        """Refuse what cannot be answered, before the body is read."""
        if timeout and not _valid(timeout):
            fault = Fault("must be a number of milliseconds, as 250", field=TIMEOUT)
            raise Problem(400, faults=[fault])
        self._served.check(who.deadline)


def _told(request: Request) -> tuple[bytes, Trace | None]:
    """How long the client waits, and of which trace that is a part."""
    timeout, parents, states = b"", [], []
    for name, value in request.scope["headers"]:
        if name == _TIMEOUT:
            timeout = value
        elif name == _PARENT:
            parents.append(value)
        elif name == _STATE:
            states.append(value)
    return timeout, parse(parents, states) if parents else None


def _valid(timeout: bytes) -> bool:
    return timeout.isdigit() and len(timeout) <= _DIGITS and int(timeout) > 0


def _seconds(timeout: bytes) -> float:
    return int(timeout) / 1000 if timeout and _valid(timeout) else float("inf")
