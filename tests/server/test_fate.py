"""A change of which nobody knows whether it is there is not made twice by MLflow's client."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

from mlwright.kernel.database import Transaction, all_migrations
from mlwright.kernel.errors import FateUnknown
from mlwright.kernel.ids import new_id
from mlwright.kernel.settings import ProjectFolder, Settings
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server.app import App
from mlwright.storage.memory import MemoryObjects
from mlwright.workflow import open_rooms
from mlwright.workspace import Workspace
from tests.mlflow import run_client
from tests.processes import until
from tests.storage.conftest import over

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


class Losing(SqliteDatabase):
    """A database that commits what clients report, and then loses the answer."""

    losing = False

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as tx:
            yield tx
        if self.losing:
            raise FateUnknown("the answer is lost", hint="look whether it is there")


@contextmanager
def answered(database: SqliteDatabase, folder: Path, paths: list[str]) -> Iterator[str]:
    """A server on a database; yields its address, and notes the path of each request."""
    workspace = Workspace(new_id(), database, over(MemoryObjects(), database), folder / "local")
    app = App(open_rooms(ProjectFolder(folder, "small", Settings()), workspace))

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            paths.append(scope["path"])
        await app(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(noted, port=0, lifespan="on", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, within_s=30)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def test_a_run_whose_fate_is_unknown_is_not_begun_twice(tmp_path: Path) -> None:
    """MLflow's client asks once, and its user is told to look whether the run is there."""
    database, paths = Losing(tmp_path / "records.db"), list[str]()
    database.migrate(all_migrations())

    with answered(database, tmp_path, paths) as url:
        database.losing = True
        done = run_client(BEGIN, url, tmp_path)

    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert [path for path in paths if path.endswith("runs/create")] == ["/api/2.0/mlflow/runs/create"]
    assert told["runs"] == ["once"]
    assert told["code"] == "ABORTED"
    assert "look whether it is there" in told["message"]
