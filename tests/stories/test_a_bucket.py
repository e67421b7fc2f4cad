"""A project whose objects are in a bucket: the same commands, and a disk that may be lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import Maker, mlwright
from tests.s3 import KEY, SECRET, Place, s3, s3_server

__all__ = ["s3", "s3_server"]

PIPELINE = """
    from mlwright import Dataset, pipeline, step

    @step
    def load(table: Dataset) -> list:
        with table.open() as file:
            return [line.strip().decode() for line in file][1:]

    @step
    def large(rows: list) -> bytes:
        return "".join(rows).encode() * 20_000

    @step
    def count(rows: list, many: bytes) -> dict:
        return {"rows": len(rows), "bytes": len(many)}

    @pipeline
    def flow(data: Dataset = Dataset("patients@latest")):
        rows = load(data)
        count(rows, large(rows))
"""


def test_a_project_with_its_objects_in_a_bucket(s3: Place, make_project: Maker) -> None:
    """Data goes in, a pipeline runs, this disk loses its cache: everything is read again from the bucket."""
    root = make_project({"pipelines/flow.py": PIPELINE, "patients.csv": "id,age\n1,40\n2,50\n"})
    shutil.rmtree(root / ".mlwright")
    with (root / "pyproject.toml").open("a") as settings:
        settings.write(f'objects = "{s3.url}"\n')

    def do(*arguments: str) -> str:
        done = mlwright(*arguments, cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert KEY not in done.stdout + done.stderr
        return done.stdout

    do("datasets", "add", "patients.csv", "--name", "patients")
    do("run", "flow")
    first = json.loads(do("runs", "show", "latest", "--json"))
    assert not (root / ".mlwright" / "objects").exists()
    assert len(list(s3.bucket().keys("objects/"))) >= 4

    shutil.rmtree(root / ".mlwright" / "local")

    do("datasets", "verify", "patients@1")
    do("datasets", "checkout", "patients@1", "again.csv")
    assert (root / "again.csv").read_text() == "id,age\n1,40\n2,50\n"
    assert "reused" in do("run", "flow")
    assert "identical" in do("runs", "reproduce", "latest~1")
    do("workspace", "verify")
    assert str(s3.address) in do("workspace", "show")
    secrets = [path for path in (root / ".mlwright").rglob("*") if path.is_file() and _holds_secret(path)]
    assert secrets == []
    assert first["run"]["state"] == "succeeded"


def _holds_secret(path: Path) -> bool:
    data = path.read_bytes()
    return SECRET.encode() in data or KEY.encode() in data
