"""A project whose records are in PostgreSQL: the same commands, a server that goes away, and a way back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.conftest import COMMAND, Maker, installed
from tests.postgres import Postgres
from tests.processes import environment, until

PIPELINE = """
    from mlwright import Dataset, log_metric, pipeline, step

    @step
    def load(table: Dataset) -> list:
        with table.open() as file:
            return [line.strip().decode() for line in file][1:]

    @step
    def count(rows: list) -> dict:
        for number, _ in enumerate(rows):
            log_metric("seen", number, step=number)
        return {"rows": len(rows)}

    @pipeline
    def flow(data: Dataset = Dataset("patients@latest")):
        count(load(data))
"""
MANY = """
    import time
    from pathlib import Path
    from mlwright import log_metric, pipeline, step

    @step
    def one(number: int, before: int, marks: str) -> int:
        while not Path(marks, str(number // 3)).exists():
            time.sleep(0.002)
        log_metric("number", number, step=number)
        return number + before

    @pipeline
    def chain(marks: str, restarts: int):
        value = 0
        for number in range(3 * restarts):
            value = one(number, value, marks)
"""


TIMES = 20 if os.environ.get("MLWRIGHT_SOAK") else 2


def use(root: Path, url: str) -> None:
    """Let a project have its records there."""
    shutil.rmtree(root / ".mlwright")
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'database = "{url}"\n')


def test_a_project_with_its_records_in_postgresql(postgres: Postgres, make_project: Maker) -> None:
    """Data goes in, a pipeline runs, all is found again; a backup comes back with a server and without."""
    root = make_project({"pipelines/flow.py": PIPELINE, "patients.csv": "id,Größe\n1,40\n2,50\n"})
    use(root, postgres.make(schema=False))

    def do(*arguments: str, cwd: Path = root) -> str:
        done = installed(*arguments, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    do("datasets", "add", "patients.csv", "--name", "patients", "-m", "first export of the clinic")
    do("run", "flow")
    assert not (root / ".mlwright" / "metadata.db").exists()

    (run,) = json.loads(do("runs", "list", "--json"))
    assert run["state"] == "succeeded"
    assert len(json.loads(do("runs", "list", "--metric", "seen>0", "--json"))) == 1
    assert "reused" in do("run", "flow")
    assert "[Größe]" in do("datasets", "search", "größe")
    assert "patients@1" in do("datasets", "search", "clinic exp")
    assert "patients@1" in do("lineage", "latest")
    assert "identical" in do("runs", "reproduce", "latest")
    assert "records in postgresql://" in do("doctor")
    assert "postgresql://" in do("workspace", "show")
    do("gc")
    do("workspace", "verify")

    backup = root.parent / "backup"
    do("workspace", "backup", str(backup))
    do("workspace", "verify", str(backup))
    told = do("workspace", "restore", str(backup), str(root.parent / "again"))
    assert "the records are in this folder" in told
    listed = do("runs", "list", cwd=root.parent / "again")
    assert listed == do("runs", "list")

    settings = root / "pyproject.toml"
    settings.write_text(settings.read_text().replace("database =", f'database = "{postgres.make()}" #'))
    shutil.move(root / ".mlwright", root.parent / "lost")
    do("workspace", "restore", str(backup))
    do("workspace", "verify")
    assert do("runs", "list") == listed
    assert "reused" in do("run", "flow")


@pytest.mark.soak
def test_a_run_survives_restarts_of_the_server(postgres: Postgres, make_project: Maker) -> None:
    """While a pipeline goes on, its database goes away and comes back: the run ends as if nothing was."""
    if postgres.server is None:
        pytest.skip("the server is not ours to restart")
    root = make_project({"pipelines/many.py": MANY})
    url = postgres.make()
    use(root, url)
    marks = root.parent / "marks"
    marks.mkdir()
    run = subprocess.Popen(
        [str(COMMAND), "run", "chain", "-p", f"marks={marks}", "-p", f"restarts={TIMES}"],
        cwd=root,
        env=environment({"CI": "true"}),
        stdout=-1,
        stderr=-1,
        text=True,
    )

    # Three steps are let go for each restart: one is recorded before, and the others meanwhile.
    for number in range(TIMES):
        (marks / str(number)).touch()
        until(lambda least=3 * number: run.poll() is not None or _now(url) > least)
        postgres.server.restart(signal.SIGQUIT if number % 2 else signal.SIGINT)
    said, complained = run.communicate(timeout=120)

    assert run.returncode == 0, said + complained
    (listed,) = json.loads(installed("runs", "list", "--json", cwd=root).stdout)
    assert listed["state"] == "succeeded"
    with psycopg.connect(url) as look:
        assert _attempts(look) == 3 * TIMES
    assert installed("workspace", "verify", cwd=root).returncode == 0


def _attempts(connection: psycopg.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM attempt WHERE state = 'succeeded'").fetchone()
    return int(count)


def _now(url: str) -> int:
    with psycopg.connect(url) as look:
        return _attempts(look)
