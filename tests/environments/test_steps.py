"""Environments with a dependency group or an extra: what they hold, and the steps that run in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from mlwright.app import Project
from mlwright.environments import Environments
from mlwright.kernel import edges
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import Invalid
from mlwright.kernel.writer import Writer
from mlwright.storage.inline import put_inline
from mlwright.tracking import Run
from mlwright.workflow import Graph, Node, Request
from mlwright.workflow.detail import run_detail
from mlwright.workflow.graph import Argument
from mlwright.workflow.judge import Judge
from mlwright.workflow.known import Known
from mlwright.workflow.records import Records
from mlwright.workflow.watch import Unwatched
from mlwright.workflow.why import why
from tests.conftest import write
from tests.environments.conftest import Index, Small
from tests.versioning.conftest import SIGNATURE, made

Make = Callable[..., Small]

GROUPS = """
[dependency-groups]
dev = ["Big_Name"]
old = ["two<2", {{include-group = "named"}}]
named = [{named}]

[project.optional-dependencies]
new-one = ["one"]
"""

PIPELINE = """
from mlwright import pipeline, step

def versions() -> dict[str, str]:
    from importlib.metadata import distributions
    return {each.name: each.version for each in distributions() if each.name in {"one", "two", "nowhere"}}

@step
def own() -> dict[str, str]:
    return versions()

@step(environment="old")
def old(before: dict[str, str]) -> dict[str, str]:
    import two
    return versions() | {"told": two.VERSION}

@step(environment="new_one")
def new(before: dict[str, str]) -> dict[str, str]:
    import one
    return versions() | {"told": one.VERSION}

@pipeline
def three():
    new(old(own()))
"""


class Listener(Unwatched):
    """Keeps what a run is prepared with."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def preparing(self, what: str) -> None:
        self.told.append(what)


def grouped(small: Small, named: str = "") -> Environments:
    """Add groups and an extra to a project, and lock it."""
    file = small.root / "pyproject.toml"
    file.write_text(file.read_text().partition("\n[dependency-groups]")[0] + GROUPS.format(named=named))
    small.environments.lock()
    return small.environments


def versions(environments: Environments, name: str) -> dict[str, str]:
    """What an environment of the project holds."""
    pins = environments.build(environments.current(name)).inventory.pins
    return {package: pin.partition(" ")[0] for package, pin in pins.items()}


@pytest.fixture
def project(make: Make) -> Iterator[Project]:
    """A project with a pipeline whose steps run in three environments."""
    small = make("nowhere")
    grouped(small)
    write(small.root, {"pipelines/p.py": PIPELINE})
    with Project.open(small.root) as opened:
        yield opened


def results(project: Project, run: Run) -> dict[str, dict[str, str]]:
    """What each step of a run returned."""
    return {
        each.attempt.node: json.loads(project.rooms.objects.get(each.outputs["result"].digest))
        for each in run_detail(project.rooms, run.id).attempts
    }


def states(project: Project, run: Run) -> dict[str, str]:
    return {each.node: each.state.value for each in project.rooms.attempts.of_run(run.id)}


def test_an_environment_holds_the_projects_own_packages_and_its_group_or_extra(make: Make) -> None:
    """A named environment is the project's own and one group or extra, and neither another nor `dev`."""
    environments = grouped(make("nowhere"))

    told = {name: versions(environments, name) for name in ("", "old", "new-one")}

    assert told == {
        "": {"nowhere": "1.0"},
        "old": {"nowhere": "1.0", "two": "1.0"},
        "new-one": {"nowhere": "1.0", "one": "1.0", "two": "1.0"},
    }


def test_names_are_compared_as_packages_are(make: Make) -> None:
    """Case and the kind of dash do not count, as for uv."""
    environments = grouped(make())

    assert environments.current("New_One") == environments.current("new-one")
    assert environments.current("New_One") != environments.current()


