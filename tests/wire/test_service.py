"""A service that is asked on real sockets: they come and go, and it ends without losing a request."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection

from starlette.types import Receive, Scope, Send

from mlwright.kernel.sockets import listen
from mlwright.wire.bounds import Bounds
from tests.processes import until
from tests.wire.answering import DEADLINE_S, answering, constant, live

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CLOSES = b"connection: close\r\n"
PATIENT = Bounds(drain_s=20.0, linger_s=10.0)


def rest(stream: socket.socket) -> bytes:
    """All that comes until the other side closes; then this side closes, too."""
    got = b""
    with stream:
        while piece := stream.recv(1 << 16):
            got += piece
    return got


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False


class Load:
    """Clients that ask on and on, each on the connection that it keeps while it may."""

    def __init__(self, port: int, clients: int) -> None:
        self.answered, self.failed = 0, list[str]()
        self._port, self._ended = port, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join(DEADLINE_S)

    def more(self, number: int) -> None:
        """Wait until so many more are answered."""
        wanted = self.answered + number
        until(lambda: self.answered >= wanted or bool(self.failed), DEADLINE_S)

    def _ask(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        while not self._ended.is_set():
            try:
                connection.request("POST", "/", b"{}")
                assert connection.getresponse().read() == b"OK"
                self.answered += 1
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))
        connection.close()


def test_rolling_loses_no_request() -> None:
    """Six services after each other, each on a copy of the listener: every request is answered."""
    with listen("127.0.0.1", 0) as kept, ExitStack() as stack:
        old = stack.enter_context(answering(constant, PATIENT, kept.dup()))
        with Load(old.port, clients=4) as load:
            for _ in range(5):
                load.more(50)
                new = stack.enter_context(answering(constant, PATIENT, kept.dup()))
                old.do(old.service.drain())
                old = new
            load.more(50)

    assert load.failed == []
    assert load.answered >= 300


def test_who_is_about_to_ask_gets_an_answer_that_closes() -> None:
    """While it drains, a client that was idle may ask once more; nobody new is let in."""
    with answering(constant, PATIENT) as there, there.connect() as idle, there.connect() as fresh:
        idle.sendall(GET)
        until(lambda: idle.recv(1 << 16).startswith(OK))

        drained = there.begin(there.service.drain())
        until(lambda: refused(there.port))
        idle.sendall(GET)
        fresh.sendall(GET)
        last = [rest(idle), rest(fresh)]
        drained.result(DEADLINE_S)

    assert all(each.startswith(OK) and CLOSES in each and each.endswith(b"OK") for each in last)


def test_who_does_not_ask_is_not_waited_for_without_end() -> None:
    """A connection that stays idle is closed when it has lingered, well before the grace is over."""
    with answering(constant) as there, there.connect() as idle:
        idle.sendall(GET)
        until(lambda: idle.recv(1 << 16).startswith(OK))

        there.do(there.service.drain(grace_s=DEADLINE_S * 2, linger_s=0.2))

        assert rest(idle) == b""


async def halves(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers half, and the other half when told to drain; or never."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    await scope["state"]["draining"].wait()
    await send({"type": "http.response.body", "body": b"cd"})


def test_a_promise_to_keep_the_connection_is_kept() -> None:
    """Who was told before the drain that the connection stays may ask once more on it."""
    with answering(halves, PATIENT) as there, there.connect() as stream:
        stream.sendall(GET)
        until(lambda: stream.recv(1 << 16, socket.MSG_PEEK).endswith(b"ab"))

        drained = there.begin(there.service.drain())
        until(lambda: stream.recv(1 << 16, socket.MSG_PEEK).endswith(b"abcd"))
        stream.sendall(GET)
        both = rest(stream)
        drained.result(DEADLINE_S)

    first, _, second = both.partition(b"abcd")
    assert CLOSES not in first
    assert CLOSES in second
    assert second.endswith(b"abcd")


def test_an_answer_without_end_is_cut_off_when_the_grace_is_over() -> None:
    """A drain ends, whatever an application does."""
    with answering(halves) as there, there.connect() as stream:
        stream.sendall(GET.replace(b"/ ", b"/never "))
        until(lambda: stream.recv(1 << 16, socket.MSG_PEEK).endswith(b"ab"))

        there.do(there.service.drain(grace_s=0.3))

        assert rest(stream).partition(b"\r\n\r\n")[2] == b"ab"
        assert len(there.service) == 0


def test_sockets_come_and_go_while_it_runs() -> None:
    """A second listener is answered on like the first, and left without the first."""
    with answering(constant) as there, listen("127.0.0.1", 0) as slot:
        port, copy = slot.getsockname()[1], slot.dup()
        there.do(there.service.listen(copy))
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as stream:
            stream.sendall(GET)
            first = stream.recv(1 << 16)
            there.do(there.service.unlisten(copy))
            stream.sendall(GET)
            still = stream.recv(1 << 16)
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as waiting:
                waiting.sendall(GET)  # let in by the socket, which is kept open here: nobody takes it
                there.do(there.service.listen(slot.dup()))
                late = waiting.recv(1 << 16)
        with there.connect() as stream:
            stream.sendall(GET)
            other = stream.recv(1 << 16)

    assert all(each.startswith(OK) and CLOSES not in each for each in (first, still, late, other))


def test_two_who_drain_wait_for_the_same_end() -> None:
    """Whoever tells it to drain again returns with the first."""
    with answering(constant, PATIENT) as there, there.connect() as idle:
        idle.sendall(GET)
        until(lambda: idle.recv(1 << 16).startswith(OK))
        both = [there.begin(there.service.drain()) for _ in range(2)]
        until(lambda: refused(there.port))
        assert not any(each.done() for each in both)

        idle.sendall(GET)
        rest(idle)

        assert [each.result(DEADLINE_S) for each in both] == [None, None]


def test_time_in_which_nobody_was_read_is_not_the_clients() -> None:
    """Who takes its answer slowly is not cut off because the loop was held up, or has just begun to look."""
    size = 16 << 20

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    async def hold() -> None:
        time.sleep(1.5)

    with answering(large, Bounds(behind_s=1.0)) as there, there.connect() as client:
        client.sendall(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        begun = client.recv(1)
        there.do(hold())
        answer = begun + rest(client)

    assert len(answer) > size
