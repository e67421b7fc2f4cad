"""The truth table of the cache: what may change between two runs, whether a step is reused, and what is said.

What a fingerprint covers of code has a table of its own, with many more rows, in `test_code.py`; here whole
runs are compared.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel.settings import find_project
from mlwright.tracking import Run
from mlwright.workflow import Request, open_rooms
from mlwright.workflow.detail import run_detail
from mlwright.workflow.why import why
from tests.conftest import PYPROJECT, lock_project, write
from tests.storage.conftest import bring_forward

STEPS = '''
    """A module."""

    import functools
    from dataclasses import dataclass
    from enum import Enum
    from typing import Any

    import features
    from mlwright import pipeline, step
    from others import behind, each, each_alike, echo, echo_parts, read, salted
    from shapes import Square

    FACTOR = 2

    class Level(Enum):
        LOW = 1

    @dataclass
    class Point:
        x: int = 1

    def helper(x, offset=4):
        """Docs of the helper."""
        return x + offset

    def logged(function):
        @functools.wraps(function)
        def inner(x):
            return function(x) + 0

        return inner

    plus = functools.partial(features.add, 10)
    triple = lambda y: y * 3
    counted = features.counter(5)

    @step(retries=1, timeout="1m", resources={"cpus": 1, "memory": "2GiB"}, tags={"owner": "ml"})
    @logged
    def work(x: int) -> int:
        """Docs of the step."""
        square = Square()
        shapes = square.grown() + square.named() + square.area + Square.corners
        called = triple(1) + plus(1) + counted(1)
        return features.clean(helper(x)) * FACTOR + Level.LOW.value + Point().x + called + shapes

    @pipeline
    def table(items: list[int] = [1, 2]):
        behind(work(1))
        salted()
        each.map(items)
        each_alike.map(items)
        read()

    @pipeline
    def given(value: Any = None):
        echo(value)

    @pipeline
    def parts(turned: bool = False):
        one, two = work(1), work(2)
        echo_parts({"b": one, "a": two} if turned else {"a": two, "b": one})
'''
OTHERS = """
    from pathlib import Path

    from mlwright import step

    @step
    def behind(value: int) -> int:
        return value

    @step(cache="v1", env_vars=["FLAVOUR"])
    def salted() -> int:
        return 1

    @step
    def each(item: int) -> int:
        return item * item

    @step(seed=None)
    def each_alike(item: int) -> int:
        return item * item

    @step
    def read() -> str:
        return Path(__file__).with_name("depth.txt").read_text()

    @step
    def echo(value: object) -> object:
        return list(value) if isinstance(value, dict) else value

    @step
    def echo_parts(value: object) -> object:
        return list(value)
"""
FILES = {
    "pyproject.toml": PYPROJECT,
    "pipelines/p.py": STEPS,
    "others.py": OTHERS,
    "depth.txt": "depth 1\n",
    "features.py": """
        from deep import deepest

        def clean(x):
            return deepest(x)

        def add(a, b):
            return a + b

        def counter(n):
            def count(x):
                return x + n

            return count
    """,
    "deep.py": "def deepest(x):\n    return abs(x)\n",
    "shapes.py": """
        class Shape:
            def named(self):
                return 7

        class Square(Shape):
            corners = 4

            def grown(self):
                return 8

            @property
            def area(self):
                return 9
    """,
}
P = "pipelines/p.py"


@dataclass(frozen=True, slots=True)
class Row:
    """What is changed between two runs, and what becomes of a step then.

    Args:
        edits: of files: what stood there, what stands there now.
        why: a part of what `runs why` says of a step that runs; of one that is reused, of its summary.
        node: the step.
        given: parameters of the second run.
        before: those of the first run, where it is not the one that all rows have in common.
    """

    why: str
    edits: tuple[tuple[str, str, str], ...] = ()
    node: str = "work"
    pipeline: str = "table"
    seed: int = 0
    verify: bool = False
    given: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    hidden: bool = False
    """What is edited looks as if it were not: size, times and number of the file are those from before."""
    elsewhere: bool = False
    """The second run is another project's, in the same workspace."""


def edit(file: str, old: str, new: str, why: str, **more: Any) -> Row:
    """One file differs."""
    return Row(why, ((file, old, new),), **more)


REUSED = "reused: code, packages, arguments and seed are those of run "
OPTIONS = 'retries=1, timeout="1m", resources={"cpus": 1, "memory": "2GiB"}, tags={"owner": "ml"}'

