"""`--verify-inputs`: what changed without a trace in a file's state is seen when every byte is read."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from mlwright.app import Project
from tests.conftest import mlwright
from tests.storage.conftest import bring_forward

Opener = Callable[[dict[str, str]], Project]

COUNTING = {
    "pipelines/p.py": """
    from mlwright import Dataset, pipeline, step

    STEP = 1

    @step
    def count(notes: Dataset) -> int:
        return len(notes.open().read()) + STEP

    @pipeline
    def counting(notes: Dataset = Dataset("notes@latest")):
        count(notes)
    """,
}


def run(project: Project, *options: str) -> str:
    """Run the pipeline in a process of its own; returns the state of its step."""
    done = mlwright("run", "counting", "--json", *options, cwd=project.root)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["attempts"][0]["attempt"]["state"])


def change_without_a_trace(path: Path, data: bytes, memory: Path) -> None:
    """Write other bytes of the same length, so that a file looks as it is remembered.

    The time of writing can be put back. The time of change cannot: what is remembered is brought forward.
    """
    before = path.stat()
    assert len(data) == before.st_size
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    bring_forward(memory, before.st_ctime_ns, after.st_ctime_ns)


def add_notes(project: Project) -> None:
    """Add the data, from outside the project: no file of its code has the same bytes."""
    file = project.root.parent / "notes.txt"
    file.write_text("x" * 5000)
    done = mlwright("datasets", "add", str(file), "--name", "notes", cwd=project.root)
    assert done.returncode == 0, done.stderr


def test_code_that_changed_without_a_trace_is_seen(opened: Opener) -> None:
    """With the flag a step whose file looks unchanged runs; without it, it is reused."""
    project = opened(COUNTING)
    add_notes(project)
    run(project)
    file, (memory,) = project.root / "pipelines/p.py", (project.root / ".mlwright/local/code").iterdir()
    change_without_a_trace(file, file.read_bytes().replace(b"STEP = 1", b"STEP = 2"), memory)

    plain = run(project)
    planned = mlwright("pipelines", "plan", "counting", "--verify-inputs", cwd=project.root).stdout
    verified = run(project, "--verify-inputs")

    assert (plain, verified) == ("reused", "succeeded")
    assert planned.splitlines()[1].split()[:2] == ["run", "count"]
    assert run(project) == "reused"  # what was read is what is remembered from now on


def test_data_that_changed_without_a_trace_is_refused(opened: Opener) -> None:
    """With the flag a damaged object of a dataset ends the run before it begins; the same bytes heal it."""
    project = opened(COUNTING)
    add_notes(project)
    run(project)
    (entry,) = project.datasets.tree(project.datasets.versions.resolve("notes")).entries
    path, memory = project.rooms.objects.path(entry.digest), project.root / ".mlwright/local/verified"
    change_without_a_trace(path, b"y" * 5000, memory)

    def verified(*command: str) -> subprocess.CompletedProcess[str]:
        return mlwright(*command, "counting", "--verify-inputs", cwd=project.root)

    plain = run(project)
    planned, refused = verified("pipelines", "plan"), verified("run")
    runs = len(project.runs.list())
    add_notes(project)

    assert plain == "reused"
    assert (planned.returncode, refused.returncode, runs) == (5, 5, 2)
    assert f"object {entry.digest[:12]} is damaged" in refused.stderr
    assert run(project, "--verify-inputs") == "reused"
