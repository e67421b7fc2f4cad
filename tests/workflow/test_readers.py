"""Which interpreter reads tables."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from mlwright.app import Project
from mlwright.workflow.readers import python_for_tables
from tests.conftest import PYPROJECT, Maker, mlwright, write


def test_without_a_lock_or_the_library_in_it_ours_reads(make_project: Maker, tmp_path: Path) -> None:
    """A project that is not locked, or locked without pyarrow, is read by the interpreter of mlwright."""
    locked = make_project({})
    shutil.rmtree(locked / ".mlwright" / "local" / "environments")  # it was built there
    bare = write(tmp_path / "bare", {"pyproject.toml": PYPROJECT})

    for root in (locked, bare):
        with Project.open(root) as project:
            assert python_for_tables(project.environments) == Path(sys.executable)
            assert not list((project.rooms.workspace.local / "environments").glob("*"))


def test_the_projects_own_environment_reads_once_it_is_built(tmp_path: Path) -> None:
    """With pyarrow in the lock it is the project's, if it is there; it is not built while ours can read."""
    files = {
        "pyproject.toml": PYPROJECT.replace("dependencies = []", 'dependencies = ["pyarrow>=20"]'),
        "t.csv": "a\n1\n2\n",
    }
    root = write(tmp_path / "project", files)
    with Project.open(root) as project:
        project.environments.lock()
        before = python_for_tables(project.environments)
        built = project.environments.build(project.environments.current()).python
        after = python_for_tables(project.environments)
    mlwright("datasets", "add", "t.csv", "--name", "t", cwd=root)

    told = json.loads(mlwright("datasets", "show", "t", "--json", cwd=root).stdout)

    assert before == Path(sys.executable)
    assert after == built
    assert built.is_relative_to(root)
    assert told["tables"][0]["rows"] == 2