HITS = {
    "nothing": Row(REUSED),
    "a comment": edit(P, "FACTOR = 2", "FACTOR = 2  # twice", REUSED),
    "formatting": edit(P, "return x + offset", "return (\n            x   +   offset\n        )", REUSED),
    "the step's docstring": edit(P, "Docs of the step.", "Other docs.", REUSED),
    "a helper's docstring": edit(P, "Docs of the helper.", "Other docs.", REUSED),
    "a function added above": edit(P, "FACTOR = 2", "def added():\n    return 1\n\nFACTOR = 2", REUSED),
    "retries": edit(P, "retries=1", "retries=3", REUSED),
    "the time-out": edit(P, 'timeout="1m"', 'timeout="2m"', REUSED),
    "memory": edit(P, '"2GiB"', '"3GiB"', REUSED),
    "tags": edit(P, '{"owner": "ml"}', '{"owner": "data", "tier": "1"}', REUSED),
    "all that changes only how a step is run": edit(P, f"@step({OPTIONS})", "@step", REUSED),
    "cpus": edit(P, '"cpus": 1', '"cpus": 2', "it was made with 1 processor, and this step asks for 2"),
    "the run's seed, for a step that has none": Row(REUSED, node="each_alike[1]", seed=7),
    "another map index, for a step without a seed": Row(
        REUSED, node="each_alike[0]", given={"items": [2, 1]}
    ),
    "an upstream step that gives the same bytes": edit(
        P, "helper(x)) * FACTOR", "helper(x)) * (FACTOR + 0)", REUSED, node="behind"
    ),
    "a parameter that is written otherwise": Row(
        REUSED, node="echo", pipeline="given", before={"value": [1, {"a": 2}]}, given={"value": '[1,{"a":2}]'}
    ),
    "a file of which nobody can see that it differs": edit(
        "depth.txt", "1", "2", REUSED, node="read", hidden=True
    ),
    "the same function in another project": Row(REUSED, elsewhere=True),
}
MISSES = {
    "the run's seed": Row("the run's seed 0 -> 7", seed=7),
    "another map index": Row("the map index 1 -> 0", node="each[0]", given={"items": [2, 1]}),
    "the step's body": edit(P, "* FACTOR +", "- FACTOR +", f"`work` in {P} (line "),
    "a helper in the same file": edit(P, "return x + offset", "return x - offset", f"`helper` in {P} (line "),
    "a helper in another module": edit(
        "features.py", "return deepest(x)", "return -deepest(x)", "`clean` in features.py (line "
    ),
    "a transitive helper": edit("deep.py", "abs(x)", "-abs(x)", "`deepest` in deep.py (line 1) changed"),
    "a method": edit("shapes.py", "return 8", "return 88", "`Square` in shapes.py (line "),
    "an inherited method": edit("shapes.py", "return 7", "return 77", "`Shape` in shapes.py (line "),
    "a property": edit("shapes.py", "return 9", "return 99", "`Square` in shapes.py (line "),
    "a class attribute": edit("shapes.py", "corners = 4", "corners = 44", "`Square` in shapes.py (line "),
    "a closure's cell": edit(P, "features.counter(5)", "features.counter(6)", f"`counted` in {P} (line "),
    "a closure's body": edit(
        "features.py", "return x + n", "return x - n", "`counter` in features.py (line "
    ),
    "a default argument": edit(P, "offset=4", "offset=5", f"`helper` in {P} (line "),
    "what a partial fixes": edit(P, "features.add, 10", "features.add, 11", f"`plus` in {P} (line "),
    "what a partial calls": edit(
        "features.py", "return a + b", "return a - b", "`add` in features.py (line "
    ),
    "a decorator's body": edit(P, "function(x) + 0", "function(x) + 1", f"`logged` in {P} (line "),
    "a module's constant": edit(P, "FACTOR = 2", "FACTOR = 3", f"`FACTOR` in {P} (line "),
    "a dataclass's field": edit(P, "x: int = 1", "x: int = 2", f"`Point` in {P} (line "),
    "an enum's member": edit(P, "LOW = 1", "LOW = 2", f"`Level` in {P} (line "),
    "a lambda": edit(P, "y * 3", "y * 4", f"`triple` in {P} (line "),
    "1 -> 1.0": Row(
        "argument `value` 1 -> 1.0", node="echo", pipeline="given", before={"value": 1}, given={"value": 1.0}
    ),
    "True -> 1": Row(
        "argument `value` True -> 1",
        node="echo",
        pipeline="given",
        before={"value": True},
        given={"value": 1},
    ),
    '1 -> "1"': Row(
        "argument `value` [1] -> ['1']",
        node="echo",
        pipeline="given",
        before={"value": [1]},
        given={"value": ["1"]},
    ),
    "the order of a dictionary": Row(
        "the keys of argument `value` stand in another order",
        node="echo",
        pipeline="given",
        before={"value": {"a": 1, "b": 2}},
        given={"value": {"b": 2, "a": 1}},
    ),
    "the order of a dictionary in a list": Row(
        "the keys of argument `value` stand in another order",
        node="echo",
        pipeline="given",
        before={"value": [{"a": 1, "b": 2}]},
        given={"value": [{"b": 2, "a": 1}]},
    ),
    "the order of a dictionary of outputs": Row(
        "argument `value` is put together of other values",
        node="echo_parts",
        pipeline="parts",
        given={"turned": True},
    ),
    "the version of the cache entries": edit(
        "others.py", 'cache="v1"', 'cache="v2"', "the version of its cache entries v1 -> v2", node="salted"
    ),
    "an environment variable that is named": Row(
        "the environment variable FLAVOUR has another value", node="salted", variables={"FLAVOUR": "sweet"}
    ),
    "a file of the project": edit(
        "depth.txt", "1", "2", "the file depth.txt, which the step names, differs", node="read"
    ),
    "a file of which nobody can see that it differs, read again": edit(
        "depth.txt",
        "1",
        "2",
        "the file depth.txt, which the step names, differs",
        node="read",
        hidden=True,
        verify=True,
    ),
    "a function of the same name in another project": edit(
        P, "return x + offset", "return x - offset", f"`helper` in {P} (line ", elsewhere=True
    ),
}
TABLE = {what: (row, True) for what, row in HITS.items()} | {
    what: (row, False) for what, row in MISSES.items()
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which each pipeline has run once."""
    root = write(tmp_path_factory.mktemp("table") / "small", FILES)
    with Project.open(root) as project, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLAVOUR", "plain")
        lock_project(project)
        for pipeline in ("table", "given", "parts"):
            project.run(pipeline)
    return root


@pytest.fixture
def project(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A copy of it."""
    monkeypatch.setenv("FLAVOUR", "plain")
    root = tmp_path / "small"
    shutil.copytree(base, root, symlinks=True)
    with Project.open(root) as project:
        yield project


@pytest.mark.parametrize("what", TABLE)
def test_a_step_is_reused_exactly_if_nothing_differs_that_can_change_its_result(
    project: Project, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Each row of the table: what changed between two runs, hit or miss, and the reason that is told."""
    row, hit = TABLE[what]
    first = project.runs.list(pipeline=row.pipeline)[0]
    if row.before is not None:
        first = project.run(row.pipeline, **row.before)
    for name, value in row.variables.items():
        monkeypatch.setenv(name, value)
    changed = other_project(project) if row.elsewhere else project
    for each in row.edits:
        change(changed, *each, hidden=row.hidden)

    run, error = changed.pipelines.run(Request(row.pipeline, row.given, row.seed, verify=row.verify))

    told = why(changed.rooms, run.id, row.node)
    reasons = [told.summary] if hit else [each.text for each in told.differences]
    assert error is None
    assert told.attempt.state == ("reused" if hit else "succeeded"), told
    assert told.closest is not None and told.closest.run_id == first.id
    assert len(reasons) == 1 and row.why in reasons[0], reasons
    if row.pipeline == "table":
        same = result(changed, run, "work") == result(project, first, "work")
        assert (why(changed.rooms, run.id, "behind").attempt.state == "reused") == (same and not row.seed)


def result(project: Project, run: Run, node: str) -> str:
    """The digest of what a step gave."""
    details = {each.attempt.node: each for each in run_detail(project.rooms, run.id).attempts}
    return details[node].outputs["result"].digest


def other_project(project: Project) -> Project:
    """A project of another name with the same files, in the same workspace."""
    files = {**FILES, "pyproject.toml": PYPROJECT.replace("small", "other")}
    root = write(project.root.parent / "other", files)
    other = Project(open_rooms(find_project(root), project.rooms.workspace))
    lock_project(other)
    return other


def change(project: Project, file: str, old: str, new: str, *, hidden: bool) -> None:
    """Edit a file of a project; hidden, so that what is remembered of it still seems to hold."""
    if hidden:
        project.rooms.snapshots.take()
    path = project.root / file
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    before = path.stat()
    path.write_text(text.replace(old, new))
    if not hidden:
        return
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    # Only the clock of the file system could make the time of change what it was.
    for memory in (project.rooms.workspace.local / "code").iterdir():
        bring_forward(memory, before.st_ctime_ns, after.st_ctime_ns, missing=True)


def test_what_was_made_with_other_threads_is_told_when_it_is_made_again(project: Project) -> None:
    """A reused result has the threads of whoever made it: `reproduce` names both numbers."""
    change(project, P, '"cpus": 1', '"cpus": 2', hidden=False)
    run = project.run("table")

    again = project.reproduce(run.id)

    assert why(project.rooms, run.id, "work").attempt.state == "reused"
    assert "the threads of `work`: 1 -> 2" in again.causes
