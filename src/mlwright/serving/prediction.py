"""What all requests to a model have in common, whatever their protocol: a deadline, a trace, and a count."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from mlwright.serving.asking import TIMEOUT, Asking, asking
from mlwright.serving.problems import Fault, Problem
from mlwright.serving.quick import Quick
from mlwright.serving.request import Endpoint, Reply, Request
from mlwright.serving.tracing import Trace, begun, parse
from mlwright.serving.wanted import AboutTables

if TYPE_CHECKING:
    from mlwright.serving.served import Served
    from mlwright.serving.telemetry import Span, Telemetry

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
        self.served = served
        self._endpoint = endpoint
        self._protocol = protocol
        self._telemetry = telemetry
        self._model = served.figures
        self._counted = served.figures.of(protocol)
        self._timeout_s = served.limits.timeout_ms / 1000

    async def __call__(self, request: Request) -> Reply:
        """Answer, in time."""
        began, status = monotonic(), 500
        timeout, parent = _told(request)
        span, trace = self.begin(request, parent)
        who = Asking(began + min(self._timeout_s, _seconds(timeout)), trace, request.gone)
        asking.set(who)
        request.admit = lambda: self._admit(who, timeout)
        try:
            reply = await self._endpoint(request)
            status = reply.status
            return reply
        except Problem as problem:
            status = problem.http_status
            raise
        finally:
            self.end(status, began, span)

    def quick(self, request: Request) -> Quick | None:
        """What answers requests with such a head; None where that takes a task, as for bodies that are large.

        Raises:
            Problem: the head is wrong.
        """
        if not isinstance(self._endpoint, AboutTables):
            return None
        request.check_coding()
        timeout, parent = _told(request)
        _check_timeout(timeout)
        length = request.header(b"content-length")
        if not length or int(length) > self.served.limits.body_bytes:
            return None
        timeout_s = min(self._timeout_s, _seconds(timeout))
        return Quick(self, request, self._endpoint.reads(request), timeout_s, parent)

    def begin(self, request: Request, parent: Trace | None) -> tuple[Span | None, Trace]:
        """A request has come.

        Args:
            parent: what it is a part of.

        Returns:
            What is told of it, and what happens here as a part of its trace.
        """
        self._model.in_flight += 1
        if self._telemetry is None:
            return None, begun(parent)
        span = self._telemetry.begin(parent, request.method, request.path, self.served, self._protocol)
        return span, span.trace

    def end(self, status: int, began: float, span: Span | None) -> None:
        """It was answered.

        Args:
            began: when it came, by `time.monotonic()`.
            span: what `begin` gave.
        """
        self._model.in_flight -= 1
        self._counted.count(status, monotonic() - began)
        if span is not None:
            span.end(status)

    def _admit(self, who: Asking, timeout: bytes) -> None:
        """Refuse what cannot be answered, before the body is read."""
        _check_timeout(timeout)
        self.served.check(who.deadline)


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


def _check_timeout(timeout: bytes) -> None:
    if timeout and not _valid(timeout):
        fault = Fault("must be a number of milliseconds, as 250", field=TIMEOUT)
        raise Problem(400, faults=[fault])


def _valid(timeout: bytes) -> bool:
    return timeout.isdigit() and len(timeout) <= _DIGITS and int(timeout) > 0


def _seconds(timeout: bytes) -> float:
    return int(timeout) / 1000 if timeout and _valid(timeout) else float("inf")
