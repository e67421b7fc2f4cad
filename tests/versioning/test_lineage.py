"""Lineage: the walk from anything to what it was made from and to what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Run, RunState
from mlwright.versioning import Finder, Lineage, LineageNode, Start, artifacts_of
from mlwright.versioning.lineage_mermaid import mermaid
from mlwright.workflow.impact import command_of
from tests.conftest import mlwright, write
from tests.versioning.conftest import counted, digest, made

MAPPED = """
from mlwright import pipeline, step

@step
def double(number: int) -> int:
    return number * 2

@step
def total(numbers: list[int]) -> int:
    return sum(numbers)

@pipeline
def p():
    total(double.map([1, 2]))
"""


@pytest.fixture
def database() -> Iterator[Database]:
    """An empty database."""
    made = SqliteDatabase(":memory:")
    made.migrate(all_migrations())
    yield made
    made.close()


def tie(database: Database, *pairs: str) -> None:
    """`"b<a"`: b was made from a."""
    ends = [pair.split("<") for pair in pairs]
    with database.transaction() as tx:
        edges.add(tx, [Edge(End("thing", later), "from", End("thing", earlier)) for later, earlier in ends])


def lineage_of(database: Database) -> Lineage:
    """Lineage over things that are named by their own ids."""
    return Lineage(
        database, [Finder("thing", lambda text: [Start(End("thing", text))])], {"thing": str.upper}
    )


def outline(node: LineageNode) -> str:
    """`A(B(C) D*)`: children in brackets, `*` for what was shown before."""
    inner = " ".join(outline(child) for child in node.children)
    return node.label + ("*" if node.again else "") + (f"({inner})" if inner else "")


def size(node: LineageNode) -> int:
    """How many nodes a tree has."""
    count, waiting = 0, [node]
    while waiting:
        count += 1
        waiting += waiting.pop().children
    return count


def test_up_are_origins_and_down_are_results(database: Database) -> None:
    """Up leads to what a thing was made from, down to what came of it."""
    tie(database, "b<a", "c<b", "d<b", "z<y")

    up, down = lineage_of(database).tree("c"), lineage_of(database).tree("a", down=True)

    assert outline(up) == "C(B(A))"
    assert outline(down) == "A(B(C D))"


def test_where_paths_meet_again_is_marked(database: Database) -> None:
    """What two paths lead to is spelled out once and marked `again` after that."""
    tie(database, "d<b", "d<c", "b<a", "c<a", "a<origin")

    tree = lineage_of(database).tree("d")

    assert outline(tree) == "D(B(A(ORIGIN)) C(A*))"


def test_an_end_that_is_met_twice_is_not_marked(database: Database) -> None:
    """What has nothing behind it is shown in full each time: there is nothing above to point to."""
    tie(database, "d<b", "d<c", "b<a", "c<a")

    tree = lineage_of(database).tree("d")

    assert outline(tree) == "D(B(A) C(A))"


def test_bytes_are_shown_when_asked_for(database: Database) -> None:
    """Objects and trees are left out of the tree unless they are asked for; the edges always hold them."""
    lineage = lineage_of(database)
    tie(database, "b<a")
    with database.transaction() as tx:
        edges.add(tx, [Edge(End("thing", "a"), "bytes", End("object", "ab" * 32))])

    plain, full = lineage.tree("b"), lineage.tree("b", with_bytes=True)

    assert outline(plain) == "B(A)"
    assert outline(full) == "B(A(object abababababab))"
    assert len(lineage.edges("b")) == 2


def test_a_year_of_nightly_runs_can_be_walked(database: Database) -> None:
    """A chain of thousands of things is a tree of thousands of nodes, both ways."""
    tie(database, *(f"t{index + 1}<t{index}" for index in range(3000)))

    up, down = lineage_of(database).tree("t3000"), lineage_of(database).tree("t0", down=True)

    assert (size(up), size(down)) == (3001, 3001)


graphs = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 11)).filter(lambda pair: pair[0] > pair[1]), max_size=30
)


@given(graphs)
def test_every_edge_is_in_the_tree_exactly_once(pairs: list[tuple[int, int]]) -> None:
    """Whatever the graph, the tree shows each edge behind the start once, and nothing else."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    tie(database, *(f"{later}<{earlier}" for later, earlier in pairs))

    tree = lineage_of(database).tree("12")

    shown, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        shown += [(node.end, child.end) for child in node.children]
        waiting += node.children
    reached = lineage_of(database).edges("12")
    assert sorted(shown, key=str) == sorted(((edge.later, edge.earlier) for edge in reached), key=str)
    database.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose pipeline read a dataset in one run, and a model that came of it."""
    with counted(tmp_path_factory.mktemp("lineage")) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(project: Project) -> Run:
    """That run."""
    return project.runs.get("latest")


def test_every_kind_of_reference_is_found(project: Project, run: Run) -> None:
    """Versions, runs, steps, predictions and every recorded digest lead to the thing they name."""
    model = project.models.versions.resolve("lines@1")
    data = project.datasets.versions.resolve("patients@1")
    detail = project.models.detail("lines@champion")
    step = next(each for each in project.rooms.attempts.of_run(run.id) if each.node == "score")
    artifact = End("artifact", model.artifact_id)
    expected = {
        "patients": data.end,
        "patients@1": data.end,
        f"patients@b3:{data.digest[:8]}": data.end,
        "lines@champion": model.end,
        f"{model.id}-0123abcd": model.end,
        run.id: run.end,
        run.id[:10].lower(): run.end,
        f"{run.id[:10]}/score": step.end,
        f"b3:{model.digest}": artifact,
        model.digest[:10]: artifact,
        f"b3:{detail.code[:12]}": End("snapshot", detail.code),
        f"b3:{detail.environment[:12]}": End("lock", detail.environment),
    }

    found = {text: project.lineage.find(text) for text in expected}

    assert found == expected


@pytest.mark.parametrize("text", ["nothing", "patients@9", "b3:0000", "b3:", "", "7ZZZZZZZZZ", "@", "a b"])
def test_what_nobody_knows_is_not_found(text: str, project: Project, run: Run) -> None:
    """A text that names nothing is repeated in the message, with the forms a reference can have."""
    with pytest.raises(NotFound, match="nothing is named") as refusal:
        project.lineage.find(text)

    assert repr(text) in refusal.value.message
    assert "NAME@3" in str(refusal.value.hint)


def test_a_digest_that_fits_several_artifacts_asks_for_more(project: Project) -> None:
    """The beginning of a digest that different artifacts share is not taken for the older one of them."""
    with project.rooms.database.transaction() as tx:
        for beginning in ("ab12aa", "ab12ab", "ab12ab"):
            made(tx, digest(beginning))

    with pytest.raises(Invalid, match="'b3:ab12' fits several things: artifact b3:ab12aa"):
        project.lineage.find("b3:ab12")

    assert project.lineage.find("b3:ab12aa").kind == "artifact"
    assert project.lineage.find("b3:ab12ab") == End("object", digest("ab12ab"))
    both = project.lineage.edges("b3:ab12ab", down=True)
    assert {edge.later.kind for edge in both} == {"artifact"} and len(both) == 2


def test_outputs_and_ids_are_found(project: Project, run: Run) -> None:
    """What a step made is named behind it, by a colon or a slash; attempts and artifacts have ids too."""
    step = next(each for each in project.rooms.attempts.of_run(run.id) if each.node == "score")
    (scores,) = artifacts_of(project.rooms.database, step.id).values()
    expected = {
        "latest/score:result": scores.end,
        "latest/score/result": scores.end,
        f"run:{run.id[:10]}/score": step.end,
        step.id: step.end,
        scores.id: scores.end,
        f"prediction:{project.models.versions.resolve('lines').id}-0123abcd": project.models.versions.resolve(
            "lines"
        ).end,
    }

    found = {text: project.lineage.find(text) for text in expected}

    assert found == expected


def test_a_mapped_step_is_all_its_elements(opened: Callable[[dict[str, str]], Project]) -> None:
    """`RUN/STEP` of a mapped step leads down from each of its elements, `RUN/STEP[0]` from one."""
    project = opened({"pipelines/p.py": MAPPED})
    done = project.run("p")

    whole = project.lineage.tree("latest/double", down=True)

    assert whole.label == f"step double of run {done.id[:10]}, all elements"
    assert [child.label.split()[1] for child in whole.children] == ["double[0]", "double[1]"]
    assert project.lineage.find("latest/double[1]").kind == "attempt"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("latest/scor", "has no step `scor`", "score"),
        ("latest/score:resul", "step `score` of run .* made no `resul`", "result"),
    ],
)
def test_a_step_or_output_that_is_not_there_is_named(
    project: Project, run: Run, text: str, message: str, hint: str
) -> None:
    """The message says what is missing, the hint what is near."""
    with pytest.raises(NotFound, match=message) as refusal:
        project.lineage.find(text)

    assert hint in str(refusal.value.hint)


def test_a_file_is_found_by_its_bytes(project: Project, run: Run, tmp_path: Path) -> None:
    """Wherever it lies and whatever it is called; up stands what it is a copy of, down what came of it."""
    copy = tmp_path / "copy of it.csv"
    copy.write_bytes((project.root / "patients.csv").read_bytes())
    data, model = project.datasets.versions.resolve("patients"), project.models.versions.resolve("lines")

    up, down = (project.lineage.edges(str(copy), down=down) for down in (False, True))
    inside = project.lineage.tree("patients.csv")

    assert data.end in {edge.earlier for edge in up if edge.later == End("file", str(copy))}
    assert {run.end, model.end} <= {edge.later for edge in down}
    assert inside.label == "file patients.csv"
    assert "dataset patients@1" in {child.label for child in inside.children}


def test_code_is_found_by_its_file_and_its_commit(project: Project, run: Run) -> None:
    """A source file leads down to the runs whose snapshots hold it, a commit to those taken at it."""
    taken = replace(project.rooms.snapshots.take(), git_commit="c0ffee" * 6 + "0123", digest=digest("5eed"))
    with project.rooms.database.transaction() as tx:
        project.rooms.snapshots.record(tx, taken)

    file = project.lineage.edges("pipelines/p.py", down=True)
    commit = project.lineage.edges("c0ffeec0f", down=True)

    assert run.end in {edge.later for edge in file}
    assert [(edge.later, edge.role, edge.earlier) for edge in commit] == [
        (taken.end, "commit", End("commit", taken.git_commit))
    ]
    assert project.lineage.label(project.lineage.find("commit:c0ffeec0")) == "commit c0ffeec0ff"


def test_a_folder_is_the_dataset_with_the_same_files(project: Project, tmp_path: Path) -> None:
    """A folder is found when it has just the files of a version; each of its files is found in it."""
    folder = tmp_path / "scans"
    write(folder, {"a.txt": "first", "deep/b.txt": "second"})
    version, _ = project.datasets.add(folder, "scans")
    second = project.datasets.tree(version).entries[1].digest

    found = project.lineage.start(str(folder))
    entry = project.lineage.start(f"b3:{second}")
    deep = project.lineage.start(str(folder / "deep/b.txt"))
    (folder / "a.txt").write_text("changed")

    assert found.end.kind == "folder" and version.end in found.holders
    assert entry.end == End("object", second)
    assert version.end in entry.holders and version.end in deep.holders
    with pytest.raises(NotFound, match=r"on record holds what is in .*a\.txt now") as refusal:
        project.lineage.find(str(folder / "a.txt"))
    assert refusal.value.hint == "it belonged to dataset scans@1: mlwright datasets status"


def test_a_file_that_nobody_recorded_is_said_to_be_so(project: Project, tmp_path: Path) -> None:
    """It is there, but not on record; the hint makes it a version."""
    (tmp_path / "other.csv").write_text("nobody has this\n")

    with pytest.raises(NotFound, match=r"no dataset, artifact or snapshot on record holds") as refusal:
        project.lineage.find(str(tmp_path / "other.csv"))

    assert "mlwright datasets add" in str(refusal.value.hint)


def test_what_fits_several_things_is_refused_with_all_of_them(project: Project, tmp_path: Path) -> None:
    """A dataset and a model of one name are told apart by the kind before the name."""
    write(tmp_path, {"lines.txt": "a dataset that is called as the model is"})
    data, _ = project.datasets.add(tmp_path / "lines.txt", "lines")

    with pytest.raises(Invalid, match="'lines@1' fits several things: model lines@1, dataset lines@1") as no:
        project.lineage.find("lines@1")

    assert "mlwright lineage model:lines@1" in str(no.value.hint)
    assert project.lineage.find("dataset:lines@1") == data.end
    assert project.lineage.find("model:lines@1") == project.models.versions.resolve("lines@1").end
    project.datasets.remove("lines@1")


def test_kinds_of_later_rooms_are_walked_without_knowing_them(project: Project, run: Run) -> None:
    """An image made of a model, and a deployment of that, stand on the way down from the data."""
    model = project.models.versions.resolve("lines@1")
    image, deployment = End("image", "sha256"), End("deployment", "wards")
    with project.rooms.database.transaction() as tx:
        edges.add(tx, [Edge(image, "model", model.end), Edge(deployment, "image", image)])

    impact = project.impact("patients@1")
    tree = project.lineage.tree("lines@1", down=True)

    assert impact.others == ("deployment wards", "image sha256")
    assert [(child.role, child.label) for child in tree.children] == [("model", "image sha256")]
    assert "deployment wards" in project.lineage.walk("patients@1", down=True).mermaid()


def test_impact_says_what_to_make_again(project: Project, run: Run) -> None:
    """Runs, models with their aliases, and the command that runs the same with what is right by then."""
    impact = project.impact("patients@1")

    assert impact.label == "dataset patients@1"
    assert [each.id for each in impact.runs] == [run.id]
    assert [(each.reference, each.aliases, each.run) for each in impact.models] == [
        ("lines@1", ("champion",), run.id)
    ]
    (remedy,) = impact.again
    assert remedy.command == "mlwright run count -p data=patients@latest"
    assert (remedy.runs, remedy.makes, remedy.note) == ((run.id,), ("lines@1",), "")


def test_impact_counts_runs_that_only_reused(opened: Callable[[dict[str, str]], Project]) -> None:
    """A run that took its result from the cache is affected as the run that made it is."""
    project = opened({"pipelines/p.py": MAPPED})
    first, second = project.run("p"), project.run("p")

    impact = project.impact(f"{first.id}/double[0]")

    assert {each.id for each in impact.runs} == {first.id, second.id}
    assert [len(remedy.runs) for remedy in impact.again] == [2]


def test_a_command_that_asks_for_what_was_wrong_says_so(tmp_path: Path) -> None:
    """To run the same again would read the same wrong version: it is told beside the command."""
    with counted(tmp_path) as project:
        project.run("count", data="patients@1")

        again = {remedy.command: remedy.note for remedy in project.impact("patients@1").again}

    assert again == {
        "mlwright run count -p data=patients@latest": "",
        "mlwright run count -p data=patients@1": "it asks for patients@1 itself: name another version",
    }


def test_a_command_asks_for_the_same_again() -> None:
    """Parameters as they are typed, seeds that are not 0, and a script's arguments at their place."""
    run = Run(RunId("R"), "p", "train", RunState.SUCCEEDED, 7, 0, None, None, {})

    again = command_of(run, {"data": "patients@3", "name": "a b", "sizes": [1, 2], "x": 0.5, "on": True})
    script = command_of(replace(run, pipeline="a b.py", kind="script", seed=0), {"arguments": ["--n", "3"]})

    assert again == (
        "mlwright run train --seed 7 -p data=patients@3 -p 'name=a b' -p 'sizes=[1, 2]' -p x=0.5 -p on=true"
    )
    assert script == "mlwright run 'a b.py' --n 3"


