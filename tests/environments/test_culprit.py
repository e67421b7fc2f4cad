"""Which package's other version changed a result."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.environments import differing, packages_of
from mlwright.environments.mixing import mixed
from mlwright.kernel.errors import Cancelled, Conflict, Incompatible, Invalid, Unavailable, WorkFailed
from mlwright.kernel.files import locked
from mlwright.kernel.ids import short
from mlwright.tracking import Run
from mlwright.workflow.watch import Unwatched
from tests.conftest import write
from tests.environments.conftest import Index, Small

Make = Callable[..., Small]

NAMES = ("aa", "bb", "cc", "dd", "ee", "ff")

PIPELINE = """
from mlwright import pipeline, step

@step
def same() -> int:
    import aa
    return 1

@step
def tell() -> str:
    import aa, bb, cc, dd, ee, ff
    {body}
    return "always"

@pipeline
def p():
    same()
    tell()
"""


@pytest.fixture
def packages(index: Index) -> None:
    """Six packages of two versions each; `ff` 2 only goes with `ee` 2."""
    for name in NAMES:
        index.add(name, "1.0")
        needs = ["ee>=2"] if name == "ff" else []
        code = "import ee\nassert ee.VERSION == '2.0'\n" if name == "ff" else ""
        index.add(name, "2.0", *needs, **{name: f"{code}VERSION = '2.0'\n"})


CONDA = "dependencies: [python={python}, {packages}]"
OTHER = """
from mlwright import pipeline, step

@step
def tell() -> list:
    import sys, aa
    return [sys.version_info[1], aa.VERSION]

@pipeline
def p():
    tell()
"""


@pytest.fixture
def runs(packages: None, make: Make) -> Iterator[Callable[[str], tuple[Project, Run, Run]]]:
    """Runs a pipeline whose step does what is given: with all packages at 1, then at 2."""
    opened: list[Project] = []

    def both(body: str) -> tuple[Project, Run, Run]:
        small = make(*(f"{name}<2" for name in NAMES))
        write(small.root, {"pipelines/p.py": PIPELINE.format(body=body)})
        project = Project.open(small.root)
        opened.append(project)
        good = project.run("p")
        file = small.root / "pyproject.toml"
        file.write_text(file.read_text().replace("<2", ">=2"))
        project.environments.lock()
        bad, _ = project.pipelines.run(project.request("p", {}))
        return project, good, bad

    yield both
    for project in opened:
        project.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_package_that_changed_a_result_is_found(
    runs: Callable[[str], tuple[Project, Run, Run]], name: str
) -> None:
    """Whichever it is, with the output that changed, and both versions."""
    project, good, bad = runs(f"return {name}.VERSION")

    found = project.find_culprit(good.id, bad.id)

    assert (found.output, found.differing) == ("tell/result", 6)
    assert [(each.name, each.shown) for each in found.suspects] == [(name, "1.0 -> 2.0")]
    assert found.alone == ("cannot be had" if name == "ff" else "different")
    assert len(found.tried) <= 3


def test_the_package_with_which_a_run_fails_is_found(
    runs: Callable[[str], tuple[Project, Run, Run]],
) -> None:
    """Where the later packages end in an error, that is what is looked for."""
    project, good, bad = runs("assert dd.VERSION == '1.0', 'dd is too new'")
    assert bad.state == "failed"

    found = project.find_culprit(good.id, bad.id)

    assert [each.name for each in found.suspects] == ["dd"]
    assert "dd is too new" in found.output


def test_one_search_of_a_run_goes_on_at_a_time(runs: Callable[[str], tuple[Project, Run, Run]]) -> None:
    """A second one would work in the same folder."""
    project, good, bad = runs("return aa.VERSION")
    folder = project.rooms.workspace.local / "trials"
    folder.mkdir()

    with (
        locked(folder / f"{short(good.id)}.lock", fcntl.LOCK_EX),
        pytest.raises(Conflict, match="another trial goes on"),
    ):
        project.find_culprit(good.id, bad.id)


def test_packages_that_do_not_go_together_are_not_what_a_run_fails_with(
    runs: Callable[[str], tuple[Project, Run, Run]],
) -> None:
    """A lock between the two that ends in another error says nothing of the one that is looked for."""
    project, good, bad = runs(
        "assert cc.VERSION == dd.VERSION, 'they do not go together'\n"
        "    if ee.VERSION == '2.0': raise ValueError('the cause')"
    )

    found = project.find_culprit(good.id, bad.id)

    assert [each.name for each in found.suspects] == ["ee"]
    assert "ValueError: the cause" in found.output
    (between,) = [each for each in found.tried if each.outcome == "cannot be had"]
    assert (between.changed, "AssertionError: they do not go together" in between.why) == (3, True)


def test_the_interpreter_is_that_of_the_runs(
    packages: None, make: Make, index: Index, other_python: str
) -> None:
    """Locks between two are for their interpreter, which need not be the one that searches."""
    small = make(lock=False)

    def run(version: str) -> Run:
        packages = ", ".join(f"{name}={version}" for name in ("aa", "bb"))
        small.bring(index, {"environment.yml": CONDA.format(python=other_python, packages=packages)})
        project.environments.lock()
        return project.run("p")

    write(small.root, {"pipelines/p.py": OTHER})
    with Project.open(small.root) as project:
        found = project.find_culprit(run("1").id, run("2").id)

    assert [each.name for each in found.suspects] == ["aa"]


def test_a_step_that_has_an_interpreter_of_its_own_in_one_run_is_refused(
    packages: None, make: Make, index: Index, other_python: str
) -> None:
    """In the other run it had the project's: no package tells them apart, whichever run is earlier."""
    small = make(lock=False)
    files = {
        "requirements.txt": "aa",
        "other.yml": CONDA.format(python=other_python, packages="aa"),
        "pipelines/p.py": OTHER,
    }
    small.bring(index, files, '[tool.mlwright.environments]\nother = "other.yml"')
    with Project.open(small.root) as project:
        project.environments.lock_all()
        here = project.run("p")
        write(small.root, {"pipelines/p.py": OTHER.replace("@step", '@step(environment="other")')})
        there = project.run("p")

        for good, bad in ((here, there), (there, here)):
            with pytest.raises(Incompatible, match="the runs had different interpreters"):
                project.find_culprit(good.id, bad.id)


