"""`runs reproduce`: what it says of each output, by values, and that it loads nothing from elsewhere."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.kernel.errors import Conflict
from mlwright.kernel.files import locked
from mlwright.kernel.ids import short
from mlwright.kernel.marks import left_over
from mlwright.workflow.sections import reproduction_lines
from mlwright.workflow.verdicts import Verdict
from tests.conftest import COMMAND, mlwright
from tests.processes import environment, until

Opener = Callable[[dict[str, str]], Project]

CHANGING = """
import datetime
import os
import random
import time
from pathlib import Path
from mlwright import pipeline, step

class Mine:
    def __init__(self, number):
        self.number = number

def other():
    return random.SystemRandom().random()

@step
def {name}({takes}):
    {body}

@pipeline
def single():
    {name}({gives})
"""


def changing(body: str, name: str = "work") -> dict[str, str]:
    """A project with one step."""
    return {
        "pipelines/p.py": CHANGING.format(name=name, takes="", gives="", body=body.replace("\n", "\n    "))
    }


def made_again(opened: Opener, body: str, name: str = "work") -> Verdict:
    """What is said of the output of a step that is made twice."""
    project = opened(changing(body, name))
    run = project.run("single")
    (found,) = project.reproduce(run.id).comparisons
    return found


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("return {'auc': 0.5 + other() * 1e-12}", "floats within tolerance", "auc: 0.5"),
        ("return {'auc': other()}", "floats", "1 in all, by"),
        ("return {'made': datetime.datetime.now().isoformat()}", "times", "made: "),
        ("return time.time_ns()", "times", "->"),
        (
            "rows = [{'a': each} for each in range(40)]\\nrandom.SystemRandom().shuffle(rows)\\nreturn rows",
            "row order",
            "",
        ),
        ("return {str(other()): 1}", "columns", "keys"),
        ("Path('report.txt').write_text(f'made {time.time_ns()}')\\nreturn Path('report.txt')", "times", ""),
        (
            "Path('out').mkdir()\\nPath('out/a').write_text('1')\\nPath('out/b').write_text(str(other()))\\n"
            "return Path('out')",
            "floats",
            "b: ",
        ),
        (
            "Path('out').mkdir()\\nPath('out', str(other())).write_text('')\\nreturn Path('out')",
            "files",
            "0.",
        ),
        ("return Mine(other())", "floats", "number: "),
        ("return Mine(frozenset([os.urandom(4)]))", "values", "number: "),
    ],
)
def test_the_kind_of_a_difference_is_told(opened: Opener, body: str, kind: str, text: str) -> None:
    """JSON, text, files, folders, and what this workspace's own run has pickled."""
    found = made_again(opened, body.replace("\\n", "\n"))

    assert found.verdict == "different"
    assert found.difference is not None
    assert found.difference.kind.startswith(kind)
    assert text in found.difference.text


def test_equal_values_in_other_bytes_differ_in_their_encoding_only(opened: Opener) -> None:
    """The order of keys is kept, and is no part of the value."""
    body = "return {name: 1 for name in random.SystemRandom().sample('abcdefghijklmnop', 16)}"

    found = made_again(opened, body)

    assert found.difference is not None
    assert found.difference.kind == "encoding"


def test_what_cannot_be_read_is_not_comparable_and_says_why(opened: Opener) -> None:
    """A class that refuses to be loaded again leaves nothing to compare."""
    body = "class Local:\n    def __reduce__(self):\n        return (int, (str(other()),))\nreturn Local()"

    found = made_again(opened, body)

    assert found.verdict == "not comparable"
    assert "cannot be read" in found.reason and "ValueError" in found.reason


def test_a_foreign_pickle_is_never_loaded(opened: Opener, tmp_path: Path) -> None:
    """What no run of this workspace wrote is not compared, for that it would have to be loaded."""
    mark = tmp_path / "loaded"
    reduce = f"def __reduce__(self):\n        return (open, ('{mark}' + str(other()), 'w'))"
    body = f"class Bomb:\n    {reduce}\nreturn Bomb()"
    project = opened(changing(body))
    run = project.run("single")
    with project.rooms.database.transaction() as tx:
        tx.execute("UPDATE artifact SET ours = 0")

    (found,) = project.reproduce(run.id).comparisons

    assert found.verdict == "not comparable"
    assert "pickle" in found.reason
    assert not list(tmp_path.glob("loaded*"))


def test_the_first_step_that_differs_is_named_with_how_and_what_is_behind_it_follows(opened: Opener) -> None:
    """Of two steps the second is given what the first made; one variable of the environment differs."""
    text = """
    import random
    from mlwright import pipeline, step

    @step
    def draw() -> float:
        return random.SystemRandom().random()

    @step
    def double(number: float) -> float:
        return number * 2

    @step(seed=None)
    def steady() -> int:
        return 1

    @pipeline
    def pair():
        double(draw())
        steady()
    """
    project = opened({"pipelines/p.py": text})
    ran = mlwright("run", "pair", cwd=project.root, TZ="Asia/Tokyo")

    done = mlwright("runs", "reproduce", "latest", cwd=project.root, TZ="Asia/Seoul")
    told = mlwright("runs", "reproduce", "latest", "--json", cwd=project.root, TZ="Asia/Seoul")

    assert ran.returncode == 0, ran.stderr
    assert (done.returncode, told.returncode) == (1, 1), done.stderr
    assert "1 of 3 outputs is identical" in done.stdout
    assert "the first that differs is `result` of step `draw`: floats (the value: 0." in done.stdout
    assert "`result` of step `double`: floats" in done.stdout
    assert "what else differs: the environment variable TZ: Asia/Tokyo -> Asia/Seoul" in done.stdout
    found = {each["node"]: each for each in json.loads(told.stdout)["comparisons"]}
    assert {node: each["verdict"] for node, each in found.items()} == {
        "draw": "different",
        "double": "different",
        "steady": "identical",
    }
    assert found["draw"]["difference"]["kind"] == "floats"
    assert found["draw"]["difference"]["max_relative"] > 0


