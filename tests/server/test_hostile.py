"""Hostile traffic: what can be judged is answered, who is silent or slow is cut off, others do not notice."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import PYPROJECT, write
from tests.mlflow import run_client
from tests.processes import start_python, until
from tests.server.conftest import API, DEADLINE_S, Up

MIB = 1 << 20
MOST_BYTES = 64 * MIB
"""What the server may hold more because of hostile clients."""
IN_TIME_S = 30
"""Who is silent or slow is cut off by then."""
SOAK = os.environ.get("MLWRIGHT_SOAK") == "1"
HOST = b"Host: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
SEARCH = f"POST {API}runs/search HTTP/1.1\r\n".encode() + HOST + b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /version HTTP/1.1\r\n" + HOST + b"\r\n"
_BRISK = "fresh_s=1.0, idle_s=1.0, head_s=1.0, behind_s=1.0"
_START = """
import resource
from mlwright.server import listening
from mlwright.wire.bounds import Bounds
listening.BOUNDS = Bounds({bounds})
if {files}:
    resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
from mlwright.cli import main
main()
"""


def bounded(folder: Path, bounds: str, files: int = 0) -> Up:
    """A server with other bounds than by default."""
    root = write(folder / "small", {"pyproject.toml": PYPROJECT})
    code = _START.format(bounds=bounds, files=files)
    return Up(root, command=(sys.executable, "-c", code))


@pytest.fixture(scope="module")
def brisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server that waits for nobody longer than a second."""
    server = bounded(tmp_path_factory.mktemp("brisk"), _BRISK)
    yield server
    server.close()


def connect(up: Up) -> socket.socket:
    """A connection by hand."""
    return socket.create_connection((up.host, up.port), timeout=IN_TIME_S)


def rest(stream: socket.socket) -> bytes:
    """All that comes until the server closes; fails if it does not in time. A reset is a close."""
    got = b""
    try:
        while piece := stream.recv(1 << 16):
            got += piece
    except ConnectionError:
        pass
    return got


def asked(up: Up, raw: bytes) -> bytes:
    """What is answered until the server closes."""
    with connect(up) as stream:
        stream.sendall(raw)
        return rest(stream)


