"""Clients that speak HTTP/2 on real sockets: many requests at once, and none is waited for without end."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from starlette.types import Message, Receive, Scope, Send

from mlwright.wire.bounds import Bounds
from mlwright.wire.http2 import HELD_BYTES, STREAMS
from tests.processes import until
from tests.wire.answering import DEADLINE_S, Answering, answering, body_of, constant, told
from tests.wire.speaking import Speaker

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
QUICK = Bounds(fresh_s=0.5, idle_s=0.5, behind_s=1.5, least_bytes_per_s=1 << 10)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what was sent, and its size behind it; `/wait` when it ends; `/fail` never."""
    body = await body_of(receive)
    if scope["path"] == "/fail":
        raise RuntimeError("this is a test")
    if scope["path"] == "/wait":
        ends = asyncio.ensure_future(scope["state"]["draining"].wait()), asyncio.ensure_future(receive())
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if scope["path"] == "/long":
        body = bytes(1 << 20)
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": body})
    size = b"%d" % len(body)
    await send({"type": "http.response.trailers", "headers": [(b"size", size)]})


@pytest.fixture(scope="module")
def there() -> Iterator[Answering]:
    with answering(constant, over_http2=echo) as made:
        yield made


@pytest.fixture(scope="module")
def quick() -> Iterator[Answering]:
    """Has little patience."""
    with answering(constant, QUICK, over_http2=echo) as made:
        yield made


def answers(there: Answering) -> bool:
    """Whether a new client is answered."""
    with Speaker(there.port) as other:
        return other.answer(other.ask("/", b"here")).body == b"here"


def test_one_port_answers_both(there: Answering) -> None:
    """A client of HTTP/1.1 and one of HTTP/2, whose begin may come in any pieces, are answered."""
    http = there.connect()
    http.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    with Speaker(there.port) as speaker, http:
        answer = speaker.answer(speaker.ask("/", b"a" * 10))
        first = http.recv(1 << 16)
    with there.connect() as slow:
        for at in range(len(PREFACE)):
            slow.sendall(PREFACE[at : at + 1])
        slow.sendall(SettingsFrame(0).serialize())
        settings = slow.recv(1 << 16)

    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (answer.headers[":status"], answer.body, answer.trailers) == ("200", b"a" * 10, {"size": "10"})
    assert settings[3] == SettingsFrame.type


def test_who_speaks_http_1_goes_on_with_it(there: Answering) -> None:
    """The begin of HTTP/2 after another request is refused, as a proxy would have let it through unread."""
    with there.connect() as http:
        http.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda: http.recv(1 << 16).endswith(b"OK"))
        http.sendall(PREFACE)
        said = http.recv(1 << 16)
        http.sendall(b"x")

    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"only HTTP 1.0 and 1.1" in said


def test_where_nobody_speaks_it_it_is_refused() -> None:
    """Without an application for it, the begin of HTTP/2 is no head."""
    with answering(constant) as there, there.connect() as stream:
        stream.sendall(PREFACE)
        said = stream.recv(1 << 16)

    assert said.startswith(b"HTTP/1.1 400 ")


def test_requests_on_one_connection_are_answered_beside_each_other(there: Answering) -> None:
    """One that waits keeps no other waiting; bodies and answers are larger than any window."""
    with Speaker(there.port) as speaker:
        waits = speaker.ask("/", None, ends=False)
        bodies = [random.Random(seed).randbytes(700_000) for seed in range(3)]
        numbers = [speaker.ask("/", body) for body in bodies]
        answered = [speaker.answer(number).body for number in numbers]
        assert not speaker.answers[waits].over
        speaker.pour(waits, b"end")

        assert speaker.answer(waits).body == b"end"

    assert answered == bodies


def test_many_requests_leave_the_windows_as_they_were(there: Answering) -> None:
    """What is sent in small bodies, and in requests that are taken back, may be sent again."""
    with Speaker(there.port) as speaker:
        for _ in range(150):
            number = speaker.ask("/", b"x" * 15_000, ends=False)
            speaker.h2.reset_stream(number)
            answer = speaker.answer(speaker.ask("/", b"x" * 15_000))
            assert answer.body == b"x" * 15_000


