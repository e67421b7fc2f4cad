"""Values stored as pickle: seen by the user, loaded by the law, and never in the engine's process."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Incompatible
from mlwright.tracking import RunState
from mlwright.versioning import artifact
from mlwright.versioning.artifacts import add_artifact
from mlwright.workflow.attempts import AttemptState
from tests.conftest import Maker, mlwright
from tests.processes import SOURCE

Opener = Callable[[dict[str, str]], Project]

OWN = {
    "pipelines/shapes.py": """
    class Square:
        def __init__(self, side):
            self.side = side

        def area(self):
            return self.side * self.side
    """,
    "pipelines/p.py": """
    from pathlib import Path
    from mlwright import pipeline, step

    @step
    def draw(side: int):
        from pipelines.shapes import Square
        return Square(side)

    @step
    def measure(shape) -> int:
        with Path(OUT).open("a") as file:
            file.write("measured ")
        return shape.area()

    @step
    def sides(side: int) -> list:
        return [(side, side), (side, 1)]

    @pipeline
    def own(side: int = 3):
        measure(draw(side))
        draw.map([1, 2])
        sides(side)
    """,
}


def own(tmp_path: Path, **changed: str) -> dict[str, str]:
    """The project; its step tells in a file that it has run."""
    files = OWN | changed
    return files | {"pipelines/p.py": files["pipelines/p.py"].replace("OUT", repr(str(tmp_path / "out")))}


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_what_no_codec_takes_comes_to_the_next_step(opened: Opener, tmp_path: Path, executor: str) -> None:
    """An object of an own class, marked as unsafe with the reason; inline, the run is its own worker."""
    project = opened(own(tmp_path))

    run = project.run("own", executor=executor)

    found = {each.reference.partition("/")[2]: each.artifact for each in project.artifacts.list(run.id)}
    drawn = found["draw/result"]
    assert run.state is RunState.SUCCEEDED
    assert (drawn.codec, drawn.type, drawn.ours, drawn.unsafe) == ("pickle", "pipelines.Square", True, True)
    assert drawn.about["unsafe"] is True
    assert drawn.about["why"] == "a pipelines.Square has no codec of its own"
    assert found["measure/result"].codec == "json"
    assert found["sides/result"].codec == "pickle"
    assert project.rooms.objects.get(found["measure/result"].digest) == b"9"


def test_the_run_and_the_doors_say_that_it_is_unsafe(make_project: Maker, tmp_path: Path) -> None:
    """Once for each step while it runs, in its log with the reason, in the list, and where it is shown."""
    root = make_project(own(tmp_path))

    ran = mlwright("run", "own", cwd=root)
    listed = mlwright("artifacts", "list", cwd=root)
    shown = mlwright("artifacts", "show", "latest/draw", cwd=root)
    logs = mlwright("runs", "logs", "latest", "draw", cwd=root)
    as_json = mlwright("artifacts", "show", "latest/draw", "--json", cwd=root)

    told = [line.split()[0] for line in ran.stdout.splitlines() if "its output is stored as pickle" in line]
    assert sorted(told) == ["draw", "draw-2", "sides"]
    assert "pipelines.Square (pickle, unsafe)" in listed.stdout
    assert "unsafe     loading it runs what its bytes say" in shown.stdout
    assert "is stored as pickle, which is not safe to load: a pipelines.Square has no codec" in logs.stdout
    assert json.loads(as_json.stdout)["artifact"]["about"]["unsafe"] is True


def test_code_that_only_the_pickle_knows_counts_for_who_takes_it(make_project: Maker, tmp_path: Path) -> None:
    """A method of the class changes: its bytes do not, but the step that may call it runs again."""
    root = make_project(own(tmp_path))
    with Project.open(root) as project:
        project.run("own")
        before = project.artifacts.get("latest/draw").artifact.digest
    shapes = root / "pipelines/shapes.py"
    shapes.write_text(shapes.read_text().replace("self.side * self.side", "self.side + 100"))

    with Project.open(root) as project:
        run = project.run("own")
        again = project.run("own")

        assert project.artifacts.get("latest/draw").artifact.digest == before
        assert project.rooms.objects.get(project.artifacts.get("latest/measure").artifact.digest) == b"103"
        why = mlwright("runs", "why", run.id, "measure", cwd=root).stdout
        assert "input `shape` is a pickle, and what made it has other code or packages" in why
        states = {each.node: each.state for each in project.rooms.attempts.of_run(again.id)}
        assert (run.state, states["measure"]) == (RunState.SUCCEEDED, AttemptState.REUSED)
    assert (tmp_path / "out").read_text() == "measured measured "


def test_a_pickle_that_was_not_made_here_is_not_sent_to_a_worker(opened: Opener, tmp_path: Path) -> None:
    """The row says that no attempt of ours wrote it: the step is refused, and nothing of it runs."""
    project = opened(own(tmp_path))
    project.run("own")
    (tmp_path / "out").unlink()
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE artifact SET ours = 0 WHERE codec = 'pickle'")
        tx.execute("UPDATE attempt SET fingerprint = NULL WHERE node = 'measure'")

    with pytest.raises(
        Incompatible, match=r"step `measure` .*was not made by a run of this workspace"
    ) as raised:
        project.run("own")

    assert raised.value.exit_code == 5
    assert "running the pipeline" in str(raised.value.hint)
    assert not (tmp_path / "out").exists()
    assert project.runs.list()[0].state is RunState.FAILED


def test_a_pickle_that_was_not_made_here_is_not_served(opened: Opener, tmp_path: Path) -> None:
    """A replica would load it: the engine names no such file to one. One that a run here made, it does."""
    project = opened(own(tmp_path))
    run = project.run("own")
    model = project.artifacts.get("latest/draw").artifact
    signed = {
        "inputs": [], "output": {"type": "number"}, "probabilities": False,
        "example": {"input": {}, "output": 1.0},
    }  # fmt: skip
    with project.rooms.database.transaction() as tx:
        project.models.record(
            tx, "shape", model, signature=model, signature_value=signed, scores=None, metrics={},
            parameters={}, run=run.end, message="",
        )  # fmt: skip

    spec = project.replica_spec("shape@1")
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE artifact SET ours = 0")
    with pytest.raises(Incompatible, match="shape@1 is stored as pickle, and was not made by a run"):
        project.replica_spec("shape@1")

    assert spec.models[0].codec == "pickle"


def test_a_pickle_of_ours_under_another_row_is_not_sent_either(opened: Opener, tmp_path: Path) -> None:
    """It is the row that is trusted, not the bytes: the same ones brought in from elsewhere are refused."""
    project = opened(own(tmp_path))
    project.run("own")
    known = project.artifacts.get("latest/draw").artifact

    with project.rooms.database.transaction() as tx:
        brought = add_artifact(
            tx, codec="pickle", type_text=known.type, digest=known.digest,
            size_bytes=known.size_bytes, about=known.about, ours=False,
        )  # fmt: skip

    known.refuse_foreign_pickle("it")
    with pytest.raises(Incompatible, match="it is stored as pickle"):
        artifact(project.rooms.database, brought.id).refuse_foreign_pickle("it")


def test_looking_at_a_pickle_does_not_load_it(opened: Opener, tmp_path: Path) -> None:
    """Listed, shown and written out are its bytes, whatever they would do."""
    project = opened(own(tmp_path))
    project.run("own")
    mark = tmp_path / "mark"

    class Bomb:
        def __reduce__(self) -> object:
            return Path.touch, (mark,)

    stored = project.rooms.objects.put(pickle.dumps(Bomb()) + b" " * 9000)
    with project.rooms.database.transaction() as tx:
        add_artifact(
            tx, codec="pickle", type_text="x.Bomb", digest=stored.digest,
            size_bytes=stored.size_bytes, about={"unsafe": True}, ours=True,
        )  # fmt: skip
    found = project.artifacts.get(f"b3:{stored.digest}")

    assert project.artifacts.value(found) is None
    written = project.artifacts.checkout(found.reference, tmp_path / "bomb.pickle")

    assert written.read_bytes().startswith(pickle.dumps(Bomb()))
    assert found.file_name.endswith(".pickle")
    assert not mark.exists()


def test_only_the_codec_imports_pickle() -> None:
    """The law is held in one place: no other module of ours loads anything of the kind."""
    unsafe = {"pickle", "cloudpickle", "marshal", "shelve", "dill", "joblib"}

    found = {
        file.relative_to(SOURCE).as_posix()
        for file in (SOURCE / "mlwright").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.partition(".")[0] in unsafe
    }

    assert found == {"mlwright/sdk/codecs/pickled.py"}
