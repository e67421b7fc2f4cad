"""Files that clients store: a place is a key, a folder is what keys begin with, bytes are in the store."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel import edges
from mlwright.kernel.database import Database
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.sdk.ranges import blocks_of
from mlwright.storage import MemoryObjects
from mlwright.tracking import Reports, Run
from mlwright.tracking.files import NAME_BYTES, PLACE_BYTES, File, Files, Listed, loose_files, place_of
from tests.storage.conftest import over
from tests.tracking.conftest import begin

HOSTILE = {
    "empty": "",
    "absolute": "/etc/passwd",
    "a slash at the end": "a/",
    "two slashes": "a//b",
    "above": "../../etc/passwd",
    "above, inside": "a/../../b",
    "here": "a/./b",
    "backslashes": "a\\..\\b",
    "a drive": "C:/windows",
    "a drive inside": "a/c:b",
    "NUL": "a\0b",
    "a line break": "a\nb",
    "an escape": "a\x1b[2J",
    "delete": "a\x7f",
    "half a pair": "a\ud800",
    "a long name": "a" * (NAME_BYTES + 1),
    "a long name in few letters": "한" * 100,
    "a long path": "a/" * 1000 + "b",
    "10,000 letters": "x" * 10_000,
}


@pytest.fixture
def files(database: Database) -> Files:
    """No files yet."""
    return Files(over(MemoryObjects(), database))


@pytest.fixture
def run(database: Database) -> Run:
    """A run that others execute."""
    with database.transaction() as tx:
        return Reports().begin(tx, experiment=0, name="r", started_us=5, tags={})


Put = Callable[[str, bytes], File]


@pytest.fixture
def put(database: Database, files: Files, run: Run) -> Put:
    """Stores a file of the run: `put("plots/roc.png", data)`."""

    def go(path: str, data: bytes) -> File:
        with files.upload() as upload:
            upload.write(data)
            received = upload.put()
        with database.transaction() as tx:
            return files.put(tx, of(run, path), received)

    return go


def of(run: Run, path: str) -> str:
    """The place of a file of a run."""
    return f"0/{run.id}/artifacts/{path}"


def listed(
    files: Files, database: Database, folder: str, limit: int = 10_000
) -> list[tuple[str, int | None]]:
    """All that lies in a folder, page by page."""
    found: list[Listed] = []
    after = ""
    while True:
        page, after = files.inside(database, folder, after=after, limit=limit)
        assert len(page) <= limit
        found += page
        if not after:
            return [(each.name, each.size_bytes) for each in found]


def read(files: Files, file: File) -> bytes:
    """The bytes of a file."""
    data = files.data(file.digest)
    return data if isinstance(data, bytes) else b"".join(blocks_of(data))


@pytest.mark.parametrize("data", [b"", b"small", os.urandom(4097), os.urandom(2_000_000)])
def test_a_file_is_got_as_it_was_put(
    database: Database, files: Files, put: Put, run: Run, data: bytes
) -> None:
    """With its size and digest, and an edge to its bytes."""
    made = put("plots/roc.png", data)

    found = files.get(database, of(run, "plots/roc.png"))
    assert found == made
    assert (found.digest, found.size_bytes) == (digest_of(data), len(data))
    assert read(files, found) == data
    assert edges.made_from(database, End("file", found.place)) == [
        Edge(End("file", found.place), "bytes", End("object", found.digest))
    ]


def test_what_is_put_again_gives_way(database: Database, files: Files, put: Put, run: Run) -> None:
    """The new bytes are got, and no edge leads to the old ones."""
    put("a", b"old" * 2000)

    put("a", b"new" * 2000)

    found = files.get(database, of(run, "a"))
    assert read(files, found) == b"new" * 2000
    assert edges.made_into(database, End("object", digest_of(b"old" * 2000))) == []
    assert len(edges.made_from(database, End("file", found.place))) == 1


def test_a_folder_is_one_level(database: Database, files: Files, put: Put, run: Run) -> None:
    """Files with their sizes, folders without; what begins alike is not in it."""
    for path in ("b", "a.txt", "a/1", "a/2/3", "a/2/4", "a/20", "a-b/c", "a0", "한/글", "b!c"):
        put(path, path.encode())

    top = listed(files, database, of(run, "")[:-1])
    inside = listed(files, database, of(run, "a"))

    assert sorted(top) == sorted(
        [("b", 1), ("a.txt", 5), ("a", None), ("a-b", None), ("a0", 2), ("한", None), ("b!c", 3)]
    )
    assert inside == [("1", 3), ("2", None), ("20", 4)]
    assert listed(files, database, of(run, "a/2")) == [("3", 5), ("4", 5)]
    assert listed(files, database, of(run, "b")) == listed(files, database, of(run, "nowhere")) == []
    assert listed(files, database, "") == [("0", None)]


def test_pages_of_a_folder_have_all_of_it_once(database: Database, files: Files, put: Put, run: Run) -> None:
    """Whatever the length of a page."""
    paths = [f"f{number:03}" for number in range(30)] + [f"d{number}/x/y" for number in range(30)]
    for path in paths:
        put(path, b"x")
    wanted = listed(files, database, of(run, "")[:-1])

    assert len(wanted) == 60
    for limit in (1, 7, 59, 60, 61):
        assert listed(files, database, of(run, "")[:-1], limit) == wanted


def test_listing_costs_what_the_folder_holds(database: Database, files: Files, put: Put, run: Run) -> None:
    """With 100,000 files elsewhere and below, a folder is listed by a few ranges of the index."""
    rows = [
        {"place": of(run, f"{folder}/{number:06}"), "digest": "0" * 64, "size_bytes": 1, "created_us": 0}
        for folder in ("before", "here/deep", "then")
        for number in range(34_000)
    ]
    with database.transaction() as tx:
        tx.execute_many(
            "INSERT INTO file VALUES (:place, :digest, :size_bytes, :created_us)",
            rows,
        )
    put("here/file", b"x")
    asked: list[int] = []

    class Counted:
        def read(self, sql: str, **parameters: object) -> list[dict[str, object]]:
            found = database.read(sql, **parameters)
            asked.append(len(found))
            return found

    found, end = files.inside(Counted(), of(run, "here"))

    assert ([(each.name, each.size_bytes) for each in found], end) == ([("deep", None), ("file", 1)], "")
    assert len(asked) == 2
    assert sum(asked) < 250
    if isinstance(database, SqliteDatabase):
        plan = database.read("EXPLAIN QUERY PLAN SELECT place FROM file WHERE place >= 'a' AND place < 'b'")
        assert "PRIMARY KEY" in str(plan)


def test_what_is_deleted_is_gone(database: Database, files: Files, put: Put, run: Run) -> None:
    """A file, or all of a folder, some at a time; with the edges, and nothing else."""
    for path in ("a/1", "a/2/3", "a/4", "a0", "b"):
        put(path, b"x")

    with database.transaction() as tx:
        first = files.delete(tx, of(run, "a"), limit=2)
        second = files.delete(tx, of(run, "a"), limit=2)
        third = files.delete(tx, of(run, "b"))
        fourth = files.delete(tx, of(run, "nowhere"))

    assert (first, second, third, fourth) == (2, 1, 1, 0)
    assert listed(files, database, of(run, "")[:-1]) == [("a0", 1)]
    with pytest.raises(NotFound, match="there is no file"):
        files.get(database, of(run, "b"))
    assert [
        edge["from_id"] for edge in database.read("SELECT from_id FROM edge WHERE from_kind = 'file'")
    ] == [of(run, "a0")]
    assert list(loose_files(database)) == []


def test_a_file_is_no_folder(database: Database, files: Files, put: Put, run: Run) -> None:
    """Neither becomes the other; each is left as it was."""
    put("a", b"file")
    put("b/c/d", b"deep")

    with pytest.raises(Invalid, match="artifacts/a' is a file, and no folder"):
        put("a/b/c", b"x")
    with pytest.raises(Invalid, match="artifacts/b' is a folder, and no file"):
        put("b", b"x")
    with pytest.raises(Invalid, match="is a folder, and no file"):
        files.get(database, of(run, "b/c"))

    assert read(files, files.get(database, of(run, "a"))) == b"file"
    assert read(files, files.get(database, of(run, "b/c/d"))) == b"deep"


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_plain_path_is_refused(
    database: Database, files: Files, put: Put, run: Run, path: str
) -> None:
    """In one line, whatever it would lead to; a place is never more than a key all the same."""
    with pytest.raises(Invalid) as raised:
        put(path, b"x")

    assert "\n" not in raised.value.message
    assert len(raised.value.message) < 300
    assert listed(files, database, "") == []


@pytest.mark.parametrize(
    "path", ["CON", "nul.txt", "ab:c", "ä ö", "한글/👩‍🔬.png", "..a", "a..", "-rf", "~", "$HOME", "%41"]
)
def test_a_name_that_only_looks_odd_is_one(
    database: Database, files: Files, put: Put, run: Run, path: str
) -> None:
    """What some system would take for something else is a key like any."""
    put(path, b"x")

    assert read(files, files.get(database, of(run, path))) == b"x"


@given(st.text(max_size=40))
def test_a_place_never_leads_out(text: str) -> None:
    """What is taken has plain names only, and can be written as UTF-8."""
    try:
        place = place_of(text)
    except Invalid:
        return

    assert place == text
    assert len(place.encode()) <= PLACE_BYTES
    assert not {"", ".", ".."} & set(place.split("/"))
    assert not set("\\\0\n") & set(place)


@pytest.mark.parametrize(
    "place",
    [
        "file",
        "0/file",
        "0/{run}",
        "0/{run}/file",
        "0/{run}/artifacts",
        "0/{run}/other/file",
        "0/traces/t/artifacts",
    ],
)
def test_nothing_lies_outside_of_a_run_or_a_model(
    database: Database, files: Files, run: Run, place: str
) -> None:
    """The message says where files belong."""
    with pytest.raises((Invalid, NotFound)) as raised:
        files.check(database, place.format(run=run.id))

    if isinstance(raised.value, Invalid):
        assert raised.value.hint is not None
        assert "EXPERIMENT/RUN/artifacts" in raised.value.hint


def test_a_run_has_files_in_its_own_experiment(database: Database, files: Files, run: Run) -> None:
    """One that is not there, or of another experiment, has none; nor has a model that is not there."""
    for place in ("0/nobody/artifacts/a", f"1/{run.id}/artifacts/a", f"00/{run.id}/artifacts/a"):
        with pytest.raises(NotFound, match=r"there is no run '.*' in experiment '.*'"):
            files.check(database, place)
    with pytest.raises(NotFound, match="there is no logged model 'm-1' in experiment '0'"):
        files.check(database, "0/models/m-1/artifacts/MLmodel")


def test_a_logged_model_has_files(database: Database, files: Files) -> None:
    """Below its own folder, also when no run made it."""
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO logged_model (id, experiment_id, name, type, state, state_message, created_us,"
            " updated_us) VALUES ('m-1', 0, 'm', '', 'READY', '', 1, 1)"
        )
        with files.upload() as upload:
            upload.write(b"flavors: {}")
            files.put(tx, "0/models/m-1/artifacts/MLmodel", upload.put())

    assert listed(files, database, "0/models/m-1/artifacts") == [("MLmodel", 11)]


def test_a_run_of_ours_takes_no_files(database: Database, files: Files) -> None:
    """What its steps made is what it has."""
    run, _ = begin(database)
    place = f"{run.experiment_id}/{run.id}/artifacts/a"

    with pytest.raises(Conflict, match="one of ours: what it made can be read, and not changed"):
        files.check(database, place)
    with pytest.raises(Conflict, match="one of ours"), database.transaction() as tx:
        files.delete(tx, place)


def test_a_deleted_run_takes_no_files(database: Database, files: Files, put: Put, run: Run) -> None:
    """Those that it has can be got, and deleted."""
    put("a", b"x")
    with database.transaction() as tx:
        Reports().delete(tx, run.id)

    with pytest.raises(Conflict, match="is deleted") as raised:
        put("b", b"x")

    assert raised.value.hint == "restore it first"
    assert read(files, files.get(database, of(run, "a"))) == b"x"
    with database.transaction() as tx:
        assert files.delete(tx, of(run, "a")) == 1


def test_no_more_than_one_owners_files_are_deleted_at_once(
    database: Database, files: Files, put: Put
) -> None:
    """A slip of a client cannot take an experiment's files away."""
    put("a", b"x")

    for place in ("0", "0/models"):
        with pytest.raises(Invalid, match="not in the folder of one run's"), database.transaction() as tx:
            files.delete(tx, place)

    assert len(listed(files, database, "0")) == 1
