"""The project with other packages, in a place aside."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlwright.app import Project
from mlwright.environments import Environments
from mlwright.kernel.errors import Conflict, Invalid, WorkFailed
from mlwright.kernel.files import locked
from mlwright.workflow import Request
from mlwright.workflow.trials import Trial, run_trial
from mlwright.workflow.watch import Unwatched
from tests.conftest import write
from tests.environments.conftest import Index, Small, wheel

Make = Callable[..., Small]

PIPELINE = """
import warnings
from mlwright import log_metric, pipeline, step

@step
def same() -> int:
    return 1

@step
def asks(one: int) -> str:
    import two
    log_metric("version", float(two.VERSION))
    if two.VERSION == "2.0":
        warnings.warn("two is another", DeprecationWarning)
    if two.VERSION == "3.0":
        raise ValueError("two is too new")
    return two.VERSION

@pipeline
def p():
    asks(same())
"""


@pytest.fixture
def project(make: Make) -> Project:
    """A project whose pipeline says which version of `two` it has: 1.0."""
    small = make("two<2")
    write(small.root, {"pipelines/p.py": PIPELINE})
    return Project.open(small.root)


def tried(project: Project, tmp_path: Path, requirement: str) -> Trial:
    """The project with another requirement in the place of its own."""
    proposed = tmp_path / "proposed"
    proposed.mkdir()
    text = (project.root / "pyproject.toml").read_text().replace('"two<2"', f'"{requirement}"')
    write(proposed, {"pyproject.toml": text})
    shutil.copy(project.root / "uv.lock", proposed)
    workspace = project.rooms.workspace
    environments = Environments(workspace.database, workspace.objects, proposed, workspace.local)
    environments.lock()
    files = {name: (proposed / name).read_bytes() for name in ("pyproject.toml", "uv.lock")}
    return run_trial(
        project.rooms, Request("p", {}), files, environments.current, project.opener, Unwatched()
    )


def test_what_changed_is_told(project: Project, tmp_path: Path) -> None:
    """The package, the metric, the output and the new warning; the step that is the same is not named."""
    trial = tried(project, tmp_path, "two>=2")

    comparison = trial.comparison
    assert comparison is not None
    assert [each.name for each in comparison.packages] == ["two"]
    assert [(each.name, each.then, each.now) for each in comparison.metrics] == [("version", 1.0, 2.0)]
    assert {each.node: each.verdict for each in comparison.outputs} == {
        "same": "identical",
        "asks": "different",
    }
    assert trial.warnings == ("DeprecationWarning: two is another",)
    assert trial.passed
    assert trial.tested.verdict == "not run"


def test_the_project_stays_as_it_is(project: Project, tmp_path: Path) -> None:
    """Its files, its lock, and its runs but for the one that is compared with."""
    before = {name: (project.root / name).read_bytes() for name in ("pyproject.toml", "uv.lock")}
    own = project.run("p")

    tried(project, tmp_path, "two>=2")

    assert {name: (project.root / name).read_bytes() for name in before} == before
    assert all(run.state == "succeeded" for run in project.runs.list())
    assert project.run("p").state == own.state


def test_a_pipeline_that_fails_aside_is_told(project: Project, index: Index, tmp_path: Path) -> None:
    """The error of the step is part of the result, and nothing is raised."""
    index.add("two", "3.0")

    trial = tried(project, tmp_path, "two>=3")

    assert trial.error is not None
    assert "two is too new" in trial.error.message
    assert not trial.passed


def test_a_pipeline_that_cannot_begin_aside_is_told(
    project: Project, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that does not import with the new package is a result, beside that of the tests."""
    monkeypatch.setattr(index, "files", dict(index.files))  # the other tests have a sound one
    index.add("two", "3.0", two="raise ImportError('two is broken')")
    file = project.root / "pipelines/p.py"
    file.write_text(f"import two\n{file.read_text()}")

    trial = tried(project, tmp_path, "two>=3")

    assert trial.error is not None
    assert "two is broken" in trial.error.message
    assert (trial.ran, trial.passed, trial.comparison) == (True, False, None)