def memory_bytes(up: Up) -> int:
    """What the server holds in memory."""
    status = Path(f"/proc/{up.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def unnoticed(up: Up, most_bytes: int = MOST_BYTES) -> Iterator[None]:
    """While the block runs, somebody else logs metrics: each is answered; and the memory stays bounded."""
    up.hang_up()
    run, before, statuses, ended = up.run(), memory_bytes(up), list[int](), threading.Event()
    up.hang_up()
    headers = {"content-type": "application/json"}

    def work() -> None:
        body = json.dumps({"run_id": run, "key": "m", "value": 1, "timestamp": 1})
        with closing(up.connect()) as connection:
            while True:
                connection.request("POST", f"{API}runs/log-metric", body, headers)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
                if ended.wait(0.01):
                    break

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(DEADLINE_S)
    assert set(statuses) == {200}
    assert not thread.is_alive()
    assert memory_bytes(up) - before < most_bytes


REFUSED = {
    "a length beside chunks": (
        400,
        SEARCH + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    ),
    "chunks beside a length": (
        400,
        SEARCH + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "two lengths": (400, SEARCH + b"Content-Length: 0\r\nContent-Length: 2\r\n\r\n{}"),
    "a list of lengths": (400, SEARCH + b"Content-Length: 2, 2\r\n\r\n{}"),
    "a length with a sign": (400, SEARCH + b"Content-Length: +2\r\n\r\n{}"),
    "a length beyond all": (400, SEARCH + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "an unknown coding": (400, SEARCH + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "a coding before chunks": (400, SEARCH + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "a coding behind chunks": (400, SEARCH + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    "chunks twice": (400, SEARCH + CHUNKED * 2 + b"\r\n0\r\n\r\n"),
    "chunks of 1.0": (400, SEARCH.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n"),
    "a chunk beyond all": (400, SEARCH + CHUNKED + b"\r\nffffffffffffffffff\r\n"),
    "chunks with bare line ends": (400, SEARCH + CHUNKED + b"\r\n2\n{}\n0\n\n"),
    "a folded line": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: localhost\n\n"),
    "a bare return": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n"),
    "a space before the colon": (400, b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n"),
    "two hosts": (400, b"GET /health HTTP/1.1\r\n" + HOST + b"Host: example.org\r\n\r\n"),
    "no host": (400, b"GET /health HTTP/1.1\r\n\r\n"),
    "two content types": (400, SEARCH + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}"),
    "an absolute target": (400, b"GET http://localhost/health HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target for a proxy": (400, b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a fragment": (400, b"GET /health#a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "NUL in the path": (400, b"GET /hea\0lth HTTP/1.1\r\n" + HOST + b"\r\n"),
    "NUL encoded in the path": (400, b"GET /health%00 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "NUL in a header": (400, b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n"),
    "no version": (400, b"GET /health\r\n\r\n"),
    "another version": (400, b"GET /health HTTP/3.0\r\n" + HOST + b"\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"),
    "a hello of TLS": (400, bytes.fromhex("16030100a5010000a10303") + b"\1" * 150),
    "garbage": (400, bytes(range(128, 256)) * 10),
    "an unknown expectation": (417, SEARCH + b"Expect: cake\r\nContent-Length: 2\r\n\r\n{}"),
    "a header of 1 MiB": (431, b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * MIB + b"\r\n\r\n"),
    "10,000 headers": (431, b"GET /health HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 10_000 + b"\r\n"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused(up: Up, case: str) -> None:
    """It gets one answer and the connection is closed: what stands behind it is not taken for a request."""
    status, raw = REFUSED[case]

    answer = asked(up, raw + SMUGGLED)

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == status


@pytest.mark.parametrize("cut", range(1, len(GET), 7))
def test_a_head_may_come_in_pieces(up: Up, cut: int) -> None:
    """Wherever the network cuts a head, the request is answered."""
    with connect(up) as stream:
        stream.sendall(b"\r\n" + GET[:cut])
        assert select.select([stream], [], [], 0.05)[0] == []
        stream.sendall(GET[cut:] + GET)
        until(lambda: stream.recv(1 << 16, socket.MSG_PEEK).count(b"HTTP/1.1 200 ") == 2)


@pytest.mark.soak
def test_10_000_requests_at_once_are_answered_one_by_one(up: Up) -> None:
    """Pipelined requests are answered in order, without piling up."""
    number = 10_000 if SOAK else 3_000
    with unnoticed(up), connect(up) as stream:
        sender = threading.Thread(target=stream.sendall, args=(GET * (number - 1) + SMUGGLED,))
        sender.start()
        got = b""
        while got.count(b"HTTP/1.1 200 ") < number:
            got += stream.recv(1 << 20)
        sender.join()
        until(lambda: b"\r\n\r\n" in got[got.rindex(b"HTTP/1.1 ") :])

    assert got.count(b"\r\n\r\nOK") == number - 1


def test_pipelines_that_nobody_reads_fill_no_memory(up: Up) -> None:
    """Requests that are sent on and on, without reading an answer, are not taken on and on."""
    with unnoticed(up), ExitStack() as stack:
        streams = [stack.enter_context(connect(up)) for _ in range(50)]
        for stream in streams:
            stream.settimeout(0.02)
            with suppress(TimeoutError, ConnectionError):
                while True:
                    stream.send(GET * 10_000)


def cut_off(stream: socket.socket, raw: bytes) -> bool:
    """Whether the server has closed a connection on which so much is sent, as far as it is taken."""
    try:
        stream.send(raw)
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def test_an_endless_body_is_refused_and_cut_off(brisk: Up) -> None:
    """A body in chunks, over the limit, is answered at once; who goes on sending it is cut off."""
    chunk = b"10000\r\n" + b"a" * (1 << 16) + b"\r\n"
    with unnoticed(brisk), connect(brisk) as stream:
        stream.sendall(SEARCH + CHUNKED + b"\r\n" + chunk * 64)
        answer = stream.recv(1 << 16)
        stream.settimeout(0.2)
        until(lambda: cut_off(stream, chunk * 16), IN_TIME_S)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_tiny_chunks_hold_nobody_up(up: Up) -> None:
    """A body in chunks of a byte each is taken in portions."""
    body = b'{"experiment_ids": []' + b" " * 500_000 + b"}"
    raw = b"".join(b"1\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"

    with unnoticed(up):
        answer = asked(up, SEARCH + b"Connection: close\r\n" + CHUNKED + b"\r\n" + raw)

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("nested", [b"[", b'{"a":'])
def test_json_nested_100_000_deep_is_refused(up: Up, nested: bytes) -> None:
    """Deep nesting ends neither the stack nor the patience of others."""
    body = b'{"x": ' + nested * 100_000

    with unnoticed(up):
        answers = [up.post("runs/search", body) for _ in range(20)]

    assert {each.status for each in answers} == {400}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_a_bomb_is_not_unfolded(up: Up, coding: str) -> None:
    """Encoded bodies are refused as they are."""
    with unnoticed(up):
        answer = up.post("runs/search", b"\x1f\x8b" + b"\0" * 100_000, content_encoding=coding)

    assert answer.status == 400


@pytest.mark.parametrize("boundary", ["a", "a" * 10_000, '"; name=x', ""])
def test_forms_in_parts_are_refused(up: Up, boundary: str) -> None:
    """Nothing takes a form: no part of it is looked at."""
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n{{}}\r\n'.encode()

    with unnoticed(up):
        answer = up.post(
            "runs/search",
            part * (500_000 // len(part)),
            content_type=f"multipart/form-data; boundary={boundary}",
        )

    assert answer.status == 400


BEGUN = [
    b"",
    b"\r\n",
    b"GET /health HTTP/1.1\r\nX: ",
    SEARCH + b"Content-Length: 100\r\n\r\n{",
    SEARCH + CHUNKED + b"\r\n1\r\n{\r\n",
    SEARCH + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n",
    GET,
]


@pytest.mark.parametrize("drip", [b"", b"\r"])
def test_the_slow_are_cut_off(brisk: Up, drip: bytes) -> None:
    """Silent before, within or behind a request, or a byte now and then: the connection is closed."""
    with ExitStack() as stack:
        streams = {each: stack.enter_context(connect(brisk)) for each in BEGUN}
        for begun, stream in streams.items():
            stream.sendall(begun)
            stream.setblocking(False)
        answers = dict.fromkeys(BEGUN, b"")
        left = dict(streams)

        def all_closed() -> bool:
            select.select([], [], [], 0.1)
            for begun, stream in list(left.items()):
                try:
                    if drip and begun not in {b"", GET}:
                        stream.send(drip[:1])
                    while piece := stream.recv(1 << 16):
                        answers[begun] += piece
                    del left[begun]
                except BlockingIOError:
                    pass
                except OSError:
                    del left[begun]
            return not left

        until(all_closed, IN_TIME_S)

    for begun, got in answers.items():
        statuses = [each[:3] for each in got.split(b"HTTP/1.1 ")[1:] if not each.startswith(b"100")]
        assert statuses in ([], [b"400"], [b"408"], [b"200"]), begun
        assert (statuses == [b"200"]) == (begun == GET)


def test_a_slow_upload_lives(brisk: Up) -> None:
    """A body at an honest slow rate is taken, however long it takes."""
    body = json.dumps({"filter": "", "experiment_ids": [], "x": "a" * 40_000}).encode()
    with connect(brisk) as stream:
        stream.sendall(SEARCH + b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 2_000):
            stream.sendall(body[at : at + 2_000])
            if at + 2_000 < len(body):
                assert select.select([stream], [], [], 0.2)[0] == []
        answer = stream.recv(1 << 16)

    assert answer.startswith(b"HTTP/1.1 200 ")


def held_by(up: Up, streams: Collection[socket.socket]) -> set[str]:
    """The sockets that a server has open, of those at whose other end these are.

    Source: proc_pid_net(5), tcp.
    """
    wanted = {f"{stream.getsockname()[1]:04X}" for stream in streams}
    inodes = {
        f"socket:[{inode}]"
        for _, ours, theirs, *_, inode in (
            line.split()[:10] for line in Path(f"/proc/{up.process.pid}/net/tcp").read_text().splitlines()[1:]
        )
        if theirs[9:] in wanted and ours[9:] == f"{up.port:04X}"
    }
    open_now = set()
    for each in Path(f"/proc/{up.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            open_now.add(str(each.readlink()))
    return inodes & open_now


def large(up: Up) -> bytes:
    """A request whose answer has 6 MiB."""
    run = up.run()
    for number in range(100):
        up.post("runs/log-parameter", {"run_id": run, "key": f"p{number}", "value": "v" * 65_000})
    return f"GET {API}runs/get?run_id={run} HTTP/1.1\r\n".encode() + HOST + b"\r\n"


def test_answers_that_nobody_reads_are_dropped(brisk: Up) -> None:
    """Who asks for much and does not read is cut off; who reads slowly gets all of it."""
    request = large(brisk)
    with unnoticed(brisk, 256 * MIB), ExitStack() as stack:  # an answer is made whole before it goes
        streams = [stack.enter_context(socket.socket()) for _ in range(8)]
        for stream in streams:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stream.settimeout(IN_TIME_S)
            stream.connect((brisk.host, brisk.port))
            stream.sendall(request)
        reader, got = streams.pop(), 0
        while piece := reader.recv(1 << 12):
            got += len(piece)
            select.select([], [], [], 0.001)
            if got > 6 * MIB:
                break
        until(lambda: not held_by(brisk, streams), IN_TIME_S)  # they do not hear it: there is no room left
        answers = [rest(stream) for stream in streams]

    assert got > 6 * MIB
    assert all(len(each) < 6 * MIB for each in answers)


@pytest.mark.soak
def test_5_000_idle_connections_are_closed(brisk: Up) -> None:
    """However many say nothing, each is closed, and those who ask are answered meanwhile."""
    number = 5_000 if SOAK else 2_000
    with unnoticed(brisk), ExitStack() as stack:
        streams = [stack.enter_context(connect(brisk)) for _ in range(number)]
        assert all(rest(stream) == b"" for stream in streams)


@pytest.mark.soak
def test_1_000_slow_heads_are_cut_off(brisk: Up) -> None:
    """Slow heads, of which each is nearly as large as it may be, take neither the memory nor the places."""
    number = 1_000 if SOAK else 500
    with unnoticed(brisk), ExitStack() as stack:
        streams = [stack.enter_context(connect(brisk)) for _ in range(number)]
        for stream in streams:
            with suppress(ConnectionError):
                stream.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * 60_000)
        answers = {rest(stream)[:13] for stream in streams}

    assert answers <= {b"", b"HTTP/1.1 408 "}


@pytest.mark.parametrize(("bounds", "files"), [("connections=40", 0), ("", 200)])
def test_a_full_house_closes_who_is_idle(tmp_path: Path, bounds: str, files: int) -> None:
    """With as many connections as there may be, or file descriptors, the one idle longest makes place."""
    up = bounded(tmp_path, bounds, files)
    try:
        with unnoticed(up), ExitStack() as stack:
            streams = [stack.enter_context(connect(up)) for _ in range(300)]
            assert rest(streams[0]) == b""
            streams[-1].sendall(GET)
            assert streams[-1].recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        up.close()


def test_100_searches_at_once_are_all_answered(up: Up) -> None:
    """Parallel searches wait for each other, and none is sent away."""
    body = json.dumps({"experiment_ids": ["0"], "max_results": 1000}).encode()
    request = SEARCH + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    with unnoticed(up), ExitStack() as stack:
        streams = [stack.enter_context(connect(up)) for _ in range(100)]
        for stream in streams:
            stream.sendall(request)
        answers = [rest(stream) for stream in streams]

    assert {each[:13] for each in answers} == {b"HTTP/1.1 200 "}


def test_mlflows_client_comes_back_after_idling(brisk: Up, tmp_path: Path) -> None:
    """A kept connection that was closed for idleness is made anew by the client; it sees no failure."""
    code = """
        import os, time
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        from mlflow import MlflowClient
        client = MlflowClient()
        run = client.create_run("0").info.run_id
        for step in range(2):
            client.log_metric(run, "m", step, step=step)
            time.sleep(2.2)
        client.log_param(run, "p", "v")
        print(len(client.get_metric_history(run, "m")))
    """
    told = run_client(code, brisk.url, tmp_path)

    assert told.stdout.strip() == "2", told.stderr[-2000:]


def test_sigterm_closes_what_is_idle_and_says_so_to_others(start: Callable[..., Up]) -> None:
    """Idle connections are closed; a request that is under way is answered with `Connection: close`."""
    up = start()
    with connect(up) as idle, connect(up) as kept, connect(up) as under_way:
        kept.sendall(GET)
        assert kept.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        under_way.sendall(SEARCH + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert under_way.recv(1 << 16).startswith(b"HTTP/1.1 100 ")

        up.signal(signal.SIGTERM)
        ended = (rest(idle), rest(kept))
        under_way.sendall(b"{}")
        answer = rest(under_way)

    assert ended == (b"", b"")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close\r\n" in answer
    assert up.ended() == 0


_ENDLESS = """
import asyncio, sys
from mlwright.kernel.sockets import listen
from mlwright.wire import loop
from mlwright.wire.bounds import Bounds

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
    if scope["path"] == "/polite":
        await scope["state"]["draining"].wait()
        await send({"type": "http.response.body", "body": b"data: end\\n\\n"})
    else:
        await asyncio.sleep(3600)

listener = listen("127.0.0.1", 0)
ready = lambda: print(listener.getsockname()[1], flush=True)
loop.serve(app, listener, ready, bounds=Bounds(drain_s=2.0))
"""


@pytest.mark.parametrize(
    ("path", "last"), [("/polite", b"b\r\ndata: end\n\n\r\n0\r\n\r\n"), ("/stubborn", b"data: 1\n\n\r\n")]
)
def test_a_stream_does_not_hold_up_the_end(path: str, last: bytes) -> None:
    """An answer without end is told that the server drains; one that does not listen is cut off."""
    process = start_python(_ENDLESS)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with socket.create_connection(("127.0.0.1", port), timeout=IN_TIME_S) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        until(lambda: b"data: 1" in stream.recv(1 << 16, socket.MSG_PEEK))

        process.send_signal(signal.SIGTERM)
        got = rest(stream)

    assert got.endswith(last)
    assert process.wait(IN_TIME_S) == 0
    process.communicate()
