"""The doors of trials: `environments try`, `--try`, `bisect`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import mlwright, write
from tests.environments.conftest import Index, Small

Make = Callable[..., Small]

PIPELINE = """
from mlwright import pipeline, step

@step
def tell() -> str:
    import two
    if two.VERSION == "3.0":
        raise ValueError("two is too new")
    return two.VERSION

@pipeline
def p():
    tell()
"""


@pytest.fixture
def project(make: Make, index: Index) -> Path:
    """A project whose pipeline ran with `two` 1.0; there is a version 3.0 that breaks it."""
    index.add("two", "3.0")
    small = make("two<2")
    write(small.root, {"pipelines/p.py": PIPELINE})
    assert mlwright("run", "p", cwd=small.root).returncode == 0
    return small.root


def test_what_is_tried_is_told_and_changes_nothing(project: Path) -> None:
    """The outputs that differ, and the command that takes it."""
    before = (project / "pyproject.toml").read_bytes(), (project / "uv.lock").read_bytes()

    done = mlwright("environments", "try", "two==2.0", cwd=project)

    assert done.returncode == 0, done.stderr
    assert "tell  result" in done.stdout
    assert 'take it: mlwright environments add "two==2.0"' in done.stdout
    assert before == ((project / "pyproject.toml").read_bytes(), (project / "uv.lock").read_bytes())


def test_a_change_that_breaks_the_project_is_not_made(project: Path) -> None:
    """`--try` ends with 1 and leaves both files; what does not break anything is taken."""
    before = (project / "pyproject.toml").read_bytes(), (project / "uv.lock").read_bytes()

    broken = mlwright("environments", "add", "two>=3", "--try", cwd=project)
    tried = mlwright("environments", "try", "two>=3", cwd=project)

    assert (broken.returncode, tried.returncode) == (1, 1)
    assert "add two>=3 breaks the project" in broken.stderr
    assert "two is too new" in broken.stderr
    assert before == ((project / "pyproject.toml").read_bytes(), (project / "uv.lock").read_bytes())

    taken = mlwright("environments", "add", "two==2.0", "--try", "--json", cwd=project)

    assert taken.returncode == 0, taken.stderr
    assert "two==2.0" in (project / "pyproject.toml").read_text()


def test_a_change_that_nothing_tried_is_not_made(make: Make) -> None:
    """Without tests, and without a pipeline that succeeded, nothing says that it does not break."""
    root = make("two<2").root
    before = (root / "pyproject.toml").read_bytes()

    tried = mlwright("environments", "try", "two==2.0", cwd=root)
    refused = mlwright("environments", "add", "two==2.0", "--try", cwd=root)

    assert (tried.returncode, refused.returncode) == (1, 1)
    assert "nothing was run" in tried.stdout
    assert "nothing broke" not in tried.stdout
    assert "add two==2.0 was not tried" in refused.stderr
    assert (root / "pyproject.toml").read_bytes() == before


def test_the_package_is_named_that_changed_a_result(project: Path) -> None:
    """Between two runs, as text and as JSON; without a package that matters it ends with 1."""
    assert mlwright("environments", "add", "two==2.0", cwd=project).returncode == 0
    assert mlwright("run", "p", cwd=project).returncode == 0

    said = mlwright("environments", "bisect", "latest~1", "latest", cwd=project)
    told = mlwright("environments", "bisect", "latest~1", "latest", "--json", cwd=project)
    planned = mlwright("environments", "bisect", "latest~1", "latest", "--dry-run", cwd=project)

    assert said.returncode == 0, said.stderr
    assert "1 package differs" in said.stdout
    assert "two 1.0 -> 2.0" in said.stdout
    assert [each["name"] for each in json.loads(told.stdout)["suspects"]] == ["two"]
    assert "try  two  1.0 -> 2.0" in planned.stdout
