"""What a request wants of a model of a table, read from its head and its body, whatever the protocol."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from mlwright.serving.request import Reply, Request
from mlwright.serving.runtime import Outputs
from mlwright.serving.served import Served
from mlwright.serving.walk import Columns


class Wanted(Struct, frozen=True):
    """What the model is to be asked, and what becomes of its answer.

    Args:
        columns: values that the model takes.
        tell: makes the reply.
        proba: whether probabilities are wanted.
    """

    columns: Columns
    tell: Callable[[Outputs], Reply]
    proba: bool = False


Read = Callable[[bytes], Wanted]
"""Reads a body; raises a `Problem` if it cannot be one."""

Reads = Callable[[Request], Read]
"""How bodies are read that come with such a head, of which nothing else is looked at; raises a `Problem`."""


class AboutTables:
    """An endpoint that asks a model about the table in a body.

    Args:
        served: the model.
        reads: what its protocol does.
    """

    def __init__(self, served: Served, reads: Reads) -> None:
        self.reads = reads
        self._served = served

    async def __call__(self, request: Request) -> Reply:
        """Answer."""
        read = self.reads(request)
        wanted = read(await request.body(self._served.limits.body_bytes))
        return wanted.tell(await self._served.ask(wanted.columns, proba=wanted.proba))