def test_two_packages_that_only_change_it_together_are_told(
    runs: Callable[[str], tuple[Project, Run, Run]],
) -> None:
    """The later of the two is found, and that it does nothing alone."""
    project, good, bad = runs("return aa.VERSION == cc.VERSION == '2.0'")

    found = project.find_culprit(good.id, bad.id)

    assert [each.name for each in found.suspects] == ["cc"]
    assert found.alone == "same"


def test_a_result_that_no_package_changed_is_told(runs: Callable[[str], tuple[Project, Run, Run]]) -> None:
    """With code that differs and packages that differ, but do not matter, the cause is elsewhere."""
    project, good, _ = runs("pass")
    file = project.root / "pipelines/p.py"
    file.write_text(file.read_text().replace("always", "never"))
    bad = project.run("p")

    found = project.find_culprit(good.id, bad.id)

    assert (found.output, found.suspects, found.tried) == ("", (), ())


def test_what_cannot_be_searched_is_refused(runs: Callable[[str], tuple[Project, Run, Run]]) -> None:
    """A good run that failed; the same packages; a run that gives something else each time."""
    project, good, bad = runs("assert dd.VERSION == '1.0'")

    with pytest.raises(Invalid, match="the good one must have succeeded"):
        project.find_culprit(bad.id, good.id)
    with pytest.raises(Invalid, match="have the same packages"):
        project.find_culprit(good.id, good.id)


def test_a_run_that_does_not_come_out_again_is_refused(
    runs: Callable[[str], tuple[Project, Run, Run]],
) -> None:
    """What differs by itself is no sign of a package."""
    project, good, bad = runs("import uuid; return str(uuid.uuid4())")

    with pytest.raises(WorkFailed, match="does not come out again with its own packages"):
        project.find_culprit(good.id, bad.id)


class Stopping(Unwatched):
    """Somebody presses Ctrl-C while an environment is installed."""

    def preparing(self, what: str) -> None:
        if what.startswith("installing"):
            raise Cancelled("cancelled", signal_number=signal.SIGINT)


def test_a_search_that_is_cancelled_ends(runs: Callable[[str], tuple[Project, Run, Run]]) -> None:
    """Ctrl-C is no outcome of a lock."""
    project, good, bad = runs("return aa.VERSION")

    with pytest.raises(Cancelled):
        project.find_culprit(good.id, bad.id, Stopping())


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_packages_that_cannot_be_had_now_are_no_outcome(
    runs: Callable[[str], tuple[Project, Run, Run]],
    version: str,
    index: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An index that does not give what one of the runs had is said, and nothing is searched."""
    project, good, bad = runs("return aa.VERSION")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.delitem(index.files, f"aa-{version}-py3-none-any.whl")

    with pytest.raises(Unavailable):
        project.find_culprit(good.id, bad.id)


def test_a_lock_between_two_has_each_package_as_one_of_them_has_it(packages: None, make: Make) -> None:
    """What is only in the other is taken, what is not there is left out, and all of it is one of the two."""
    small = make("aa<2", "bb<2", "cc")
    first = small.environments.text(small.environments.current())
    other = make("aa>=2", "bb>=2", "dd", folder="other")
    second = other.environments.text(other.environments.current())

    assert differ(first, second) == {
        "aa": "1.0 -> 2.0",
        "bb": "1.0 -> 2.0",
        "cc": "removed 2.0",
        "dd": "added 2.0",
    }
    between = mixed(first, second, {"bb", "cc", "dd"})
    assert differ(first, between) == {"bb": "1.0 -> 2.0", "cc": "removed 2.0", "dd": "added 2.0"}
    assert differ(between, second) == {"aa": "1.0 -> 2.0"}
    assert differ(second, mixed(first, second, {"aa", "bb", "cc", "dd"})) == {}


def differ(first: bytes, second: bytes) -> dict[str, str]:
    """What differs between two pylocks, in words."""
    return {each.name: each.shown for each in differing(packages_of(first), packages_of(second))}
