"""The replica's process: started, ended, never left behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from mlwright import serving
from mlwright.kernel.errors import Invalid, Unavailable, WorkFailed
from mlwright.serving import Client, ReplicaSpec, Server
from mlwright.versioning.signatures import Example
from tests.serving.conftest import DEADLINE_S, PYTHON, ask, changed, post, refused, until


def ended(pid: int) -> bool:
    """Wait until a process that is not ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DEADLINE_S)[0])
    finally:
        os.close(descriptor)


def children() -> set[str]:
    """The ids of our own child processes, dead ones included."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Server]:
    """Starts a server: `start(spec, port=...)`."""

    def started(spec: ReplicaSpec, python: Path = PYTHON, **arguments: Any) -> Server:
        return serving.start(spec, python, folder=tmp_path / "serving", **arguments)

    return started


def answers(server: Server) -> bool:
    """Whether the supervisor does."""
    try:
        return bool(server.status())
    except Unavailable:
        return False


def with_example(spec: ReplicaSpec, output: Any) -> ReplicaSpec:
    example = Example(spec.models[0].signature.example.input, output)
    return changed(spec, signature=replace(spec.models[0].signature, example=example))


def test_sigterm_lets_a_server_answer_what_it_has_taken(
    spec: ReplicaSpec, start: Callable[..., Server]
) -> None:
    """A request that has begun when the server is told to end is answered, the last on its connection."""
    body = json.dumps({"rows": [spec.models[0].signature.example.input]}).encode()
    head = "POST /predict HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"

    with start(spec) as server:
        parts = urlsplit(server.url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE_S) as stream:
            stream.sendall(head.encode())
            assert stream.recv(100).startswith(b"HTTP/1.1 100 ")  # the replica waits for the body
            os.kill(server.pid, signal.SIGTERM)
            until(lambda: refused(server.url))  # it has closed its listener
            stream.sendall(body)
            answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))
        server.wait(DEADLINE_S)
        status = server.stop()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert json.loads(answer.rpartition(b"\r\n\r\n")[2])["predictions"] == [
        spec.models[0].signature.example.output
    ]
    assert status == 0


def test_stopping_leaves_nothing(spec: ReplicaSpec, start: Callable[..., Server], tmp_path: Path) -> None:
    """After `stop` there is no process, no listener and no file; stopping again is no mistake."""
    before = children()
    server = start(spec)
    url, (replica,) = server.url, server.pids
    group = os.getpgid(replica)

    status = server.stop()

    assert group == replica  # the terminal's Ctrl-C reaches the starter alone, and what it forks ends with it
    assert (status, server.stop()) == (0, 0)
    assert children() == before
    assert list((tmp_path / "serving").iterdir()) == []
    assert refused(url)


def test_a_wrong_answer_to_the_example_keeps_it_from_being_ready(
    spec: ReplicaSpec, start: Callable[..., Server], tmp_path: Path
) -> None:
    """A model that answers otherwise than in the pipeline is not served, and both answers are told."""
    before = children()

    with pytest.raises(WorkFailed) as caught:
        start(with_example(spec, "benign"))

    assert caught.value.message == (
        "diagnosis@1 answers its example with 'malignant', the pipeline recorded 'benign'"
    )
    assert caught.value.hint
    assert children() == before
    assert list((tmp_path / "serving").iterdir()) == []


def test_last_words_are_told(spec: ReplicaSpec, start: Callable[..., Server], tmp_path: Path) -> None:
    """An interpreter that cannot run a replica is quoted."""
    bare = tmp_path / "bare"
    venv.create(bare, with_pip=False)

    with pytest.raises(WorkFailed, match="status 1") as caught:
        start(spec, bare / "bin" / "python")

    assert "No module named 'msgspec'" in caught.value.message


def test_an_interpreter_that_is_not_there_is_told(spec: ReplicaSpec, start: Callable[..., Server]) -> None:
    """The message names the interpreter."""
    with pytest.raises(Unavailable) as caught:
        start(spec, Path("/nowhere/python"))

    assert caught.value.where == "/nowhere/python"


def test_a_replica_that_is_never_ready_is_ended(spec: ReplicaSpec, start: Callable[..., Server]) -> None:
    """When the deadline is over, the replica is ended and the deadline named."""
    before = children()

    with pytest.raises(Unavailable, match=r"was not ready within 0\.01 s"):
        start(spec, ready_within_s=0.01)

    assert children() == before


def test_a_port_that_is_taken_is_told(spec: ReplicaSpec, start: Callable[..., Server]) -> None:
    """Two cannot listen on one port; the message names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Unavailable) as caught:
            start(spec, port=port)

    assert caught.value.message == f"port {port} of 127.0.0.1 is taken"
    assert "--port" in str(caught.value.hint)


