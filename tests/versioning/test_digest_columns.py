"""Digests in the database: each column that holds one has its edge, and every edge leads to what is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from mlwright.app import Project
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import Edge, End, made_from
from mlwright.storage import load_tree
from mlwright.storage.trees import KIND as TREE_KIND
from tests.versioning.conftest import counted, store_files

DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
BYTES = {"object", "tree"}

NO_EDGE = {
    ("edge", "from_id"): "an edge is one",
    ("edge", "to_id"): "an edge is one",
    ("event", "digest"): "the row's own name, made of what it tells and of the event before",
    ("event", "detail"): "tells what was then, and keeps nothing",
    ("inline", "digest"): "the row holds the bytes itself",
    ("packed", "digest"): "says where bytes lie that edges and trees lead to",
    ("packed", "pack"): "says where bytes lie; collecting follows it from what edges lead to",
    ("snapshot", "digest"): "the row's own name, made of its tree and commit",
    ("lock", "digest"): "the row's own name, made of its pylock, interpreter and platform",
    ("attempt", "fingerprint"): "a cache key, made of what the attempt's edges lead to",
    ("attempt", "basis"): "a part of a cache key",
    ("attempt", "inputs"): "explains a cache key; the attempt's edges lead to the bytes",
    ("basis", "digest"): "a part of a cache key",
    ("basis", "parts"): "explains a cache key; the source itself is in the snapshots",
}
"""Columns whose digests name no stored bytes, with the reason. Whoever adds one says why here."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project in which a run read a dataset, printed, gave small and large outputs, and made a model; and a
    client stored files."""
    with counted(tmp_path_factory.mktemp("digests")) as opened:
        store_files(opened)
        yield opened


def rows_of(project: Project, table: str) -> list[dict[str, Any]]:
    return project.rooms.database.read(f"SELECT * FROM {table}")


def tables_of(project: Project) -> dict[str, str]:
    """Every table with the column that names its rows: the primary key, when it is one column."""
    tables = project.rooms.database.read("SELECT name FROM sqlite_schema WHERE type = 'table'")
    found = {}
    for row in tables:
        columns = project.rooms.database.read(f"PRAGMA table_info({row['name']})")
        keys = [column["name"] for column in columns if column["pk"]]
        found[row["name"]] = keys[0] if len(keys) == 1 else ""
    return found


def test_every_digest_column_has_its_edge(project: Project) -> None:
    """A digest in any column of any row, inside JSON too, is the end of an edge that leaves this row."""
    database = project.rooms.database
    seen: set[tuple[str, str]] = set()
    lacking = set()

    for table, key in tables_of(project).items():
        for row in rows_of(project, table):
            for column, value in row.items():
                digests = set(DIGEST.findall(value)) if isinstance(value, str) else set()
                if digests:
                    seen.add((table, column))
                if digests and (table, column) not in NO_EDGE:
                    edges = made_from(database, End(table, str(row.get(key, ""))))
                    if not digests <= {edge.earlier.id for edge in edges if edge.earlier.kind in BYTES}:
                        lacking.add((table, column))

    assert lacking == set()
    assert seen >= set(NO_EDGE) | {
        ("artifact", "digest"),
        ("file", "digest"),
        ("snapshot", "tree"),
        ("lock", "pylock"),
        ("attempt", "log"),
    }


def test_every_edge_leads_to_what_is_there(project: Project) -> None:
    """Both ends of every edge exist: rows by their id, objects and trees by their bytes."""
    objects, tables = project.rooms.objects, tables_of(project)
    edges = [
        Edge(End(row["from_kind"], row["from_id"]), row["role"], End(row["to_kind"], row["to_id"]))
        for row in rows_of(project, "edge")
    ]

    for end in {end for edge in edges for end in (edge.later, edge.earlier)}:
        if end.kind == "object":
            assert digest_of(objects.get(end.id)) == end.id
        elif end.kind == "tree":
            assert digest_of(objects.get(end.id, kind=TREE_KIND), TREE_KIND) == end.id
            for entry in load_tree(objects, end.id).entries:
                assert len(objects.get(entry.digest)) == entry.size_bytes
        else:
            assert any(row[tables[end.kind]] == end.id for row in rows_of(project, end.kind)), end

    assert {edge.earlier.kind for edge in edges} >= {
        "object",
        "tree",
        "run",
        "attempt",
        "artifact",
        "version",
    }


def test_small_values_are_rows_and_large_ones_objects(project: Project) -> None:
    """These tests see both kinds of storage: values up to 4 KiB are rows, larger ones objects."""
    objects = project.rooms.objects
    artifacts = [row for row in rows_of(project, "artifact") if row["codec"] != "tree"]

    inline = [row["size_bytes"] for row in artifacts if objects.inline(row["digest"]) is not None]
    stored = [row["size_bytes"] for row in artifacts if objects.inline(row["digest"]) is None]

    assert max(inline) <= 4096 < min(stored)
