"""A real `mlwright up`, and a client that speaks HTTP to it by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from mlwright.server.running import running
from tests.conftest import COMMAND, PYPROJECT, write

DEADLINE_S = 30
API = "/api/2.0/mlflow/"


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refused(self) -> tuple[int, str]:
        """The status and the code of an error."""
        return self.status, self.json["error_code"]

    @property
    def message(self) -> str:
        return str(self.json["message"])


class Up:
    """A running `mlwright up`, and one connection to it.

    Args:
        project: the folder that it is started in.
        arguments: of `up`.
        command: what is started.
        variables: of its environment.
    """

    def __init__(
        self,
        project: Path,
        *arguments: str,
        command: Sequence[str] = (str(COMMAND),),
        **variables: str,
    ) -> None:
        self.process = subprocess.Popen(
            [*command, "up", "--json", *(arguments or ("--port", "0"))],
            cwd=project,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        told = ""
        while not told.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            told += line
        self.url = str(json.loads(told)["url"])
        self.login = str(json.loads(told)["login"])
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        left = running(project / ".mlwright" / "local")
        self.token = left.token if left else ""
        self._connection: HTTPConnection | None = None

    def connect(self) -> HTTPConnection:
        """A connection of its own."""
        return HTTPConnection(self.host, self.port, timeout=DEADLINE_S)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Answered:
        """One request, on the connection that is kept."""
        self._connection = self._connection or self.connect()
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        answered = Answered(response.status, named, response.read())
        if response.will_close:
            self._connection.close()
        return answered

    def post(self, path: str, body: Any = None, **headers: str) -> Answered:
        """Send JSON to a method of MLflow's; bytes and text as they are."""
        if not isinstance(body, bytes | str):
            body = json.dumps({} if body is None else body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", API + path, body, {"content-type": "application/json", **named})

    def get(self, path: str, **query: Any) -> Answered:
        """Ask a method of MLflow's."""
        asked = f"?{urlencode(query, doseq=True)}" if query else ""
        return self.ask("GET", API + path + asked)

    def experiment(self, name: str) -> str:
        """A new experiment's id."""
        return str(self.post("experiments/create", {"name": name}).json["experiment_id"])

    def run(self, experiment: str = "0", **asked: Any) -> str:
        """A new run's id."""
        made = self.post("runs/create", {"experiment_id": experiment, "start_time": 1_000, **asked})
        return str(made.json["run"]["info"]["run_id"])

    def data(self, run: str) -> dict[str, Any]:
        """What was reported of a run: metrics by name with all that is told of them, params and tags by
        name."""
        data = self.get("runs/get", run_id=run).json["run"]["data"]
        return {
            "metrics": {each["key"]: each for each in data.get("metrics", [])},
            "params": {each["key"]: each["value"] for each in data.get("params", [])},
            "tags": {each["key"]: each["value"] for each in data.get("tags", [])},
        }

    def hang_up(self) -> None:
        """Let go of the connection that is kept: a server ends one that was long unused."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def ended(self) -> int:
        """Its exit status, when it has ended by itself."""
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without packages."""
    return write(tmp_path_factory.mktemp("server") / "small", {"pyproject.toml": PYPROJECT})


@pytest.fixture(scope="module")
def up(project: Path) -> Iterator[Up]:
    """A server that all tests of a file share."""
    server = Up(project)
    yield server
    server.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts servers of one project: `start("--port", "0")`."""
    root = write(tmp_path / "small", {"pyproject.toml": PYPROJECT})
    started: list[Up] = []

    def go(*arguments: str, **variables: str) -> Up:
        started.append(Up(root, *arguments, **variables))
        return started[-1]

    yield go
    for server in started:
        if server.process.poll() is None:
            server.signal(signal.SIGKILL)
        server.close()
