"""A project whose records are in PostgreSQL: the same commands, a server that goes away, and a way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import Maker, mlwright
from tests.postgres import Postgres, postgres

__all__ = ["postgres"]

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
    from mlwright import log_metric, pipeline, step

    @step
    def one(number: int, before: int) -> int:
        log_metric("number", number, step=number)
        return number + before

    @pipeline
    def chain():
        value = 0
        for number in range(60):
            value = one(number, value)
"""


def use(root: Path, url: str) -> None:
    """Let a project have its records there."""
    shutil.rmtree(root / ".mlwright")
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'database = "{url}"\n')


def test_a_project_with_its_records_in_postgresql(postgres: Postgres, make_project: Maker) -> None:
    """Data goes in, a pipeline runs, all is found again; a backup comes back with the server or without."""
    root = make_project({"pipelines/flow.py": PIPELINE, "patients.csv": "id,Größe\n1,40\n2,50\n"})
    use(root, postgres.make(schema=False))

    def do(*arguments: str, cwd: Path = root) -> str:
        done = mlwright(*arguments, cwd=cwd)
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