def test_what_the_application_fails_at_ends_one_request(
    there: Answering, caplog: pytest.LogCaptureFixture
) -> None:
    """The others on the connection are answered."""
    with Speaker(there.port) as speaker:
        failed, other = speaker.ask("/fail", b"x"), speaker.ask("/", b"x")

        assert speaker.answer(other).body == b"x"
        assert speaker.answer(failed).reset == ErrorCodes.INTERNAL_ERROR

    assert "a request was not answered" in caplog.text


def test_who_is_being_answered_when_it_drains_is() -> None:
    """The client hears that it is to ask elsewhere; what it asks until it has heard is answered, too."""
    with answering(constant, Bounds(linger_s=10.0), over_http2=echo) as there, Speaker(there.port) as speaker:
        idle = Speaker(there.port)
        idle.answer(idle.ask("/", b"x"))
        waits = speaker.ask("/wait", b"a")
        other = speaker.ask("/", b"b")
        speaker.answer(other)

        drained = there.begin(there.service.drain())
        late = speaker.ask("/", b"late")

        assert speaker.answer(late).body == b"late"
        assert speaker.answer(waits).body == b"a"
        for each in (speaker, idle):
            each.until(lambda each=each: each.closed)
        drained.result(DEADLINE_S)
        for each in (speaker, idle):
            assert [error for error, _ in each.goodbyes] == [0, 0]
            assert each.goodbyes[0][1] == 2**31 - 1
        assert speaker.goodbyes[1][1] == late
        idle.stream.close()


def flood(frame: Callable[[int], Frame]) -> Callable[[Speaker], None]:
    """Sends so many of a frame."""

    def send(speaker: Speaker) -> None:
        for at in range(0, 6000, 500):
            speaker.send(b"".join(frame(each).serialize() for each in range(at, at + 500)))

    return send


def resets(speaker: Speaker) -> None:
    """Requests that are taken back at once. Source: CVE-2023-44487."""
    head = speaker.h2.encoder.encode(
        [(":method", "POST"), (":scheme", "http"), (":path", "/wait"), (":authority", speaker.authority)]
    )
    for number in range(1, 9001, 2):
        asked = HeadersFrame(number, head, flags=["END_HEADERS", "END_STREAM"])
        speaker.send(asked.serialize() + RstStreamFrame(number).serialize())


def empty(speaker: Speaker) -> None:
    """A body of nothing. Source: CVE-2019-9518."""
    number = speaker.ask("/", None, ends=False)
    flood(lambda _: DataFrame(number))(speaker)


def endless(speaker: Speaker) -> None:
    """A head without an end. Source: VU#421644."""
    speaker.send(HeadersFrame(1, b"\x00").serialize())
    flood(lambda _: ContinuationFrame(1, b"\x00" * 10))(speaker)


def bomb(speaker: Speaker) -> None:
    """A head of some bytes that are a megabyte. Source: CVE-2016-6581."""
    head = speaker.h2.encoder.encode([(":method", "GET"), ("a", "x" * 3900)])
    speaker.send(HeadersFrame(1, head + b"\xbe" * 300, flags=["END_HEADERS"]).serialize())


def crowd(speaker: Speaker) -> None:
    """More requests at a time than there may be."""
    speaker.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    speaker.h2.remote_settings.acknowledge()
    for _ in range(STREAMS + 1):
        speaker.ask("/wait", None, ends=False)


FLOODS = {
    "pings": flood(lambda _: PingFrame(0, bytes(8))),
    "settings": flood(lambda each: SettingsFrame(0, {4: 65_535 + each % 2})),
    "priorities": flood(lambda each: PriorityFrame(2 * each + 1, depends_on=0, stream_weight=1)),
    "windows": flood(lambda _: WindowUpdateFrame(0, window_increment=1)),
    "resets": resets,
    "empty": empty,
    "endless": endless,
    "bomb": bomb,
    "crowd": crowd,
}
BROKEN = {"endless", "crowd"}
"""Those that HTTP/2 forbids anyway."""


