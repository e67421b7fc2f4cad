"""Predictions without a task: for requests that are whole when they come.

Who asks again and again sends the same head each time. So what follows from a head alone (which model, how
its body is read, who may ask) is worked out once, and remembered with it.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from mlwright.serving.asking import Asking
from mlwright.serving.problems import Problem
from mlwright.serving.refusals import failed, told_to
from mlwright.serving.request import Reply, Request
from mlwright.serving.runtime import Outputs
from mlwright.serving.tracing import Trace
from mlwright.serving.wanted import Read, Wanted
from mlwright.wire.exchange import Exchange

if TYPE_CHECKING:
    from mlwright.serving.prediction import Predicting
    from mlwright.serving.telemetry import Span

_LOG = logging.getLogger(__name__)


class Quick:
    """Answers requests with one head.

    Args:
        predicting: whose requests these are.
        request: one of them, without its body.
        read: reads their bodies.
        timeout_s: how long they may take.
        parent: the trace that they are a part of.
    """

    __slots__ = ("_parent", "_predicting", "_read", "_request", "_timeout_s")

    def __init__(
        self, predicting: Predicting, request: Request, read: Read, timeout_s: float, parent: Trace | None
    ) -> None:
        self._predicting = predicting
        self._request = request
        self._read = read
        self._timeout_s = timeout_s
        self._parent = parent

    def __call__(self, exchange: Exchange) -> None:
        """Answer, now or later."""
        began = monotonic()
        span, trace = self._predicting.begin(self._request, self._parent)
        _Pending(self._predicting, self._request, exchange, began, trace, span).ask(
            self._read, began + self._timeout_s
        )


class _Pending:
    """A request that waits for its answer."""

    __slots__ = ("_began", "_exchange", "_predicting", "_request", "_span", "_trace", "_wanted")

    def __init__(
        self,
        predicting: Predicting,
        request: Request,
        exchange: Exchange,
        began: float,
        trace: Trace,
        span: Span | None,
    ) -> None:
        self._predicting = predicting
        self._request = request
        self._exchange = exchange
        self._began = began
        self._trace = trace
        self._span = span
        self._wanted: Wanted | None = None

    def ask(self, read: Read, deadline: float) -> None:
        """Read the body, and have the model asked."""
        served, exchange = self._predicting.served, self._exchange
        try:
            served.check(deadline)
            wanted = self._wanted = read(exchange.body)
            who = Asking(deadline, self._trace)
            exchange.forsaken = served.begin(wanted.columns, self._answered, proba=wanted.proba, who=who)
        except Exception as error:
            self._end(self._refused(error))

    def _answered(self, given: Outputs | Problem) -> None:
        assert self._wanted is not None
        try:
            if isinstance(given, Problem):
                raise given
            reply = self._wanted.tell(given)
        except Exception as error:
            reply = self._refused(error)
        self._end(reply)

    def _refused(self, error: Exception) -> Reply:
        if not isinstance(error, Problem):
            _LOG.error("a request was not answered", exc_info=error)
            error = failed()
        return told_to(self._request.path, error)

    def _end(self, reply: Reply) -> None:
        assert isinstance(reply.body, bytes)
        self._predicting.end(reply.status, self._began, self._span)
        self._exchange.answer(reply.status, reply.head(self._trace), reply.body)
