"""Verifying: whatever is damaged or missing is found in one look, with whose it is and what helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from mlwright.app import Project
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.progress import Progress
from mlwright.storage.named import named
from mlwright.versioning import artifacts_of
from mlwright.workspace.verify import Fault
from tests.conftest import mlwright, write
from tests.workspace.conftest import BIG, flip, pictures_in, rewrite

FileOf = Callable[[Digest], Path]

DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": flip,
    "truncated": lambda path: rewrite(path, path.read_bytes()[:-1]),
    "empty": lambda path: rewrite(path, b""),
    "missing": lambda path: path.unlink(),
}


def wide(project: Project) -> Digest:
    """The large output of the run."""
    run = project.runs.get("latest")
    attempt = next(each for each in project.rooms.attempts.of_run(run.id) if each.node == "widen")
    (found,) = artifacts_of(project.rooms.database, attempt.id).values()
    return found.digest


def behind_its_back(root: Path, sql: str, **parameters: object) -> None:
    """Change records as no code of ours does: references are not looked at."""
    connection = apsw.Connection(str(root / ".mlwright" / "metadata.db"))
    connection.execute(sql, parameters)
    connection.close()


def test_a_sound_workspace_has_no_faults(project: Project) -> None:
    """Everything is counted, every byte is heard of, and nothing is changed."""
    heard: list[int] = []

    class Heard(Progress):
        def begin(self, what: str, total_bytes: int | None = None) -> None:
            heard.append(-(total_bytes or 0))

        def advance(self, done_bytes: int) -> None:
            heard.append(done_bytes)

    objects = project.rooms.objects
    stored = {held.digest: held.size_bytes for held in objects.packs.store}
    names = {name.digest for name in named(project.rooms.database, objects)}

    found = project.verify(Heard())

    rows = project.rooms.database.read("SELECT length(data) AS size FROM inline")
    assert found.faults == ()
    assert (found.rows, found.row_bytes) == (len(rows), sum(row["size"] for row in rows))
    assert found.objects == len([digest for digest in names if not objects.is_row(digest)])
    assert found.object_bytes == sum(heard[1:]) > len(BIG)
    assert -heard[0] == sum(stored.values())
    assert found.edges == project.rooms.database.read("SELECT count(*) AS n FROM edge")[0]["n"]
    assert {held.digest: held.size_bytes for held in objects.packs.store} == stored


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("whose", ["large file", "small file", "output", "tree", "code", "log"])
def test_each_damage_is_found_and_told(project: Project, file_of: FileOf, whose: str, damage: str) -> None:
    """One object goes wrong: one fault names its digest, what is wrong, whose it is, and the way on."""
    table = project.datasets.versions.resolve("patients")
    code = project.rooms.database.read("SELECT tree FROM snapshot")[0]["tree"]
    log = project.rooms.database.read("SELECT log FROM attempt WHERE log IS NOT NULL")[0]["log"]
    digest, kind, owner, way = {
        "large file": (digest_of(BIG), "object", "dataset pictures@1, big.bin", "datasets add --verify PATH"),
        "small file": (digest_of(b"small"), "object", "dataset pictures@1, small.txt", "--name pictures"),
        "output": (wide(project), "object", "step widen of run", "mlwright run count --no-cache"),
        "tree": (table.digest, "tree", "dataset patients@1", "datasets add --verify PATH --name patients"),
        "code": (code, "tree", "code b3:", "the next `mlwright run` stores them again"),
        "log": (log, "object", "step score of run", "nothing depends on what a step printed"),
    }[whose]
    lies_in = project.rooms.objects.packs.find(digest)  # a small file lies in a pack
    DAMAGES[damage](file_of(lies_in.pack if lies_in else digest))

    (fault,) = project.verify().faults

    assert (fault.kind, fault.subject) == (kind, digest)
    assert fault.fault == ("missing" if damage == "missing" else "damaged")
    assert any(each.startswith(owner) for each in fault.named_by), fault.named_by
    assert way in fault.hint


def test_all_that_is_wrong_is_found_in_one_look(project: Project, root: Path, file_of: FileOf) -> None:
    """Objects, a small value, an edge and a reference between rows, all at once: each is a fault."""
    output = wide(project)
    flip(file_of(digest_of(BIG)))
    file_of(output).unlink()
    (row,) = project.rooms.database.read("SELECT digest FROM inline ORDER BY digest LIMIT 1")
    behind_its_back(root, "UPDATE inline SET data = x'00' WHERE digest = :digest", digest=row["digest"])
    behind_its_back(root, "DELETE FROM run")

    faults = project.verify().faults

    assert {(fault.kind, fault.subject) for fault in faults if fault.kind in {"object", "row"}} == {
        ("object", digest_of(BIG)),
        ("object", output),
        ("row", row["digest"]),
    }
    assert any(
        "`attempt` refers to a row of `run`" in each.fault for each in faults if each.kind == "records"
    )
    loose = [each.subject for each in faults if each.kind == "edge"]
    assert any("attempt" in each and "-of-> run" in each for each in loose)
    assert any("run" in each and "-code-> snapshot" in each for each in loose)
    assert all(fault.hint for fault in faults)


@pytest.mark.parametrize("table", ["artifact", "version", "snapshot", "lock", "attempt"])
def test_edges_of_every_room_are_held_against_its_rows(project: Project, root: Path, table: str) -> None:
    """Rows that are gone, of any kind that edges meet in, leave loose edges, in either direction."""
    behind_its_back(root, f"DELETE FROM {table}")

    loose = [fault.subject for fault in project.verify().faults if fault.kind == "edge"]

    assert any(each.startswith(f"{table} ") for each in loose)
    assert any(f"-> {table} " in each for each in loose) or table == "attempt"


@pytest.mark.parametrize(("table", "readable"), [("basis", True), ("run", True), ("inline", False)])
def test_a_damaged_page_does_not_end_the_look(
    project: Project, root: Path, file_of: FileOf, table: str, readable: bool
) -> None:
    """When the database itself is damaged, that is said, and what can still be read is looked at."""
    project.close()
    path = root / ".mlwright" / "metadata.db"
    connection = apsw.Connection(str(path))
    pages = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    page = connection.execute(pages, (table,)).fetchall()[0][0]
    connection.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : (page - 1) * 4096 + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    flip(file_of(digest_of(BIG)))

    with Project.open(root) as opened:
        faults = opened.verify().faults

    assert any(fault.kind == "records" for fault in faults)
    assert any(fault.subject == digest_of(BIG) for fault in faults) == readable


def test_a_damaged_pack_hurts_all_that_lies_in_it_and_nothing_else(
    project: Project, file_of: FileOf, tmp_path: Path
) -> None:
    """Each file in it is a fault of its own; the terminal shows the first twenty, and how many there are."""
    folder = write(tmp_path / "many", {f"{number}.txt": f"text {number}" for number in range(40)})
    project.datasets.add(folder, "many")
    place = project.rooms.objects.packs.find(digest_of(b"text 7"))
    assert place is not None
    flip(file_of(place.pack))

    faults = project.verify().faults
    said = mlwright("workspace", "verify", cwd=project.root)

    assert {fault.subject for fault in faults} == {digest_of(f"text {n}".encode()) for n in range(40)}
    assert {fault.hint for fault in faults} == {
        "add the same files again: mlwright datasets add --verify PATH --name many"
    }
    assert said.stdout.count("dataset many@1, ") == 20
    assert "and 20 faults more: --json has all of them" in said.stdout

    added = mlwright("datasets", "add", "--verify", str(folder), "--name", "many", cwd=project.root)

    assert added.returncode == 0, added.stderr
    assert project.verify().faults == ()


def test_what_the_hint_says_heals(project: Project, root: Path, file_of: FileOf) -> None:
    """The same files added again, and the run made again without the cache: nothing is wrong any more."""
    flip(file_of(digest_of(BIG)))
    file_of(wide(project)).unlink()
    before = project.verify().faults

    project.datasets.add(pictures_in(root), "pictures")
    project.run("count", cache=False)

    assert len(before) == 2
    assert project.verify().faults == ()
    assert project.datasets.versions.resolve("pictures").number == 1


def test_what_nothing_names_is_not_looked_at(project: Project, file_of: FileOf) -> None:
    """Bytes without a record are no fault, whatever they are."""
    flip(file_of(project.rooms.objects.put(b"put and never recorded").digest))

    assert project.verify().faults == ()


def test_the_door_says_it_and_exits_with_5(project: Project, root: Path, file_of: FileOf) -> None:
    """Whole: one line and 0. Damaged: whose it is, the hint, 5; the same in JSON."""
    well = mlwright("workspace", "verify", cwd=root)
    flip(file_of(digest_of(BIG)))

    said = mlwright("workspace", "verify", cwd=root)
    told = mlwright("workspace", "verify", "--json", cwd=root)

    assert (well.returncode, well.stderr) == (0, "")
    assert well.stdout.startswith("all is well: read ")
    assert (said.returncode, told.returncode) == (5, 5)
    lines = said.stdout.splitlines()
    assert lines[0] == f"object b3:{digest_of(BIG)[:12]}: damaged"
    assert lines[1:3] == [
        "  dataset pictures@1, big.bin",
        "  hint: add the same files again: mlwright datasets add --verify PATH --name pictures",
    ]
    assert any(line.startswith("1 fault found: read ") for line in lines)
    (fault,) = json.loads(told.stdout)["faults"]
    assert Fault(**{**fault, "named_by": tuple(fault["named_by"])}) == project.verify().faults[0]


def test_show_counts_what_is_recorded_and_what_takes_room(project: Project, root: Path) -> None:
    """Counts of each room, bytes of each part, where all of it lies; the door says the same."""
    found = project.summary()
    shown = mlwright("workspace", "show", cwd=root)
    told = json.loads(mlwright("workspace", "show", "--json", cwd=root).stdout)

    objects = [path for path in (root / ".mlwright" / "objects").glob("??/*") if path.is_file()]
    assert found.counts == {
        "runs": 1,
        "attempts": 4,
        "artifacts": len(project.rooms.database.read("SELECT id FROM artifact")),
        "datasets": 2,
        "models": 1,
        "snapshots": 1,
        "environments": 1,
    }
    assert found.parts["objects"].count == len(objects)
    assert found.parts["objects"].size_bytes == sum(path.stat().st_size for path in objects)
    assert found.parts["local/environments"].size_bytes > 0
    assert found.database == str(root / ".mlwright" / "metadata.db")
    assert found.free_bytes < found.disk_bytes
    assert (shown.returncode, shown.stdout.splitlines()[0]) == (0, f"workspace {project.rooms.workspace.id}")
    assert told["counts"] == found.counts
    assert told["id"] == found.id