def test_what_one_side_did_not_give_is_not_comparable(opened: Opener, tmp_path: Path) -> None:
    """A step that fails the second time leaves nothing to compare; the reason is told."""
    mark = tmp_path / "mark"
    body = f"fresh = not Path('{mark}').exists()\nPath('{mark}').touch()\nassert fresh, 'gone'\nreturn 1"
    project = opened(changing(body))
    run = project.run("single")

    done = project.reproduce(run.id)

    assert done.error is not None and not done.identical
    assert [(each.verdict, each.reason) for each in done.comparisons] == [
        ("not comparable", "the run made again did not give it")
    ]
    assert "not comparable: the run made again did not give it" in "\n".join(reproduction_lines(done))


def test_a_gate_that_finds_other_numbers_and_a_metric_are_looked_into(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict is no artifact, and a script's metric neither: their numbers are compared as they are."""
    project = opened(
        {
            "pipelines/p.py": """
            import random
            from mlwright import pipeline, step
            from mlwright.steps import gate

            @step
            def score() -> dict[str, float]:
                return {"auc": 0.9 + random.SystemRandom().random() / 100}

            @pipeline
            def judged():
                gate(score(), "auc >= 0.5")
            """,
            "report.py": """
            import random
            from mlwright import log_metric

            log_metric("loss", random.SystemRandom().random())
            """,
        }
    )

    monkeypatch.chdir(project.root)
    script = project.run("report.py")

    of_pipeline = project.reproduce(project.run("judged").id).comparisons
    (metric,) = project.reproduce(script.id).comparisons

    gate = next(each for each in of_pipeline if each.output == "verdict")
    assert gate.difference is not None and "floats" in gate.difference.kind
    assert (metric.node, metric.output, metric.verdict) == ("metric", "loss", "different")
    assert metric.difference is not None and metric.difference.kind == "floats"


def test_a_metric_that_differs_is_told_beside_identical_outputs(opened: Opener) -> None:
    """What a step logs is no output: it is named, and the outputs count."""
    project = opened(changing("from mlwright import log_metric\nlog_metric('loss', other())\nreturn 1"))
    run = project.run("single")

    again = project.reproduce(run.id)

    assert again.identical
    assert [cause.partition(":")[0] for cause in again.causes] == ["the metric loss"]


def test_a_run_that_gave_nothing_is_not_called_identical(opened: Opener) -> None:
    """A script that only prints has nothing to compare."""
    project = opened({"p.py": "print('hello')\n"})
    run = project.run(str(project.root / "p.py"))

    again = project.reproduce(run.id)

    assert (again.comparisons, again.identical) == ((), False)


def test_two_do_not_make_a_run_again_in_one_place(opened: Opener) -> None:
    """Whoever comes second is told so; what the first does stays."""
    project = opened(changing("return 1"))
    run = project.run("single")
    place = project.rooms.workspace.local / "reproductions" / short(run.id)
    place.parent.mkdir(parents=True)

    with (
        locked(place.with_suffix(".lock"), fcntl.LOCK_EX),
        pytest.raises(Conflict, match="is being made again there by another process"),
    ):
        project.reproduce(run.id)

    assert project.reproduce(run.id).identical


def test_a_reproduction_that_was_killed_is_begun_anew(opened: Opener, tmp_path: Path) -> None:
    """After `kill -9` the same command takes what is left away; what is made again there stays."""
    go, began, folder = tmp_path / "go", tmp_path / "began", tmp_path / "again"
    go.touch()
    body = (
        f"Path({str(began)!r}).touch()\nwhile not Path({str(go)!r}).exists():\n    time.sleep(0.01)\nreturn 1"
    )
    project = opened(changing(body))
    run = project.run("single")
    go.unlink()
    began.unlink()
    asked = [str(COMMAND), "runs", "reproduce", run.id, "--in", str(folder)]
    killed = subprocess.Popen(asked, cwd=project.root, env=environment({}), stdout=subprocess.DEVNULL)
    until(began.exists)
    with pytest.raises(Conflict, match="another process"):
        project.reproduce(run.id, folder)
    killed.kill()
    killed.wait(30)
    (folder / "half").mkdir()
    go.touch()

    until(lambda: _is_left_over(folder))
    again = project.reproduce(run.id, folder)

    assert again.identical
    assert {"half", ".mlwright-reproducing"} & {path.name for path in folder.iterdir()} == set()
    with pytest.raises(Conflict, match="is not empty"):
        project.reproduce(run.id, folder)


def _is_left_over(folder: Path) -> bool:
    try:
        return left_over(folder / ".mlwright-reproducing")
    except Conflict:
        return False


def test_a_folder_of_the_users_is_not_emptied(opened: Opener, tmp_path: Path) -> None:
    """Without our mark what lies there is theirs."""
    project = opened(changing("return 1"))
    run = project.run("single")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "thesis.txt").write_text("theirs")

    with pytest.raises(Conflict, match="is not empty"):
        project.reproduce(run.id, tmp_path / "again")

    assert [path.name for path in (tmp_path / "again").iterdir()] == ["thesis.txt"]