def test_an_address_that_others_reach_is_refused(spec: ReplicaSpec, start: Callable[..., Server]) -> None:
    """Nothing is started for an address beyond this machine."""
    before = children()

    with pytest.raises(Invalid, match="can be reached from outside"):
        start(spec, host="0.0.0.0")

    assert children() == before


def test_the_port_can_be_had_again_at_once(
    spec: ReplicaSpec, start: Callable[..., Server], toy_python: Path
) -> None:
    """A replica that is started anew takes the port of the one before, connections or not."""
    with start(spec, toy_python) as first, Client(first.url) as client:
        assert client.ready()
    port = urlsplit(first.url).port

    with start(spec, toy_python, port=port) as second:
        assert second.url == first.url
        assert ask(second.url, "GET", "/health/ready").status == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_the_other_loopback_works(spec: ReplicaSpec, start: Callable[..., Server]) -> None:
    """`::1` is loopback too, written in brackets."""
    try:
        server = start(spec, host="::1")
    except Unavailable:
        pytest.skip("this machine has no ::1")

    with server, Client(server.url) as client:
        assert server.url.startswith("http://[::1]:")
        assert client.ready()


def test_a_replica_that_is_killed_is_replaced(
    spec: ReplicaSpec, start: Callable[..., Server], toy_python: Path
) -> None:
    """Who waits for a server learns that it still runs, which replica died of what, and what came then."""
    heard: list[str] = []
    with start(spec, toy_python) as server, Client(server.url) as client:
        with pytest.raises(TimeoutError, match="still runs"):
            server.wait(0.01)
        waiting = threading.Thread(target=server.wait, kwargs={"news": heard.append})
        waiting.start()
        (first,) = server.pids

        os.kill(first, signal.SIGKILL)
        until(lambda: len(heard) == 2)

        assert client.ready()
        assert server.pids != [first]
        server.stop()
        waiting.join()

    assert re.fullmatch(r"replica 1 of diagnosis@1 died: .* SIGKILL .*; another one is started now", heard[0])
    assert re.fullmatch(r"replica 2 of diagnosis@1 answers, .* s after its start", heard[1])


def test_a_supervisor_that_is_killed_is_started_again(
    spec: ReplicaSpec, start: Callable[..., Server], toy_python: Path
) -> None:
    """Who waits for a server brings its supervisor back; the replica has gone on answering all the time."""
    heard: list[str] = []
    with start(spec, toy_python) as server, Client(server.url) as client:
        first, replicas = server.pid, server.pids
        waiting = threading.Thread(target=server.wait, kwargs={"news": heard.append})
        waiting.start()

        os.kill(first, signal.SIGKILL)
        until(lambda: len(heard) == 1)

        assert client.ready()
        until(lambda: answers(server))
        assert server.pid != first
        assert server.pids == replicas
        assert server.stop() == 0
        waiting.join()

    assert re.fullmatch(
        r"the supervisor of diagnosis@1 has ended .* SIGKILL .*; another one goes on", heard[0]
    )


def test_a_server_dies_with_its_starter(spec: ReplicaSpec, toy_python: Path, tmp_path: Path) -> None:
    """When the process that started it is killed outright, supervisor, replica and folder are gone too."""
    spec.write(tmp_path / "given.json")
    engine = """
        import sys
        from pathlib import Path
        from mlwright.serving import ReplicaSpec, start
        folder = Path(sys.argv[1])
        server = start(ReplicaSpec.read(folder / "given.json"), Path(sys.argv[2]), folder=folder)
        print(server.pid, *server.pids, flush=True)
        server.wait()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(engine), str(tmp_path), str(toy_python)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        started = [int(each) for each in process.stdout.readline().split()]

        process.kill()

    assert [ended(each) for each in started] == [True, True]
    until(lambda: not list(tmp_path.glob("serve-*")))


def test_an_environment_without_mlwright_is_enough(
    spec: ReplicaSpec, start: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica's environment lacks mlwright, and the caller's Python variables do not reach it."""
    venv.create(tmp_path / "env", with_pip=False)
    packages = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    # A path file of a path file is not read, so that the editable mlwright stays out of sight.
    ours = Path(pytest.__file__).parents[1]
    (packages / "ours.pth").write_text(f"{ours}\n")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    python = tmp_path / "env" / "bin" / "python"
    alone = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    probe = subprocess.run([str(python), "-c", "import mlwright"], env=alone, capture_output=True, text=True)

    with start(spec, python) as server:
        answered = post(server.url, {"rows": [spec.models[0].signature.example.input]})

    assert "No module named 'mlwright'" in probe.stderr
    assert answered.json["predictions"] == [spec.models[0].signature.example.output]
