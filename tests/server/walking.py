"""A server in this process whose handlers only tell that they were reached, and a client of bare bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from msgspec.structs import replace
from starlette.responses import Response

from mlwright.app import Project
from mlwright.server.app import ROUTES, App
from mlwright.server.call import Call
from mlwright.server.identity import Admission
from mlwright.server.routes import Route
from tests.wire.answering import answering

_AT_ONCE = 50


class Asked(NamedTuple):
    """A request, as its bytes go over the wire."""

    method: str
    path: str
    headers: tuple[str, ...] = ()


class Reached:
    """Which route each request has reached, by its number."""

    def __init__(self) -> None:
        self.by: dict[int, Route] = {}
        self.port = 0

    def routes(self) -> list[Route]:
        """Every route of the server, with a handler that tells."""
        return [replace(each, handler=self._handler(each)) for each in ROUTES]

    def ask(self, asked: Sequence[Asked], *headers: str) -> list[tuple[int, Route | None]]:
        """Send requests; the status of each answer, and what it has reached."""
        self.by.clear()
        statuses: list[int] = []
        while len(statuses) < len(asked):  # a head that is refused ends its connection
            before = len(statuses)
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as stream:
                self._ask(stream, asked, headers, statuses)
            assert len(statuses) > before, "the server hung up"
        return [(status, self.by.get(number)) for number, status in enumerate(statuses)]

    def _ask(
        self, stream: socket.socket, asked: Sequence[Asked], headers: Sequence[str], statuses: list[int]
    ) -> None:
        reader = stream.makefile("rb")
        while len(statuses) < len(asked):
            begin = len(statuses)
            part = asked[begin : begin + _AT_ONCE]
            try:
                stream.sendall(
                    b"".join(_written(each, number, headers) for number, each in enumerate(part, begin))
                )
                for each in part:
                    if (status := _status(reader, each.method)) is None:
                        return
                    statuses.append(status)
            except ConnectionError:
                return

    def _handler(self, route: Route):  # type: ignore[no-untyped-def]
        async def handler(call: Call) -> Response:
            self.by[int(call.headers[b"x-number"])] = route
            return Response("done")

        return handler


@contextmanager
def reached(project: Project, admission: Admission) -> Iterator[Reached]:
    """Such a server on a port of its own, while the block runs."""
    found = Reached()
    app = App(project, admission, found.routes())
    with answering(app) as there:
        found.port = there.port
        yield found


def _written(asked: Asked, number: int, headers: Sequence[str]) -> bytes:
    lines = [
        f"{asked.method} {asked.path} HTTP/1.1",
        *("host: localhost", f"x-number: {number}", "content-length: 0"),
        *headers,
        *asked.headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _status(reader, method: str) -> int | None:  # type: ignore[no-untyped-def]
    """The status of the next answer; None when there is none any more."""
    line = reader.readline()
    if not line:
        return None
    size = 0
    for each in iter(reader.readline, b"\r\n"):
        name, _, value = each.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    if method != "HEAD":
        reader.read(size)
    return int(line.split()[1])