def test_one_trial_goes_on_at_a_time(project: Project, tmp_path: Path) -> None:
    """A second one is refused, and leaves the folder of the first as it is."""
    folder = project.rooms.workspace.local / "trials"
    write(folder, {"latest/mine.txt": "1"})

    with (
        locked(folder / "latest.lock", fcntl.LOCK_EX),
        pytest.raises(Conflict, match="another trial goes on"),
    ):
        tried(project, tmp_path, "two>=2")

    assert (folder / "latest" / "mine.txt").exists()


def test_no_environment_stays_in_a_place_aside(project: Project, tmp_path: Path) -> None:
    """What was tried may be looked at; its packages would fill the disk."""
    trial = tried(project, tmp_path, "two>=2")

    assert (trial.folder / "pipelines" / "p.py").exists()
    assert (trial.folder / ".mlwright" / "local").exists()
    assert not list(trial.folder.rglob("pyvenv.cfg"))


def test_a_pipeline_that_fails_here_cannot_be_compared(project: Project, tmp_path: Path) -> None:
    """What is broken already is said before anything is tried."""
    file = project.root / "pipelines/p.py"
    file.write_text(file.read_text().replace("return 1", "return 1 // 0"))

    with pytest.raises(WorkFailed, match="`p` fails with the packages that the project has"):
        tried(project, tmp_path, "two>=2")


def test_what_a_file_says_is_not_changed_by_a_proposal(project: Project, index: Index) -> None:
    """An environment of `[tool.mlwright.environments]` is as it is, and tried with the others."""
    file = project.root / "pyproject.toml"
    file.write_text(file.read_text() + 'environments = { old = "old.txt" }\n')
    write(project.root, {"old.txt": "three"})
    project.environments.lock_all()
    proposal = project.environments.changes.plan_add(["two==2.0"])

    trial = project.try_proposal(proposal, "p")

    assert trial.passed
    assert project.environments.proposed(proposal, "old") == project.environments.current("old")


def test_an_error_of_a_proposal_names_the_project(project: Project) -> None:
    """The place in which uv works is gone by then."""
    proposal = project.environments.changes.plan_add(["two==2.0"])

    with pytest.raises(Invalid) as refusal:
        project.environments.proposed(proposal, "nosuch")

    assert refusal.value.where == str(project.root / "pyproject.toml")


SCRIPT = """# /// script
# dependencies = ["two<2"]
# [[tool.uv.index]]
# url = "{index}/simple"
# default = true
# ///
import two
open("made.txt", "w").write(two.VERSION)
"""


def test_a_script_with_its_own_lock_keeps_it(project: Project, index: Index) -> None:
    """What it says itself that it needs, a change of the project does not touch."""
    write(project.root, {"train.py": SCRIPT.format(index=index.url)})
    project.environments.lock_file("train.py")

    trial = project.try_proposal(project.environments.changes.plan_add(["two==2.0"]), "train.py")

    assert trial.comparison is not None
    assert {each.verdict for each in trial.comparison.outputs} == {"identical"}, trial


TESTS = """
def test_version():
    import two
    assert two.VERSION == "{version}"

def test_the_step():
    from pipelines.p import same
    assert same() == 1
"""


@pytest.mark.parametrize(("version", "verdict"), [("2.0", "passed"), ("1.0", "failed")])
def test_the_projects_tests_run_aside(
    project: Project, index: Index, tmp_path: Path, version: str, verdict: str
) -> None:
    """In an environment with pytest and the other packages; they may import the project and mlwright."""
    offer_pytest(index)
    file = project.root / "pyproject.toml"
    file.write_text(file.read_text() + '\n[dependency-groups]\ndev = ["pytest"]\n')
    project.environments.lock()
    write(project.root, {"tests/test_it.py": TESTS.format(version=version)})

    trial = tried(project, tmp_path, "two==2.0")

    assert trial.tested.verdict == verdict, trial.tested.told
    assert trial.passed == (verdict == "passed")


def offer_pytest(index: Index) -> None:
    """What is called pytest there looks for functions called `test_*`, and nothing more."""
    main = """
import pathlib, sys
sys.path.insert(0, ".")
failed = 0
for path in pathlib.Path("tests").glob("test_*.py"):
    space = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    for name, function in space.items():
        if name.startswith("test_"):
            try:
                function()
            except Exception as error:
                print(name, repr(error))
                failed = 1
sys.exit(failed)
"""
    files = {"pytest/__init__.py": "", "pytest/__main__.py": main}
    index.files["pytest-1.0-py3-none-any.whl"] = wheel("pytest", "1.0", [], files)
