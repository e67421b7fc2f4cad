"""What the records name: every object that an edge leads to, the entries of trees, and who names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel import edges
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Corrupt, MlwrightError, NotFound
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import MemoryObjects, scan, store_tree
from mlwright.storage.named import Name, Namer, named, namers
from tests.storage.conftest import over


@pytest.fixture
def database() -> Iterator[SqliteDatabase]:
    """Records without rows: an edge asks for none."""
    opened = SqliteDatabase(":memory:")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


@pytest.fixture
def objects() -> MemoryObjects:
    """An empty store."""
    return MemoryObjects()


def tie(database: SqliteDatabase, later: str, role: str, kind: str, digest: str) -> End:
    """An edge from an artifact to bytes."""
    end = End("artifact", later)
    with database.transaction() as tx:
        edges.add(tx, [Edge(end, role, End(kind, digest))])
    return end


def tree(objects: MemoryObjects, folder: Path, **files: str) -> Digest:
    """A stored tree of small files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return store_tree(over(objects).packs, scan(folder))[0]


def test_objects_trees_and_their_entries_are_named_once(
    database: SqliteDatabase, objects: MemoryObjects, tmp_path: Path
) -> None:
    """An object of an edge, a tree with its kind, each entry with its size; what two name comes once."""
    alone = objects.put(b"alone").digest
    one = tree(objects, tmp_path / "one", a="shared", b="only here")
    two = tree(objects, tmp_path / "two", c="shared", d="alone")
    objects.put(b"named by nobody")
    for number, (kind, digest) in enumerate([("object", alone), ("tree", one), ("tree", two), ("tree", one)]):
        tie(database, f"a{number}", "bytes", kind, digest)

    found = list(named(database, objects))

    assert len(found) == len({name.digest for name in found})
    assert set(found) == {
        Name(alone, None, 5),
        Name(one, "tree"),
        Name(two, "tree"),
        Name(digest_of(b"shared"), None, 6),
        Name(digest_of(b"only here"), None, 9),
    }


def test_more_than_a_page_of_edges_is_walked(database: SqliteDatabase, objects: MemoryObjects) -> None:
    """Thousands of edges come in pages, and none is lost or told twice where pages meet."""
    digests = [digest_of(str(number).encode()) for number in range(2500)]
    with database.transaction() as tx:
        edges.add(tx, [Edge(End("artifact", d), "bytes", End("object", d)) for d in digests])
        edges.add(tx, [Edge(End("attempt", d), "log", End("object", d)) for d in digests])

    found = [name.digest for name in named(database, objects)]

    assert found == sorted(digests)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_tree_that_cannot_be_read_is_raised_or_told(
    database: SqliteDatabase, objects: MemoryObjects, tmp_path: Path, damage: str
) -> None:
    """Without a listener nobody may go on: its entries are unknown; with one the others are still named."""
    bad = tree(objects, tmp_path / "bad", a="a")
    good = tree(objects, tmp_path / "good", b="b")
    for digest in (bad, good):
        tie(database, digest, "bytes", "tree", digest)
    if damage == "missing":
        del objects.held[bad]
    else:
        objects.held[bad] = b"[]"
    told: list[tuple[Digest, MlwrightError]] = []

    with pytest.raises(NotFound if damage == "missing" else Corrupt):
        list(named(database, objects))
    found = {name.digest for name in named(database, objects, lambda *each: told.append(each))}

    assert [digest for digest, _ in told] == [bad]
    assert found == {bad, good, digest_of(b"b")}


def test_who_names_an_object_is_told_with_role_and_path(
    database: SqliteDatabase, objects: MemoryObjects, tmp_path: Path
) -> None:
    """Edges to it, and for a file of trees each thing that has the tree; of nobody there is an empty list."""
    alone = objects.put(b"alone").digest
    folder = tree(objects, tmp_path / "folder", a="inside")
    first = tie(database, "first", "bytes", "object", alone)
    second = tie(database, "second", "log", "object", alone)
    third = tie(database, "third", "bytes", "tree", folder)
    inside, unknown = digest_of(b"inside"), digest_of(b"unknown")

    found = namers(database, objects, [alone, folder, inside, unknown])

    assert found == {
        alone: [Namer(first, "bytes"), Namer(second, "log")],
        folder: [Namer(third, "bytes")],
        inside: [Namer(third, "bytes", "a")],
        unknown: [],
    }