def read_mermaid(text: str) -> tuple[dict[str, str], set[tuple[str, str, str]]]:
    """The nodes of a flowchart with their words, and its arrows: a parser that takes nothing else."""
    words = r'"((?:[^"#&<`*~\\\n]|#(?:quot|amp|lt|[0-9]+);)*)"'
    head, *lines, style, last = text.split("\n")
    assert (head, last) == ("flowchart TD", "")
    assert re.fullmatch(r"    style n0 stroke-width:3px", style)
    nodes, arrows = {}, set()
    for line in lines:
        if node := re.fullmatch(
            rf"    (n\d+)(?:\(\[{words}\]\)|\[\[{words}\]\]|\[/{words}/\]|\[{words}\]|\({words}\))", line
        ):
            assert node[1] not in nodes
            nodes[node[1]] = next(each for each in node.groups()[1:] if each is not None)
        else:
            arrow = re.fullmatch(rf"    (n\d+) -->\|{words}\| (n\d+)", line)
            assert arrow is not None, line
            arrows.add((arrow[1], arrow[2], arrow[3]))
    return nodes, arrows


def test_mermaid_draws_each_thing_and_each_edge_once(project: Project, run: Run) -> None:
    """Arrows lead from earlier to later, on the way up as on the way down."""
    for down in (False, True):
        reference = "patients@1" if down else "lines@1"
        walked = [
            edge
            for edge in project.lineage.edges(reference, down=down)
            if not {edge.later.kind, edge.earlier.kind} & {"object", "tree"}
        ]

        nodes, arrows = read_mermaid(project.lineage.walk(reference, down=down).mermaid())

        drawn = {(nodes[source], role, nodes[target]) for source, role, target in arrows}
        label = project.lineage.label
        assert drawn == {(label(edge.earlier), edge.role, label(edge.later)) for edge in walked}
        assert len(arrows) == len(walked)


