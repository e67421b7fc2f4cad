"""What a run records of the world around its code: variables from a list, and what is not in its code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from mlwright.app import Project
from mlwright.compute.process import RECORDED, recorded_variables
from tests.conftest import mlwright

Opener = Callable[[dict[str, str]], Project]

ZONE = """
import os
from mlwright import pipeline, step

@step(cache=False)
def zone() -> dict[str, str]:
    return {name: os.environ.get(name, "")[:10] for name in ("TZ", "PYTHONHASHSEED", "API_TOKEN")}

@pipeline
def single():
    zone()
"""


def test_variables_are_recorded_from_a_list_as_the_steps_have_them(opened: Opener) -> None:
    """TZ and the hash seed are shown with the run; a token that the step sees too is recorded nowhere."""
    project = opened({"pipelines/p.py": ZONE})
    variables = {
        "TZ": "Asia/Tokyo",
        "PYTHONHASHSEED": "7",
        "API_TOKEN": "the-token-s3cret",
        "OMP_NUM_THREADS": "3",
    }

    ran = mlwright("run", "single", "--json", cwd=project.root, **variables)

    run = project.runs.get("latest")
    shown = mlwright("runs", "show", "latest", cwd=project.root).stdout
    told = json.loads(project.rooms.objects.get(project.artifacts.get("latest/zone").artifact.digest))
    assert ran.returncode == 0, ran.stderr
    assert told == {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "0", "API_TOKEN": "the-token-"}
    assert run.about["variables"].items() >= {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "0"}.items()
    assert set(run.about["variables"]) <= RECORDED - {"OMP_NUM_THREADS"}
    assert "environment variables" in shown and "Asia/Tokyo" in shown
    records = [file for file in (project.root / ".mlwright").rglob("*") if file.is_file()]
    assert not any(b"s3cret" in file.read_bytes() for file in records)


def test_steps_in_this_process_have_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a debugger, hash seed and threads are those of the process; a value may be any bytes."""
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LC_ALL", os.fsdecode(b"de_\xff") + "x" * 1000)

    found = recorded_variables(isolates=False)

    assert (found["PYTHONHASHSEED"], found["OMP_NUM_THREADS"]) == ("7", "3")
    assert found["LC_ALL"].startswith("de_\ufffd") and len(found["LC_ALL"]) <= 200


def test_what_is_not_in_the_code_is_told_when_a_run_begins_and_afterwards(opened: Opener) -> None:
    """A file over 10 MiB that Git does not know is named by `run` and by `runs show`."""
    project = opened({"pipelines/p.py": ZONE})
    with (project.root / "weights.bin").open("wb") as file:
        file.truncate((10 << 20) + 1)

    ran = mlwright("run", "single", cwd=project.root)

    shown = mlwright("runs", "show", "latest", cwd=project.root).stdout
    assert ran.returncode == 0, ran.stderr
    assert "not in its code" in ran.stdout and "weights.bin" in ran.stdout
    assert "not in its code" in shown and "weights.bin" in shown
    assert project.runs.get("latest").about["left_out"] == ["weights.bin"]
