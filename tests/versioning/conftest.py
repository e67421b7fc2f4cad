"""A workspace without packages, and what the versioning tests put into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.settings import find_project
from mlwright.versioning import Artifact, Datasets, Models, Snapshots, add_artifact
from mlwright.workspace import Workspace, open_workspace

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
    memory = workspace.local / "snapshot-memory.json"
    return Snapshots(workspace.database, workspace.objects, root, ignore, memory)


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
def datasets(workspace: Workspace) -> Datasets:
    """Its datasets."""
    return Datasets(workspace.database, workspace.objects)


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
