"""The client of Python programs."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlwright.kernel.errors import Invalid, TimedOut, Unavailable
from mlwright.serving import Client, ReplicaSpec, Server, version_behind
from mlwright.serving.client_bodies import body_of
from tests.serving.conftest import VERSION

ANSWER = b'{"predictions": [1], "model": "m@1", "id": "V-X"}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


@contextmanager
def answering(connection: Callable[[socket.socket], None], times: int = 1) -> Iterator[str]:
    """A server that treats so many connections in its own way."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(times):
                stream, _ = listener.accept()
                with stream:
                    stream.settimeout(30)
                    connection(stream)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(30)
        assert not thread.is_alive()


def receive_request(stream: socket.socket) -> bytes:
    """A request whose body is JSON that ends with a brace."""
    received = b""
    while not received.endswith(b"}"):
        received += stream.recv(1 << 16)
    return received


def test_a_client_asks_and_is_answered(client: Client, spec: ReplicaSpec) -> None:
    """A prediction has its values, its model and its id, and probabilities only when they were asked for."""
    row = spec.models[0].signature.example.input

    plain, with_shares = client.predict([row]), client.predict([row, row], proba=True)

    assert client.ready()
    assert plain.predictions == ["malignant"]
    assert (plain.probabilities, plain.model) == (None, "diagnosis@1")
    assert version_behind(plain.id) == VERSION
    assert with_shares.probabilities is not None
    assert [sum(shares.values()) for shares in with_shares.probabilities] == pytest.approx([1, 1])


def test_numpys_numbers_are_numbers(client: Client, spec: ReplicaSpec) -> None:
    """Values as they come out of an array or a data frame can be sent."""
    row = {name: np.float32(value) for name, value in spec.models[0].signature.example.input.items()}

    assert client.predict([pd.Series(row).to_dict(), row]).predictions


def test_a_refusal_names_the_column(client: Client, spec: ReplicaSpec) -> None:
    """What the server says of a wrong request is what the caller reads."""
    row = {**spec.models[0].signature.example.input, "mean radius": None}

    with pytest.raises(Invalid, match=r"^row 1: `mean radius` must be a number, not null$") as caught:
        client.predict([spec.models[0].signature.example.input, row])

    assert client.url in str(caught.value.hint)


def test_a_connection_goes_on_after_a_refusal(client: Client, spec: ReplicaSpec) -> None:
    """An error leaves nothing behind that the next request could meet."""
    wrong: list[list[dict[str, Any]]] = [[{}], [spec.models[0].signature.example.input] * 20_000]
    for rows in wrong:
        with pytest.raises(Invalid):
            client.predict(rows)

        assert client.predict([spec.models[0].signature.example.input]).predictions == ["malignant"]


def test_values_that_are_no_json_are_refused_here(client: Client) -> None:
    """What JSON cannot hold is not sent."""
    with pytest.raises(Invalid, match="a set is not a number"):
        client.predict([{"a": {1}}])


def test_nobody_there_is_told_with_a_hint() -> None:
    """A refused connection says what to type."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    with Client(url) as client, pytest.raises(Unavailable, match="does not answer") as caught:
        client.predict([])

    assert "mlwright serve" in str(caught.value.hint)


def test_no_answer_in_time_is_told() -> None:
    """A server that keeps silent is given up on."""

    def keep_silent(stream: socket.socket) -> None:
        while stream.recv(1 << 16):
            pass

    with answering(keep_silent) as url, Client(url, timeout_s=0.05) as client:
        with pytest.raises(TimedOut) as caught:
            client.predict([])

        assert caught.value.message == f"{url} did not answer within 0.05 s"


def test_a_connection_that_the_server_closed_is_opened_again() -> None:
    """A server may close a connection that rests; the next request does not fail for it."""

    closed = threading.Semaphore(0)

    def once(stream: socket.socket) -> None:
        receive_request(stream)
        stream.sendall(OK)
        stream.close()
        closed.release()

    with answering(once, times=3) as url, Client(url) as client:
        answers = []
        for _ in range(3):
            answers.append(client.predict([]).predictions)
            assert closed.acquire(timeout=30)

    assert answers == [[1], [1], [1]]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\n\r\n<ht>",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n<ht>",
        b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\n\r\nshort",
        b"not HTTP at all\r\n\r\n",
        b"",
    ],
)
def test_what_does_not_speak_as_a_served_model_is_told(answer: bytes) -> None:
    """A proxy's error page, another service, a broken answer: each is `Unavailable` with the address."""

    def reply(stream: socket.socket) -> None:
        receive_request(stream)
        stream.sendall(answer)

    with answering(reply) as url, Client(url, retries=0) as client:
        with pytest.raises(Unavailable) as caught:
            client.predict([])

        assert url in (caught.value.message + str(caught.value.where))


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", "http://x:port", "http://[::1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """A client is not made for what cannot be asked."""
    with pytest.raises(Invalid, match="is not the address of a model"):
        Client(url)