@pytest.mark.parametrize("name", FLOODS)
def test_who_says_much_that_asks_for_nothing_is_left(
    there: Answering, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client is told and its connection closed; others are answered."""
    with Speaker(there.port) as speaker:
        FLOODS[name](speaker)
        speaker.until(lambda: speaker.goodbyes)

        error, _ = speaker.goodbyes[0]
        assert error == (ErrorCodes.PROTOCOL_ERROR if name in BROKEN else ErrorCodes.ENHANCE_YOUR_CALM)
        assert answers(there)

    until(lambda: there.service.in_flight == 0)
    assert caplog.text == ""


def test_what_a_connection_holds_is_bounded(there: Answering) -> None:
    """Of bodies that together are too large, the one that makes them so is ended."""
    piece, pieces = bytes(4 << 20), HELD_BYTES // (4 << 20)
    with Speaker(there.port) as speaker:
        numbers = [speaker.ask("/", piece, ends=False) for _ in range(pieces + 1)]
        speaker.until(lambda: speaker.answers[numbers[-1]].over)

        assert speaker.answers[numbers[-1]].reset == ErrorCodes.ENHANCE_YOUR_CALM
        assert not any(speaker.answers[each].over for each in numbers[:-1])

    until(lambda: there.service.in_flight == 0)


def test_a_body_that_does_not_come_is_not_waited_for(quick: Answering) -> None:
    """Its request is ended, and another one on the connection is answered."""
    with Speaker(quick.port) as speaker:
        slow = speaker.ask("/", b"x", ends=False)

        assert speaker.answer(slow).reset == ErrorCodes.CANCEL
        assert speaker.answer(speaker.ask("/", b"y")).body == b"y"


def test_an_answer_that_is_not_read_is_not_kept(quick: Answering) -> None:
    """A client that opens no window has its request ended."""
    with Speaker(quick.port, reads=False) as speaker:
        asked = speaker.ask("/long", b"x")

        assert speaker.answer(asked).reset == ErrorCodes.CANCEL
        assert 0 < len(speaker.answers[asked].body) < 1 << 20


@pytest.mark.parametrize("asks", [True, False])
def test_who_does_not_ask_is_told_and_left(quick: Answering, asks: bool) -> None:
    """A connection that has not asked, or not again, is closed with a word on what was answered."""
    with Speaker(quick.port) as speaker:
        if asks:
            speaker.answer(speaker.ask("/", b"x"))
        speaker.until(lambda: speaker.closed)

    assert speaker.goodbyes == [(0, 1 if asks else 0)]


def test_who_goes_away_is_not_answered() -> None:
    """The application hears that nobody waits, whether the request or the connection is ended."""
    heard: list[Message] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            pass
        heard.append(message)
        await told(send)  # to nobody

    with answering(constant, over_http2=waits) as there:
        with Speaker(there.port) as speaker:
            speaker.h2.reset_stream(speaker.ask("/", b"x"))
            speaker.flush()
            until(lambda: len(heard) == 1)
            speaker.ask("/", b"x")
            until(lambda: there.service.in_flight == 1)
        until(lambda: len(heard) == 2)
        until(lambda: there.service.in_flight == 0)


def noise(chance: random.Random) -> bytes:
    """Frames that may be anything, now and then right ones, and bytes that are none."""
    kinds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 250]
    out = b""
    for _ in range(chance.randrange(1, 8)):
        size = chance.choice([0, 1, 4, 5, 6, 8, 40, 300])
        number = chance.choice([0, 1, 1, 3, 5, 2, 2**31 - 1])
        declared = size if chance.random() < 0.9 else chance.choice([0, 16_384, 16_385, 2**24 - 1])
        flags = chance.choice([0, 1, 4, 5, 0x2D, 255])
        out += declared.to_bytes(3) + bytes([chance.choice(kinds), flags]) + number.to_bytes(4)
        out += chance.randbytes(size)
    return out


def test_no_bytes_are_our_mistake(there: Answering, caplog: pytest.LogCaptureFixture) -> None:
    """Of connections that begin as HTTP/2 and go on as anything, none ends in an error of ours."""
    for seed in range(300):
        chance = random.Random(seed)
        with Speaker(there.port) as speaker:
            if chance.random() < 0.5:
                speaker.ask("/", b"x", ends=chance.random() < 0.5)
            speaker.send(noise(chance))
            with speaker.stream:
                speaker.stream.shutdown(socket.SHUT_WR)

    until(lambda: there.service.in_flight == 0)
    assert answers(there)
    assert caplog.text == ""
