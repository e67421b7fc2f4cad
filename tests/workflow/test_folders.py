"""Folders that steps make: stored as trees, given to the next step as folders of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.errors import WorkFailed
from mlwright.storage import load_tree
from mlwright.workflow.attempts import AttemptState

Opener = Callable[[dict[str, str]], Project]

CUTTING = {
    "pipelines/p.py": """
    import os
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def cut(rows: int) -> Path:
        for row in range(rows):
            Path(f"parts/{row % 3}").mkdir(parents=True, exist_ok=True)
            Path(f"parts/{row % 3}/{row}.txt").write_text(str(row))
        Path("parts/run.sh").write_text("#!/bin/sh\\n")
        Path("parts/run.sh").chmod(0o755)
        return Path("parts")

    @step
    def spoil(parts: Path) -> list[str]:
        names = sorted(file.relative_to(parts).as_posix() for file in parts.rglob("*") if file.is_file())
        for file in parts.rglob("*.txt"):
            file.write_text("spoilt")
        (parts / "more").write_text("")
        return [parts.name, *names]

    @step
    def count(parts: Path, after: list[str]) -> int:
        total = sum(int(file.read_text()) for file in parts.rglob("*.txt"))
        return total + os.access(parts / "run.sh", os.X_OK)

    @step
    def several(rows: int) -> list[Path]:
        for row in range(rows):
            Path(str(row)).mkdir()
            Path(str(row), "size").write_text(str(row))
        return [Path(str(row)) for row in range(rows)]

    @step
    def size(folder: Path) -> int:
        return int((folder / "size").read_text())

    @pipeline
    def cutting(rows: int = 4):
        parts = cut(rows)
        count(parts, spoil(parts))
        size.map(several(rows))
    """,
}


def test_a_folder_goes_from_step_to_step(opened: Opener, tmp_path: Path) -> None:
    """Each receiver has all files, under the folder's name, to do with as it likes; reused the next time."""
    project = opened(CUTTING)

    run = project.run("cutting")
    again = project.run("cutting")

    found = {each.reference.partition("/")[2]: each.artifact for each in project.artifacts.list(run.id)}
    values = {
        name: project.rooms.objects.get(each.digest) for name, each in found.items() if each.codec == "json"
    }
    made = found["cut/result"]
    assert (made.codec, made.type, made.about) == ("tree", "pathlib.Path", {"name": "parts", "files": 5})
    assert values["spoil/result"] == b'["parts","0/0.txt","0/3.txt","1/1.txt","2/2.txt","run.sh"]'
    assert values["count/result"] == b"7"
    assert [values[f"size[{row}]/result"] for row in range(4)] == [b"0", b"1", b"2", b"3"]
    assert [edge.later.kind for edge in edges.made_from(project.rooms.database, made.end, "bytes")] == [
        "artifact"
    ]
    assert edges.made_from(project.rooms.database, made.end, "bytes")[0].earlier.kind == "tree"
    assert len(load_tree(project.rooms.objects, made.digest).entries) == 5
    states = {each.state for each in project.rooms.attempts.of_run(again.id)}
    assert states == {AttemptState.REUSED}
    assert not list(project.rooms.workspace.scratch.glob("*/folders/*"))


def test_a_folder_is_checked_out_and_reproduced(opened: Opener, tmp_path: Path) -> None:
    """`artifacts checkout` writes the folder; the run made again gives the same tree."""
    project = opened(CUTTING)
    run = project.run("cutting")

    written = project.artifacts.checkout("latest/cut", tmp_path / "out")
    reproduced = project.reproduce(run.id)

    assert (written / "2/2.txt").read_text() == "2"
    assert reproduced.identical, reproduced.first_different


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("Path('parts').mkdir()", "the folder parts, which has no files in it"),
        ("Path('parts').mkdir(); os.mkfifo('parts/pipe')", "parts/pipe in it, not a regular file"),
        (
            "Path('parts').mkdir(); Path('parts/a').symlink_to('gone')",
            "parts/a in it, a link that leads nowhere",
        ),
        ("Path('parts').mkdir(); Path('parts/a').symlink_to('/')", "parts/a in it, a link to a folder"),
        ("Path('parts').mkdir(); open(b'parts/\\xff', 'w').close()", "is not UTF-8"),
        ("pass", "the path parts, which is not a file"),
    ],
)
def test_a_folder_that_cannot_be_kept_whole_is_refused(opened: Opener, body: str, said: str) -> None:
    """The step fails with what is wrong, and nothing of it is recorded as its output."""
    text = f"""
    import os
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def cut() -> Path:
        {body}
        return Path('parts')

    @pipeline
    def cutting():
        cut()
    """
    project = opened({"pipelines/p.py": text})

    with pytest.raises(WorkFailed) as raised:
        project.run("cutting")

    assert said in raised.value.message
    assert project.artifacts.list("latest") == []