def test_a_client_needs_no_server(served: Server) -> None:
    """The client imports neither the server's libraries nor any other."""
    code = f"""
import sys
from mlwright import Client
with Client({served.url!r}) as client:
    assert client.ready()
heavy = {{"starlette", "uvloop", "msgspec", "apsw", "numpy", "pandas", "blake3"}} & set(sys.modules)
sys.exit(str(heavy) if heavy else 0)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def moody(*statuses: int) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers with these one after the other, then as a model; 0 hangs up. What it was sent."""
    heard: list[bytes] = []
    moods = list(statuses)

    class Moody(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["content-length"])))
            status = moods.pop(0) if moods else 200
            if not status:
                self.close_connection = True
                return
            body = (
                b'{"predictions": [1], "model": "m@1", "id": "x"}' if status == 200 else b'{"detail": "no"}'
            )
            self.send_response(status)
            self.send_header("retry-after", "0")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", heard
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("statuses", [(503,), (0,), (503, 0), (502, 429)])
def test_what_may_be_asked_again_is(statuses: tuple[int, ...]) -> None:
    """A server that is full, or just replaced, is asked twice more; the caller sees the answer."""
    with moody(*statuses) as (url, heard), Client(url) as client:
        answered = client.predict([{"a": 1}])

    assert answered.predictions == [1]
    assert len(heard) == len(statuses) + 1


@pytest.mark.parametrize(
    ("statuses", "asked"), [((503, 503, 503), 3), ((0, 0, 0), 3), ((500,), 1), ((422,), 1)]
)
def test_what_may_not_or_helps_not_is_told(statuses: tuple[int, ...], asked: int) -> None:
    """After the last try the error is the caller's; what failed, or was wrong, is not asked again."""
    with moody(*statuses) as (url, heard), Client(url) as client, pytest.raises((Unavailable, Invalid)):
        client.predict([{"a": 1}])

    assert len(heard) == asked


def test_a_file_is_sent_from_its_begin_each_time(tmp_path: Path) -> None:
    """What is asked again is the same, to the byte."""
    content = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(content)

    with moody(503, 0) as (url, heard), Client(url) as client:
        client.predict(file=tmp_path / "file", top=3)

    assert len(heard) == 3
    assert len(set(heard)) == 1
    assert content in heard[0]


def test_a_file_that_changes_while_it_is_sent_is_noticed(tmp_path: Path) -> None:
    """One that gets shorter ends the request; of one that grows as much is sent as there was."""
    shorter, longer = tmp_path / "shorter", tmp_path / "longer"
    for path in (shorter, longer):
        path.write_bytes(b"x" * 2**20)

    with body_of(shorter, {}).opened() as (_, pieces), pytest.raises(Invalid, match="shorter got shorter"):
        for _ in pieces:
            shorter.write_bytes(b"")
    with body_of(longer, {}).opened() as (size, pieces):
        with longer.open("ab") as file:
            file.write(b"more")
        assert not isinstance(pieces, bytes)
        sent = b"".join(pieces)

    assert (size, len(sent)) == (2**20, 2**20)


@pytest.mark.parametrize(
    ("asked", "inputs", "said"),
    [
        (Path("/nowhere/x.png"), {}, "/nowhere/x.png cannot be read: No such file or directory"),
        (None, {"image": Path("/")}, "/ cannot be read: Is a directory"),
        (None, {"image": [Path("/nowhere"), b""]}, "/nowhere cannot be read"),
        ("a", {"b": 1}, "one thing is given without a name, and `b` with one"),
        ([1, 2], {}, "rows are a list of values by column"),
        (None, {"image": b"", "note": {1}}, "`note` cannot be written as JSON: a set is not a number"),
    ],
)
def test_what_cannot_be_sent_is_said(asked: Any, inputs: dict[str, Any], said: str) -> None:
    """Before anybody is asked."""
    with Client("http://127.0.0.1:1") as client, pytest.raises(Invalid) as refused:
        client.predict(asked, **inputs)

    assert said in refused.value.message


def test_a_stream_that_breaks_off_is_told() -> None:
    """A connection that ends before the event `end` does not pass for an answer."""
    begin = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n: a comment\n\ndata: 2"

    def break_off(stream: socket.socket) -> None:
        receive_request(stream)
        stream.sendall(begin)

    with answering(break_off) as url, Client(url) as client, client.stream(text="a") as pieces:
        first = next(pieces)
        with pytest.raises(Unavailable, match="stopped within its answer"):
            next(pieces)

    assert first == 1
    assert next(pieces, None) is None