@given(st.text(min_size=1), st.text(min_size=1))
def test_mermaid_takes_any_label(label: str, role: str) -> None:
    """Quotes, brackets, tags, Markdown and line ends in names break no flowchart."""
    start, other = End("run", "1"), End("deployment", "2")

    nodes, arrows = read_mermaid(mermaid(start, [Edge(other, role, start)], lambda end: f"{label} {end.id}"))

    assert len(nodes) == 2
    assert len(arrows) == 1


def test_a_model_leads_to_code_data_and_environment(project: Project, run: Run) -> None:
    """Up from a model version stand its run with code, data and environment, each with a label."""
    tree = project.lineage.tree("lines@1")

    labels, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        labels.append(node.label)
        waiting += node.children
    text = "\n".join(labels)
    assert "model lines@1" in text
    assert "dataset patients@1" in text
    assert "environment b3:" in text
    assert ", no Git commit)" in text
    assert f"run {run.id[:10]} of count (succeeded)" in text
    assert f"step score of run {run.id[:10]} (succeeded)" in text


def test_a_dataset_leads_down_to_all_that_came_of_it(project: Project, run: Run) -> None:
    """Down from a dataset version stand the run that read it, its outputs, and the model."""
    ends = {edge.later for edge in project.lineage.edges("patients@1", down=True)}

    model = project.models.versions.resolve("lines@1")
    assert {run.end, model.end, End("artifact", model.artifact_id)} <= ends