def test_a_named_environment_is_looked_up_without_uv(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name is exported once, and not confused with another of the same project."""
    environments = grouped(make())
    first = [environments.current(name) for name in ("", "old", "new-one")]
    monkeypatch.setenv("UV_OFFLINE", "nonsense")  # uv refuses to start with it

    again = [environments.current(name) for name in ("", "old", "new-one")]

    assert again == first
    assert len({lock.digest for lock in first}) == 3


@pytest.mark.parametrize(
    ("name", "hint"), [("odl", "did you mean `old`?"), ("x" * 30, "known: dev, named, new-one, old")]
)
def test_an_unknown_environment_is_answered_with_the_nearest(make: Make, name: str, hint: str) -> None:
    """What is neither group nor extra is refused, with the file and what there is."""
    environments = grouped(make())

    with pytest.raises(Invalid, match=f"there is no environment `{name}`") as refusal:
        environments.current(name)

    assert (refusal.value.where, refusal.value.hint) == (str(environments._root / "pyproject.toml"), hint)


def test_a_project_without_groups_is_told_how_to_write_one(make: Make) -> None:
    """Where there is nothing to choose from, the hint is what to write."""
    small = make()

    with pytest.raises(Invalid) as refusal:
        small.environments.current("torch")

    assert refusal.value.hint == 'add one: [dependency-groups] torch = ["PACKAGE"]'


def test_a_name_that_is_two_things_is_refused(make: Make) -> None:
    """A group and an extra of one name are not guessed between, however they are spelled."""
    small = make()
    grouped(small)
    file = small.root / "pyproject.toml"
    file.write_text(file.read_text() + 'Dev = ["one"]\n')
    small.environments.lock()

    with pytest.raises(Invalid, match="the environment `dev` is both a dependency group and an extra"):
        small.environments.current("dev")


@pytest.mark.parametrize("line", ["-e .", "../one.whl"])
def test_a_line_of_a_group_that_is_no_requirement_is_refused(make: Make, line: str) -> None:
    """Groups are held to what dependencies are held to, before uv sees them."""
    small = make()

    with pytest.raises(Invalid, match="is not a requirement"):
        grouped(small, named=f'"{line}"')


def test_each_step_runs_in_its_own_environment(project: Project) -> None:
    """A step has the packages of its environment, and the run is tied to every lock it was made with."""
    listener = Listener()

    run, error = project.pipelines.run(Request("three", {}), listener)

    assert error is None
    assert results(project, run) == {
        "own": {"nowhere": "1.0"},
        "old": {"nowhere": "1.0", "two": "1.0", "told": "1.0"},
        "new": {"nowhere": "1.0", "one": "1.0", "two": "1.0", "told": "1.0"},
    }
    made_with = {edge.role: edge.earlier for edge in edges.made_from(project.rooms.database, run.end)}
    locks = {role: end for role, end in made_with.items() if end.kind == "lock"}
    assert locks == {
        "environment": project.environments.current().end,
        "environment:old": project.environments.current("old").end,
        "environment:new_one": project.environments.current("new-one").end,
    }
    assert all(project.environments.get(end.id).end == end for end in locks.values())
    assert [what for what in listener.told if what.startswith("installing")] == [
        "installing the environment: 1 package is locked",
        "installing the environment `new_one`: 3 packages are locked",
        "installing the environment `old`: 2 packages are locked",
    ]


def test_a_package_of_a_group_counts_for_the_steps_in_it_only(project: Project, index: Index) -> None:
    """A new version in one group runs the steps that reach it there, and `runs why` names the package."""
    index.add("three", "2.0")
    project.run("three")
    grouped_text = (project.root / "pyproject.toml").read_text()
    (project.root / "pyproject.toml").write_text(grouped_text.replace('"two<2"', '"two>=2"'))
    project.environments.lock()

    run = project.run("three")

    assert states(project, run) == {"own": "reused", "old": "succeeded", "new": "succeeded"}
    assert "two 1.0 -> 2.0" in [each.text for each in why(project.rooms, run.id, "old").differences]


def test_a_step_of_an_unknown_environment_is_refused_before_anything_is_recorded(project: Project) -> None:
    """A misspelt environment costs one look at the project, and no run."""
    file = project.root / "pipelines/p.py"
    file.write_text(file.read_text().replace('"old"', '"odl"'))

    with pytest.raises(Invalid, match="there is no environment `odl`"):
        project.run("three")

    assert project.runs.list() == []


def test_several_environments_do_not_fit_into_one_process(project: Project) -> None:
    """The inline executor refuses what it would run with the packages of another environment."""
    with pytest.raises(Invalid, match="a step runs in the environment `new_one`, and one process"):
        project.run("three", executor="inline")

    assert project.runs.list() == []


def test_a_run_is_reproduced_in_the_environments_it_was_made_with(project: Project) -> None:
    """After the groups have moved on, a run is made again with the packages of then."""
    write(project.root, {".gitignore": "uv.lock\n"})  # the snapshot does not have it
    run = project.run("three")
    file = project.root / "pyproject.toml"
    file.write_text(file.read_text().replace('"two<2"', '"two>=2"'))
    project.environments.lock()
    now = results(project, project.run("three"))["old"]

    reproduction = project.reproduce(run.id)

    assert now["told"] == "2.0"
    assert reproduction.error is None
    assert reproduction.identical


@pytest.mark.parametrize("name", ["", "old"])
def test_a_model_is_loaded_in_the_environment_its_signature_was_read_in(project: Project, name: str) -> None:
    """What `register` makes a version is tied to the lock of the step that gave it."""
    rooms, own, other = project.rooms, project.environments.current(), project.environments.current("old")
    code = rooms.snapshots.take()
    with rooms.database.transaction() as tx:
        rooms.snapshots.record(tx, code)
        run, lease = rooms.runs.begin(tx, project="small", pipeline="three", seed=0, parameters={}, pins={})
        made_with = [Edge(run.end, "environment", own.end), Edge(run.end, "environment:old", other.end)]
        edges.add(tx, [*made_with, Edge(run.end, "code", code.end)])
        described = put_inline(tx, json.dumps(SIGNATURE).encode()).digest
        known = Known(
            outputs={("fit", "result"): made(tx, "aa"), ("signature", "result"): made(tx, described)}
        )
    given = {step: Argument("output", node=step, output="result") for step in ("fit", "signature")}
    inputs = {"model": given["fit"], "signature": given["signature"]}
    register = Node("register", "register", inputs, {}, settings={"name": "m", "message": ""})
    graph = Graph("three", (Node("signature", "step", {}, {"result": "dict"}, environment=name), register))
    writer = Writer(rooms.database)
    records = Records(rooms.attempts, writer, run, lease)

    Judge(rooms, records, run, graph, known, set(), {}, replay=False).judge(register)
    writer.close()

    assert rooms.models.detail("m@1").environment == (other if name else own).digest
