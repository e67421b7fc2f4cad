"""`mlwright up`: begun, asked by whom it may, ended."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.server.problems import Refusal
from mlwright.server.protocols.mlflow.errors import told
from tests.conftest import COMMAND, mlwright
from tests.processes import until
from tests.server.conftest import API, DEADLINE_S, Up

Start = Callable[..., Up]


def refused(up: Up) -> bool:
    """Whether nobody listens any more."""
    try:
        socket.create_connection((up.host, up.port), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False


def half_sent(up: Up, body: bytes) -> socket.socket:
    """A request of which the server has taken the head, and waits for the body."""
    stream = socket.create_connection((up.host, up.port), timeout=DEADLINE_S)
    head = (
        f"POST {API}experiments/create HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nexpect: 100-continue\r\n\r\n"
    )
    stream.sendall(head.encode())
    assert stream.recv(100).startswith(b"HTTP/1.1 100 ")
    return stream


def test_it_tells_the_address_in_one_line(project: Path) -> None:
    """People get one line with what to set for MLflow's clients."""
    process = subprocess.Popen(
        [str(COMMAND), "up", "--port", "0"], cwd=project, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None

    line, login = process.stdout.readline(), process.stdout.readline()
    process.terminate()
    rest, _ = process.communicate(timeout=DEADLINE_S)

    url = line.rstrip().rpartition("MLFLOW_TRACKING_URI=")[2]
    assert line == f"mlwright answers at {url} (stop: Ctrl-C): export MLFLOW_TRACKING_URI={url}\n"
    assert url.startswith("http://127.0.0.1:")
    assert login.startswith(f"log in with a browser, once, within 10 minutes: {url}/login?key=mlw_")
    assert (rest, process.returncode) == ("stopped\n", 0)


def test_a_dry_run_only_tells(project: Path) -> None:
    """`--dry-run` shows the address, and nothing listens."""
    told = mlwright("up", "--dry-run", "--port", "5123", cwd=project)

    assert told.returncode == 0
    assert "add  http://127.0.0.1:5123" in told.stdout


def test_a_taken_port_is_said_in_one_message(project: Path) -> None:
    """A port that somebody has is named, with what to type."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = mlwright("up", "--port", str(port), cwd=project)

    assert told.returncode == 6
    assert told.stderr.splitlines() == [
        f"error: port {port} of 127.0.0.1 is taken",
        "hint: choose another: --port 0 takes a free one",
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_addresses_that_others_reach_are_refused(project: Path, host: str) -> None:
    """Without anybody who could prove who they are it answers on loopback alone, and says what to do."""
    told = mlwright("up", "--host", host, cwd=project)

    assert told.returncode == 2
    assert told.stderr.splitlines() == [
        f"error: {host} can be reached from outside, and nobody could prove there who they are",
        "hint: make a token first: mlwright tokens create NAME --role admin",
    ]


def test_a_name_is_no_address(project: Path) -> None:
    """What a name leads to is not looked up: it may lead elsewhere tomorrow."""
    told = mlwright("up", "--host", "example.org", cwd=project)

    assert told.returncode == 2
    assert told.stderr.startswith("error: --host example.org is no address of this machine")


def test_a_workspace_has_one_server(start: Start) -> None:
    """A second `up` of the same workspace says so, also after the first was killed and replaced."""
    first = start()
    root = Path(f"/proc/{first.process.pid}/cwd").resolve()

    told = mlwright("up", "--port", "0", cwd=root)
    first.signal(signal.SIGKILL)
    first.ended()
    second = start()

    assert told.returncode == 4
    assert told.stderr.startswith(
        f"error: this workspace is being answered from, by process {first.process.pid}"
    )
    assert second.ask("GET", "/health").body == b"OK"


def test_sigterm_answers_what_was_taken(start: Start) -> None:
    """A request that has begun when the server is told to end is answered, and what it said is kept."""
    up = start()
    body = b'{"name": "last words"}'

    with half_sent(up, body) as stream:
        up.signal(signal.SIGTERM)
        until(lambda: refused(up))
        stream.sendall(body)
        answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))
    status = up.ended()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert status == 0
    again = start()
    assert again.get("experiments/get-by-name", experiment_name="last words").status == 200


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    """Who asks twice does not wait for requests that go on."""
    up = start()

    with half_sent(up, b"{}"):
        up.signal(signal.SIGTERM)
        until(lambda: refused(up))
        up.signal(signal.SIGTERM)
        status = up.ended()

    assert status == -signal.SIGTERM


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:5000", "127.8.8.8", "[::1]:5000"])
def test_names_of_this_machine_are_answered(up: Up, host: str) -> None:
    """Whatever loopback name the client used, it is answered."""
    assert up.ask("GET", "/health", headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["example.org", "localhost.example.org", "192.0.2.1:5000", "", "127.0.0.1:5000x", "[::1", "0.0.0.0"],
)
def test_other_names_are_refused(up: Up, host: str) -> None:
    """A page cannot reach the server by a name of its own that leads here (DNS rebinding)."""
    answer = up.ask("GET", "/health", headers={"host": host})

    assert answer.status == 403


@pytest.mark.parametrize("origin", ["http://example.org", "null", "http://localhost:1", "https://127.0.0.1"])
def test_a_page_of_another_site_changes_nothing(up: Up, origin: str) -> None:
    """A change that a browser sends for a page of another site is refused; our own page's is not."""
    answer = up.post("experiments/create", {"name": f"by {origin}"}, origin=origin)
    own = up.post("experiments/create", {"name": f"not by {origin}"}, origin=f"http://{up.host}:{up.port}")

    assert answer.refused == (403, "PERMISSION_DENIED")
    assert up.get("experiments/get-by-name", experiment_name=f"by {origin}").status == 404
    assert own.status == 200


def test_a_form_changes_nothing(up: Up) -> None:
    """What a browser sends without asking (a form, plain text) is not taken as JSON."""
    answer = up.post("experiments/create", b'{"name": "form"}', content_type="text/plain")

    assert answer.refused == (400, "INVALID_PARAMETER_VALUE")
    assert "Content-Type" in answer.message


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "INVALID_PARAMETER_VALUE"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")],
)
def test_only_what_somebody_may_not_do_is_told_as_denied(status: int, code: str) -> None:
    """A refusal has MLflow's code for its status, and the status that it has elsewhere."""
    answer = told(Refusal(status, "why"))

    assert (answer.status_code, json.loads(bytes(answer.body))["error_code"]) == (status, code)


def test_what_is_not_answered_says_so(up: Up) -> None:
    """Methods outside tracking and registry are not implemented; unknown paths and methods are named."""
    traces = up.ask("POST", "/api/3.0/mlflow/traces", "{}")
    unknown = up.get("nothing/here")
    method = up.get("experiments/create")

    assert traces.refused == (501, "NOT_IMPLEMENTED")
    assert unknown.refused == (404, "ENDPOINT_NOT_FOUND")
    assert "/api/2.0/mlflow/nothing/here" in unknown.message
    assert method.refused == (405, "ENDPOINT_NOT_FOUND")


@pytest.mark.parametrize("place", ["/api/2.0", "/api/3.0", "/ajax-api/2.0", "/ajax-api/3.0"])
def test_each_place_of_the_protocol_is_answered(up: Up, place: str) -> None:
    """Clients ask below `/api`, pages below `/ajax-api`, in both versions."""
    answer = up.ask("GET", f"{place}/mlflow/experiments/get?experiment_id=0")

    assert answer.json["experiment"]["name"] == "Default"