def test_the_door_tells_the_impact(project: Project, run: Run) -> None:
    """Behind the way down, or alone: in words, or as JSON."""
    root = project.root

    down = mlwright("lineage", "patients@1", "--down", cwd=root).stdout
    alone = mlwright("lineage", "patients@1", "--impact", cwd=root).stdout
    read = json.loads(mlwright("lineage", "patients@1", "--impact", "--json", cwd=root).stdout)
    nothing = mlwright("lineage", f"{run.id}/gate", "--impact", cwd=root).stdout

    assert down.endswith("\n\n" + alone)
    assert alone.splitlines()[0] == "if dataset patients@1 was wrong, this is affected:"
    assert "lines@1 (@champion)" in alone
    assert "  mlwright run count -p data=patients@latest\n" in alone
    assert read["models"][0]["reference"] == "lines@1"
    assert "gate" in nothing


def test_the_door_has_one_answer(project: Project, run: Run) -> None:
    """--json is --format json; two formats at once are refused."""
    root = project.root

    one = mlwright("lineage", "lines@1", "--json", cwd=root)
    other = mlwright("lineage", "lines@1", "--format", "json", cwd=root)
    both = mlwright("lineage", "lines@1", "--json", "--format", "mermaid", cwd=root)
    impact = mlwright("lineage", "lines@1", "--impact", "--format", "tree", cwd=root)
    drawn = mlwright("lineage", "lines@1", "--format", "mermaid", cwd=root)

    assert one.stdout == other.stdout
    assert both.returncode == impact.returncode == 2
    assert both.stderr.startswith("error: --json and --format mermaid are two answers\nhint: ")
    assert read_mermaid(drawn.stdout)[0]["n0"] == "model lines@1"


def test_the_door_draws_a_tree_and_writes_edges(project: Project, run: Run) -> None:
    """`lineage` draws the tree, and with --json writes the walk's edges."""
    root = project.root

    drawn = mlwright("lineage", "lines@1", cwd=root)
    written = mlwright("lineage", "patients@1", "--down", "--json", cwd=root)

    assert drawn.stdout.splitlines()[0] == "model lines@1"
    assert "`- " in drawn.stdout
    assert "(above)" in drawn.stdout
    read = [edge for edge in json.loads(written.stdout) if edge["role"].startswith("data:")]
    assert [edge["later"]["id"] for edge in read] == [run.id]
    assert read[0]["earlier"] == {"kind": "version", "id": project.datasets.versions.resolve("patients").id}
