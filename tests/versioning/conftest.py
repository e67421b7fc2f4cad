"""A workspace without packages, and what the versioning tests put into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.settings import find_project
from mlwright.storage import Places
from mlwright.storage.inline import put_inline
from mlwright.tracking import Reports, Run
from mlwright.tracking.files import Files
from mlwright.versioning import Artifact, Datasets, Models, Snapshots, Version, add_artifact, artifacts_of
from mlwright.workspace import Workspace, open_workspace
from tests.conftest import PYPROJECT as EMPTY_ENVIRONMENT
from tests.conftest import lock_project, write

PYPROJECT = '[project]\nname = "small"\nversion = "0"\n\n[tool.mlwright]\n'
TABLE = "age,ill\n41,0\n63,1\n"

SIGNATURE = {
    "inputs": [{"name": "age", "type": "integer", "minimum": 41, "maximum": 63}],
    "output": {"type": "integer", "classes": [0, 1]},
    "probabilities": True,
    "example": {"input": {"age": 41}, "output": 0},
}


def made(tx: Transaction, digest: str, codec: str = "json") -> Artifact:
    """An artifact that is only a row: for tests that never read its bytes."""
    return add_artifact(
        tx, codec=codec, type_text="dict", digest=Digest(digest), size_bytes=2, about={}, ours=True
    )


def digest(beginning: str) -> str:
    """A digest that begins so."""
    return beginning.ljust(64, "0")


def snapshots_of(workspace: Workspace, root: Path, *ignore: str) -> Snapshots:
    """The code of a folder, kept in a workspace."""
    return Snapshots(workspace.database, workspace.objects, root, ignore, Places(workspace.local / "code"))


PIPELINE = '''
from mlwright import Dataset, log_metric, pipeline, step
from mlwright.steps import gate

@step
def read(data: Dataset) -> list[str]:
    return data.open().read().decode().splitlines()

@step
def widen(lines: list[str]) -> bytes:
    return "".join(lines).encode() * 500

@step
def score(lines: list[str], wide: bytes) -> dict[str, float]:
    print("scoring", len(lines))
    log_metric("bytes", len(wide))
    return {"lines": len(lines)}

@pipeline
def count(data: Dataset = Dataset("patients@latest")):
    """Count lines."""
    lines = read(data)
    gate(score(lines, widen(lines)), "lines > 1")
'''


@contextmanager
def counted(folder: Path) -> Iterator[Project]:
    """A project whose pipeline read a dataset in one run, and a model that came of it."""
    write(folder, {"pyproject.toml": EMPTY_ENVIRONMENT, "pipelines/p.py": PIPELINE, "patients.csv": TABLE})
    with Project.open(folder) as project:
        lock_project(project)
        project.datasets.add(folder / "patients.csv", "patients", message="first")
        register(project, project.run("count"), "score")
        yield project


def store_files(project: Project) -> dict[str, bytes]:
    """A small file and a large one of a run that is reported from outside, by their places."""
    database = project.rooms.database
    files = Files(project.rooms.objects)
    with database.transaction() as tx:
        run = Reports().begin(tx, experiment=0, name="elsewhere", started_us=5, tags={})
    stored = {"note.txt": b"short", "plots/roc.png": b"long" * 5_000}
    for name, data in stored.items():
        with files.upload() as upload:
            upload.write(data)
            received = upload.put()
        with database.transaction() as tx:
            files.put(tx, f"0/{run.id}/artifacts/{name}", received)
    return {f"0/{run.id}/artifacts/{name}": data for name, data in stored.items()}


def register(project: Project, run: Run, node: str) -> Version:
    """Register what a step of a run gave as a version of the model `lines`, as `register` would."""
    rooms = project.rooms
    attempt = next(each for each in rooms.attempts.of_run(run.id) if each.node == node)
    (model,) = artifacts_of(rooms.database, attempt.id).values()
    with rooms.database.transaction() as tx:
        signature = made(tx, put_inline(tx, json.dumps(SIGNATURE).encode()).digest)
        version, _ = rooms.models.record(
            tx,
            "lines",
            model,
            signature=signature,
            signature_value=SIGNATURE,
            scores=model,
            metrics={"lines": 3},
            parameters=rooms.runs.parameters(run.id),
            run=run.end,
            message="",
        )
    return version


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a project."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


@pytest.fixture
def workspace(root: Path) -> Iterator[Workspace]:
    """The project's workspace, opened."""
    opened = open_workspace(find_project(root))
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Workspace]:
    """The workspace of another, empty project."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    opened = open_workspace(find_project(folder))
    yield opened
    opened.close()


def datasets_of(workspace: Workspace) -> Datasets:
    """The datasets of a workspace."""
    places = Places(workspace.local / "places")
    return Datasets(workspace.database, workspace.objects, places, workspace.local.parent.parent)


@pytest.fixture
def datasets(workspace: Workspace) -> Datasets:
    """Its datasets."""
    return datasets_of(workspace)


@pytest.fixture
def models(workspace: Workspace) -> Models:
    """Its models."""
    return Models(workspace.database)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of two rows."""
    path = tmp_path / "patients.csv"
    path.write_text(TABLE)
    return path
