"""A change of which nobody knows whether it is there is not made twice by MLflow's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from mlwright.app import Project
from mlwright.kernel.database import Transaction
from mlwright.kernel.errors import FateUnknown
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server.app import App
from mlwright.server.identity import Admission
from mlwright.server.tokens import digest_of_secret, new_secret
from tests.conftest import PYPROJECT, write
from tests.mlflow import run_client
from tests.wire.answering import answering

BEGIN = """
import json
from mlflow import MlflowClient
from mlflow.exceptions import RestException

client = MlflowClient()
try:
    client.create_run("0", run_name="once")
    told = {}
except RestException as error:
    told = {"code": error.error_code, "message": error.message}
print(json.dumps(told | {"runs": [run.info.run_name for run in client.search_runs(["0"])]}))
"""


@contextmanager
def answered(project: Project, paths: list[str]) -> Iterator[str]:
    """A server on a project; yields its address, and notes the path of each request."""
    app = App(project, Admission("owner", digest_of_secret(new_secret()), False, True, "mlwright_fate"))

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await app(scope, receive, send)

    with answering(noted) as there:
        yield f"http://127.0.0.1:{there.port}"


def test_a_run_whose_fate_is_unknown_is_not_begun_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client asks once, and its user is told to look whether the run is there."""
    committed, paths = SqliteDatabase.transaction, list[str]()

    @contextmanager
    def transaction(database: SqliteDatabase) -> Iterator[Transaction]:
        with committed(database) as tx:
            yield tx
        raise FateUnknown("the answer is lost", hint="look whether it is there")

    root = write(tmp_path / "small", {"pyproject.toml": PYPROJECT})
    with Project.open(root) as project, answered(project, paths) as url:
        monkeypatch.setattr(SqliteDatabase, "transaction", transaction)
        done = run_client(BEGIN, url, tmp_path)
        monkeypatch.undo()

    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert [path for path in paths if path.endswith("runs/create")] == ["/api/2.0/mlflow/runs/create"]
    assert told["runs"] == ["once"]
    assert told["code"] == "ABORTED"
    assert "look whether it is there" in told["message"]
