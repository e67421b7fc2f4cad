"""Predictions without a task: for requests that are whole when they come.

Who asks again and again sends the same head each time. So what follows from a head alone (which model, how
its body is read, who may ask) is worked out once, and remembered with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from mlwright.serving.asking import Asking
from mlwright.serving.batch import Asked
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

AtOnce = Callable[[Exchange], None]
"""Answers a request, now or later."""


class Quick:
    """Answers requests with one head.

    Args:
        predicting: whose requests these are.
        request: one of them, without its body.
        read: reads their bodies.
        timeout_s: how long they may take.
        parent: the trace that they are a part of.
    """

    __slots__ = ("_parent", "_predicting", "_read", "_request", "_served", "_timeout_s")

    def __init__(
        self, predicting: Predicting, request: Request, read: Read, timeout_s: float, parent: Trace | None
    ) -> None:
        self._predicting = predicting
        self._served = predicting.served
        self._request = request
        self._read = read
        self._timeout_s = timeout_s
        self._parent = parent

    def __call__(self, exchange: Exchange) -> None:
        """Answer, now or later."""
        began = monotonic()
        span, trace = self._predicting.begin(self._request, self._parent)
        who = Asking(began + self._timeout_s, trace)
        try:
            self._served.check(who.deadline)
            pending = _Pending(self, exchange, self._read(exchange.body), who, began, span)
            self._served.begin(pending)
            exchange.forsaken = pending.forsake
        except Exception as error:
            self.end(exchange, self.refused(error), who, began, span)

    def refused(self, error: Exception) -> Reply:
        """What is told where there is no answer."""
        if not isinstance(error, Problem):
            _LOG.error("a request was not answered", exc_info=error)
            error = failed()
        return told_to(self._request.path, error)

    def end(self, exchange: Exchange, reply: Reply, who: Asking, began: float, span: Span | None) -> None:
        """Answer, and count it."""
        assert isinstance(reply.body, bytes)
        self._predicting.end(reply.status, began, span)
        exchange.answer(reply.status, reply.head(who.trace), reply.body)

    def drop(self, asked: Asked) -> None:
        """Who waits for it is gone."""
        self._served.drop(asked)


class _Pending(Asked):
    """A request that the model is asked about."""

    __slots__ = ("_began", "_exchange", "_quick", "_span", "_wanted")

    def __init__(
        self, quick: Quick, exchange: Exchange, wanted: Wanted, who: Asking, began: float, span: Span | None
    ) -> None:
        super().__init__(wanted.columns, wanted.proba, who)
        self._quick = quick
        self._exchange = exchange
        self._wanted = wanted
        self._began = began
        self._span = span

    def tell(self, given: Outputs | Problem) -> None:
        """Answer."""
        quick = self._quick
        try:
            if isinstance(given, Problem):
                raise given
            reply = self._wanted.tell(given)
        except Exception as error:
            reply = quick.refused(error)
        quick.end(self._exchange, reply, self.who, self._began, self._span)

    def forsake(self) -> None:
        """The client is gone."""
        self._quick.drop(self)
