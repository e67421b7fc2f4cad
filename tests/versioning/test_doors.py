"""Doors: `datasets` and `models` as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mlwright.app import Project
from tests.conftest import mlwright
from tests.versioning.conftest import counted


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a dataset, a run that read it, and a model that came of it."""
    with counted(tmp_path_factory.mktemp("doors")) as opened:
        yield opened


def test_a_model_is_shown_with_all_that_is_behind_it(project: Project) -> None:
    """`models show` names aliases, metrics, signature, code, data, environment, parameters and run."""
    shown = mlwright("models", "show", "lines", cwd=project.root).stdout
    detail = json.loads(mlwright("models", "show", "lines@1", "--json", cwd=project.root).stdout)

    run = project.runs.get("latest")
    assert shown.startswith("model lines@1  (champion)\n")
    for part in (
        "lines  3",
        "signature  1 input -> integer, one of 0, 1",
        "age  integer  41 to 63",
        "patients@1 as `patients",
        "no Git commit",
        "environment b3:",
        f"run {run.id[:10]} of count (succeeded)",
    ):
        assert part in shown
    assert detail["run"] == run.id
    assert detail["signature"]["example"] == {"input": {"age": 41}, "output": 0}


def test_an_alias_is_planned_then_moved(project: Project) -> None:
    """`models alias` says from where to where with --dry-run, moves without it, and keeps why."""
    planned = mlwright("models", "alias", "lines@1", "stable", "--dry-run", cwd=project.root).stdout
    before = project.models.versions.aliases("lines")

    moved = mlwright("models", "alias", "lines@1", "stable", "-m", "it holds", cwd=project.root).stdout
    refused = mlwright("models", "alias", "lines@1", "latest", cwd=project.root)

    assert planned == "plan: alias\n  move  lines@stable  nothing -> lines@1\n"
    assert moved == planned.removeprefix("plan: ")
    assert set(before) == {"champion"}
    assert project.models.versions.alias_moves("lines")[0].reason == "it holds"
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: `latest` always means the newest version")


def test_lists_hold_the_newest_of_each_name(project: Project) -> None:
    """`datasets list` and `models list` show the newest version of each name with its aliases."""
    datasets = mlwright("datasets", "list", cwd=project.root).stdout
    models = json.loads(mlwright("models", "list", "--json", cwd=project.root).stdout)

    assert datasets.splitlines()[1].startswith("patients@1  b3:")
    assert datasets.splitlines()[1].endswith("first")
    assert [(version["name"], version["number"]) for version in models] == [("lines", 1)]


def test_what_is_not_there_has_its_own_exit_code(project: Project) -> None:
    """A name nobody knows ends with exit code 3, one message and a hint."""
    missing = mlwright("datasets", "show", "patient", cwd=project.root)

    assert missing.returncode == 3
    assert missing.stderr == "error: there is no dataset `patient`\nhint: did you mean `patients`?\n"
