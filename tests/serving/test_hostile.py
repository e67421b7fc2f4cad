"""Hostile traffic against a real replica: refused or cut off within limits, while others are answered.

What connections do with such clients is told by `tests/server/test_hostile.py` and `tests/wire/`; here it is
held that a replica stands on them, and what its own part does.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from mlwright.serving import Client, ReplicaSpec, Server, start
from mlwright.wire.bounds import Bounds
from tests.serving.conftest import DEADLINE_S, PYTHON, ask, post

MIB = 1 << 20
MOST_BYTES = 64 * MIB
"""What the replica may hold more because of hostile clients."""
HEAD = b"POST /predict HTTP/1.1\r\nhost: localhost\r\n"
GET = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def brisk(spec: ReplicaSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A replica that waits for no slow client longer than a second, and lets idle ones linger for 20 s."""
    bounds = Bounds(fresh_s=1.0, idle_s=60.0, head_s=1.0, behind_s=1.0, drain_s=20.0, linger_s=20.0)
    folder = tmp_path_factory.mktemp("brisk")
    with start(replace(spec, bounds=bounds), PYTHON, folder=folder) as server:
        yield server


def connect(server: Server) -> socket.socket:
    """A connection by hand."""
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE_S)


def rest(stream: socket.socket) -> bytes:
    """All that comes until the replica closes; a reset is a close."""
    got = b""
    try:
        while piece := stream.recv(1 << 16):
            got += piece
    except ConnectionError:
        pass
    return got


def memory_bytes(server: Server) -> int:
    """What the replica holds in memory."""
    (replica,) = server.pids
    status = Path(f"/proc/{replica}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def unnoticed(server: Server, spec: ReplicaSpec) -> Iterator[None]:
    """The same client is answered before and after the block, and the replica holds little more."""
    row, before = dict(spec.models[0].signature.example.input), memory_bytes(server)
    with Client(server.url) as client:
        yield
        assert client.predict([row]).predictions
    assert memory_bytes(server) - before < MOST_BYTES


REFUSED: dict[str, tuple[int, bytes]] = {
    "a header of 1 MiB": (431, HEAD + b"x: " + b"a" * MIB + b"\r\n\r\n"),
    "10,000 headers": (431, HEAD + b"a: b\r\n" * 10_000 + b"\r\n"),
    "a length beside chunks": (
        400,
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "two lengths": (400, HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    "two hosts": (400, HEAD + b"host: localhost\r\ncontent-length: 0\r\n\r\n"),
    "two cookies": (400, HEAD + b"cookie: a=b\r\ncookie: a=c\r\ncontent-length: 0\r\n\r\n"),
    "no request": (400, b"\x16\x03\x01" + b"\1" * 200),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_clear_request_is_a_problem_and_the_last(brisk: Server, case: str) -> None:
    """It is answered with a problem document, and nothing behind it is taken for a request."""
    status, raw = REFUSED[case]

    with connect(brisk) as stream:
        stream.sendall(raw + GET)
        answer = rest(stream)

    head, _, document = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"content-type: application/problem+json" in head
    assert json.loads(document)["status"] == status


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_a_bomb_is_not_unfolded(brisk: Server, spec: ReplicaSpec, coding: str) -> None:
    """Encoded bodies are refused as they are."""
    with unnoticed(brisk, spec):
        assert post(brisk.url, b"\x1f\x8b" + b"\0" * MIB, content_encoding=coding).status == 415


@pytest.mark.parametrize("nested", [b"[", b'{"rows":'])
def test_json_nested_100_000_deep_is_refused(brisk: Server, spec: ReplicaSpec, nested: bytes) -> None:
    """Deep nesting does not end the stack."""
    with unnoticed(brisk, spec):
        answers = [post(brisk.url, b'{"rows": ' + nested * 100_000) for _ in range(5)]

    assert {each.status for each in answers} == {400}


def test_an_endless_body_is_refused_and_cut_off(brisk: Server, spec: ReplicaSpec) -> None:
    """A body in chunks, announced by nobody to be 1 GiB, is refused at the limit; who goes on is cut off."""
    chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    sent = 0
    with unnoticed(brisk, spec), connect(brisk) as stream:
        stream.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        try:
            while sent < 1 << 30:
                stream.sendall(chunk)
                sent += 1 << 16
        except ConnectionError:
            pass

    assert 16 * MIB < sent < 512 * MIB

    with connect(brisk) as stream:
        stream.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk * 257)
        assert stream.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


def test_1_000_who_say_nothing_or_little_are_cut_off(brisk: Server, spec: ReplicaSpec) -> None:
    """Idle connections are closed, slow heads and slow bodies are told 408, and a client is answered."""
    said = [b"", b"GET /health/live HTTP/1.1\r\nhost:", HEAD + b"content-length: 100\r\n\r\n{"]
    with unnoticed(brisk, spec), ExitStack() as stack:
        streams = [stack.enter_context(connect(brisk)) for _ in range(1_000)]
        for number, stream in enumerate(streams):
            stream.sendall(said[number % 3])
        live = ask(brisk.url, "GET", "/health/live").status
        answers = [rest(stream)[:13] for stream in streams]

    assert live == 200
    assert [set(answers[which::3]) for which in range(3)] == [{b""}, {b"HTTP/1.1 408 "}, {b"HTTP/1.1 408 "}]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.7", "a@localhost", ""],
)
def test_another_name_for_loopback_is_refused(brisk: Server, host: str) -> None:
    """A page whose own name leads here (DNS rebinding) reads nothing, by whatever path."""
    for path in ("/health/live", "/docs", "/nothing"):
        answer = ask(brisk.url, "GET", path, headers={"host": host})
        assert (answer.status, answer.json["status"]) == (403, 403)


def test_the_names_of_loopback_are_answered(brisk: Server) -> None:
    """Whatever loopback name or port (of a tunnel) a client used, it is answered."""
    for host in ("localhost", "LocalHost:1", "127.0.0.1", "[::1]:5000"):
        assert ask(brisk.url, "GET", "/health/live", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin", "host": "localhost:1", "origin": "http://localhost:1"}, 200),
        ({"sec-fetch-site": "none"}, 200),
    ],
)
def test_a_page_of_another_site_predicts_nothing(
    brisk: Server, spec: ReplicaSpec, headers: dict[str, str], status: int
) -> None:
    """A browser tells where a page is from; only the replica's own may ask."""
    body: dict[str, Any] = {"rows": [spec.models[0].signature.example.input]}

    answer = ask(brisk.url, "POST", "/predict", json.dumps(body), headers)

    assert answer.status == status
