"""Lineage: the walk from anything to what it was made from and to what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.app import Project
from mlwright.kernel import edges
from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Run
from mlwright.versioning import Finder, Lineage, LineageNode, Start
from tests.conftest import mlwright
from tests.versioning.conftest import counted, digest, made


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
