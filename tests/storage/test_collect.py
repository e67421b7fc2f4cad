"""Collecting: what nothing names goes when it is old; what is named, young or renewed stays whole."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel import edges, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Corrupt, NotFound
from mlwright.kernel.leases import Lease
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import InlineObjects, LocalObjects, load_tree, scan, store_tree
from mlwright.storage import collect as collecting
from mlwright.storage.chunks import store_large
from mlwright.storage.collect import SPARED_US, Sweep, plan_sweep, sweep
from mlwright.storage.inline import put_inline
from mlwright.storage.named import COLLECT
from mlwright.storage.reading import verify_entries
from mlwright.storage.trees import KIND as TREE
from tests.storage.conftest import file_of, over, overwrite, two_days_old

MIB = 1 << 20


class Room:
    """A store with its records: names things, lets them get old, collects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.store = LocalObjects(folder / "objects", folder / "verified")
        self.database = SqliteDatabase(folder / "metadata.db")
        self.database.migrate(all_migrations())
        self.objects: InlineObjects = over(self.store, self.database)

    def name(self, digest: Digest, kind: str = "object", by: str = "somebody") -> None:
        """Let an edge lead to bytes."""
        with self.database.transaction() as tx:
            edges.add(tx, [Edge(End("artifact", by), "bytes", End(kind, digest))])

    def unname(self, by: str = "somebody") -> None:
        """Take the edges of somebody away."""
        with self.database.transaction() as tx:
            tx.execute("DELETE FROM edge WHERE from_id = :by", by=by)

    def tree(self, name: str, files: dict[str, bytes]) -> Digest:
        """Files as a folder that is stored, as `datasets add` stores it; nobody names it yet."""
        folder = self.folder / f"folder-{name}"
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return store_tree(self.objects.packs, scan(folder))[0]

    def large(self, data: bytes) -> Digest:
        """A large file, cut into pieces whatever its size."""
        file = self.folder / "large"
        file.write_bytes(data)
        descriptor = os.open(file, os.O_RDONLY)
        try:
            return store_large(self.objects.packs, descriptor).digest
        finally:
            os.close(descriptor)

    def age(self) -> None:
        """Let two days pass."""
        for held in self.store:
            two_days_old(file_of(self.store, held.digest))
        for file in self.store.incoming.iterdir():
            two_days_old(file)
        self.objects = over(self.store, self.database)  # no process remembers for so long what it renewed

    def plan(self) -> Sweep:
        """What would go now."""
        return plan_sweep(self.database, self.objects, now_us() - SPARED_US)

    def lease(self) -> Lease:
        """That nobody else collects from now on."""
        with self.database.transaction() as tx:
            return leases.take(tx, COLLECT)

    def sweep(self) -> Sweep:
        """Collect now."""
        return sweep(self.database, self.objects, self.plan(), now_us() - SPARED_US, self.lease())

    def held(self) -> set[Digest]:
        """The objects beneath."""
        return {each.digest for each in self.store}

    def whole(self, tree: Digest) -> None:
        """Read every file of a tree in full."""
        verify_entries(self.objects.packs, load_tree(self.objects, tree).entries)

    def rows(self, table: str) -> int:
        """How many rows there are."""
        return int(self.database.read(f"SELECT count(*) AS rows FROM {table}")[0]["rows"])


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """An empty store with its records, both on the disk."""
    made = Room(tmp_path)
    yield made
    made.database.close()


def small(beginning: str, count: int = 8) -> dict[str, bytes]:
    """Small files, all different."""
    return {f"{number}.txt": f"{beginning} {number}".encode() * 50 for number in range(count)}


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes in which nothing repeats."""
    return random.Random(seed).randbytes(size)


def test_what_nothing_names_goes_when_it_is_old(room: Room) -> None:
    """Of old objects those go that no edge leads to; their bytes are counted, and nothing else is touched."""
    kept, gone = room.objects.put(b"kept").digest, room.objects.put(b"nobody's").digest
    room.name(kept)
    room.age()

    planned = room.plan()
    before = room.held()
    done = room.sweep()

    assert before == {kept, gone}
    assert [held.digest for held in planned.dead] == [held.digest for held in done.dead] == [gone]
    assert planned.bytes == done.bytes == len(b"nobody's")
    assert planned.kept == (1, len(b"kept"))
    assert room.held() == {kept}
    assert room.sweep().bytes == 0


def test_what_is_young_or_renewed_is_spared(room: Room) -> None:
    """Not a day old, put again or renewed: it stays though nothing names it, and is counted as young."""
    old = [room.objects.put(name.encode()).digest for name in ("put again", "renewed", "left alone")]
    room.age()
    new = room.objects.put(b"new").digest
    room.objects.put(b"put again")
    room.objects.renew(old[1])

    done = room.sweep()

    assert room.held() == {old[0], old[1], new}
    assert done.young == (3, len(b"put again" + b"renewed" + b"new"))


def test_what_was_put_or_named_after_the_plan_is_spared(room: Room) -> None:
    """Between the two looks of a sweep an object is renewed, another one named: neither goes."""
    renewed, named, dead = (room.objects.put(text).digest for text in (b"renewed", b"named", b"dead"))
    room.age()
    before_us = now_us() - SPARED_US
    plan = plan_sweep(room.database, room.objects, before_us)
    assert {held.digest for held in plan.dead} == {renewed, named, dead}

    room.objects.renew(renewed)
    room.name(named)
    done = sweep(room.database, room.objects, plan, before_us, room.lease())

    assert [held.digest for held in done.dead] == [dead]
    assert room.held() == {renewed, named}


def test_a_tree_keeps_itself_its_files_and_the_packs_they_lie_in(room: Room) -> None:
    """A named tree keeps the manifest, the pack of its small files and its larger ones; another's go."""
    kept = room.tree("kept", {**small("kept"), "big": noise(100_000)})
    gone = room.tree("gone", {**small("gone"), "big": noise(100_000, 1)})
    room.name(kept, TREE)
    room.age()

    done = room.sweep()

    assert len(done.dead) == 3
    assert gone not in room.objects
    room.whole(kept)
    assert room.rows("packed") == 8
    assert len(room.held()) == 3


def test_what_lay_in_a_pack_that_is_gone_is_stored_anew(room: Room) -> None:
    """After its pack was collected a file is not taken for stored: adding it again stores it again."""
    files = small("again")
    digest = room.tree("again", files)
    room.age()
    room.sweep()
    assert room.held() == set()
    assert room.rows("packed") == 0

    assert room.tree("again", files) == digest

    room.name(digest, TREE)
    room.whole(digest)


def test_a_file_in_pieces_keeps_its_recipe_and_all_that_holds_its_pieces(room: Room) -> None:
    """An edited large file needs the first version's object, which no version has, its pack and recipe."""
    first = noise(12 * MIB)
    second = first[: 6 * MIB] + b"inserted" + first[6 * MIB :]
    one, two = room.large(first), room.large(second)
    room.name(two)
    room.age()
    assert len(room.held()) == 3

    room.sweep()

    assert len(room.held()) == 3
    assert one in room.held()
    assert room.objects.get(two) == second
    room.unname()
    room.sweep()
    assert room.held() == set()
    assert (room.rows("packed"), room.rows("chunked")) == (0, 0)
    assert two not in room.objects


def test_small_values_go_with_the_last_edge_to_them(room: Room) -> None:
    """A row that an edge names stays whatever its age; one that no edge names goes."""
    with room.database.transaction() as tx:
        kept, gone = put_inline(tx, b"kept").digest, put_inline(tx, b"gone").digest
    room.name(kept)

    done = room.sweep()

    assert (done.rows, done.row_bytes) == ((gone,), 4)
    assert room.objects.get(kept) == b"kept"
    assert gone not in room.objects


def test_a_file_of_a_tree_that_is_also_a_small_value_keeps_its_object(room: Room) -> None:
    """What a step gave may be the very bytes of a dataset's file: who reads the tree reads no rows."""
    alone = room.tree("alone", {"a.txt": b"the same bytes"})
    packed = room.tree("packed", small("the same"))
    with room.database.transaction() as tx:
        for data in (b"the same bytes", *small("the same").values()):
            digest = put_inline(tx, data).digest
            edges.add(tx, [Edge(End("artifact", digest), "bytes", End("object", digest))])
    room.name(alone, TREE)
    room.name(packed, TREE)
    room.age()

    done = room.sweep()

    assert done.dead == ()
    room.whole(alone)
    room.whole(packed)


def test_files_of_interrupted_puts_go_when_they_are_old(room: Room) -> None:
    """A day after a put was killed its temporary file goes; one that is being written does not."""
    old, new = room.store.incoming / "old", room.store.incoming / "new"
    old.write_bytes(b"half")
    room.age()
    new.write_bytes(b"being written")

    done = room.sweep()

    assert done.temporary == ((old, 4),)
    assert done.bytes == 4
    assert [file.name for file in room.store.incoming.iterdir()] == ["new"]


def test_a_fetch_that_goes_on_for_days_is_left_alone(room: Room) -> None:
    """The folder of a fetch goes when none of its files was written since; a young one keeps all of it."""
    for name in ("going on", "left"):
        (room.store.incoming / name / "files").mkdir(parents=True)
        for part in ("part", "files/done"):
            (room.store.incoming / name / part).write_bytes(b"12345")
        for path in [*(room.store.incoming / name).rglob("*"), room.store.incoming / name]:
            two_days_old(path)
    os.utime(room.store.incoming / "going on" / "part")

    done = room.sweep()

    assert done.temporary == ((room.store.incoming / "left", 10),)
    assert [file.name for file in room.store.incoming.iterdir()] == ["going on"]


def test_a_thin_pack_is_written_anew_and_goes_a_day_later(room: Room) -> None:
    """What is needed of a pack moves to a new one and is readable all the time; the old one stays a day."""
    files = small("thin", 10)
    both = room.tree("both", files)
    few = room.tree("few", dict(list(files.items())[:2]))
    room.name(both, TREE, by="both")
    room.name(few, TREE, by="few")
    (pack,) = room.held() - {both, few}
    room.unname("both")
    room.age()
    held_open = room.objects.packs.ranges(load_tree(room.objects, few).entries[0].digest)[0]

    planned = room.plan()
    done = room.sweep()

    size = len(files["0.txt"])
    assert planned.thin == done.thin == (pack,)
    assert planned.thin_bytes == 8 * size
    assert planned.bytes == done.bytes == planned.dead[0].size_bytes
    assert pack in room.held()
    assert held_open.read() == files["0.txt"]
    room.whole(few)
    (new,) = room.held() - {few, pack}
    assert room.store.path(new).stat().st_size == 2 * size
    assert room.sweep().dead == ()
    room.age()
    assert [held.digest for held in room.sweep().dead] == [pack]
    room.whole(few)
    assert room.rows("packed") == 2


def test_a_pack_that_is_needed_by_half_or_is_an_object_of_its_own_is_left(room: Room) -> None:
    """Writing anew costs more than it frees; and an object that is named is never taken apart."""
    files = small("half", 10)
    both, half = room.tree("both", files), room.tree("half", dict(list(files.items())[:5]))
    first = noise(8 * MIB, 3)
    whole = room.large(first)
    beginning = room.large(first[: 2 * MIB])
    room.name(half, TREE)
    room.name(whole)
    room.name(beginning)
    room.age()

    done = room.sweep()

    assert done.thin == ()
    assert [held.digest for held in done.dead] == [both]


def test_a_large_object_of_which_little_is_needed_gives_way_to_its_pieces(room: Room) -> None:
    """Of a large file that is no version any more only the pieces stay that another version shares."""
    first = noise(16 * MIB, 5)
    whole = room.large(first)
    second = first[: 4 * MIB] + noise(MIB, 6)
    part = room.large(second)
    room.name(part)
    room.age()

    done = room.sweep()
    room.age()
    again = room.sweep()

    assert done.thin == (whole,)
    assert [held.digest for held in again.dead] == [whole]
    assert room.objects.get(part) == second
    assert sum(held.size_bytes for held in room.store) < 6 * MIB


@pytest.mark.parametrize("damage", ["missing", "damaged"])
@pytest.mark.parametrize("what", ["tree", "recipe"])
def test_what_cannot_be_read_stops_everything(room: Room, what: str, damage: str) -> None:
    """What a tree or a recipe names cannot be known then: nothing goes, and the message says what to do."""
    first = noise(6 * MIB)
    room.large(first)
    in_pieces = room.large(first[: 3 * MIB] + b"inserted" + first[3 * MIB :])
    tree = room.tree("tree", small("tree"))
    room.name(tree, TREE)
    room.name(in_pieces)
    room.objects.put(b"nobody's")
    room.age()
    recipe = room.database.read("SELECT recipe FROM chunked")[0]["recipe"]
    hurt = file_of(room.store, tree if what == "tree" else recipe)
    if damage == "missing":
        hurt.unlink()
    else:
        overwrite(hurt, b"[]")
        two_days_old(hurt)
    before = room.held()

    with pytest.raises((Corrupt, NotFound)) as raised:
        room.sweep()

    assert room.held() == before
    assert "nothing is collected" in raised.value.message
    assert raised.value.hint
    assert "mlwright workspace verify" in raised.value.hint
    assert raised.value.exit_code in {3, 5}


def test_a_piece_that_is_missing_costs_no_other_piece(room: Room) -> None:
    """Of a large file one pack is gone: the others stay, for who adds the file again."""
    first = noise(6 * MIB)
    whole = room.large(first)
    second = first[: 3 * MIB] + noise(2 * MIB, 9) + first[3 * MIB :]
    room.name(room.large(second))
    room.age()
    recipe = room.database.read("SELECT recipe FROM chunked")[0]["recipe"]
    (pack,) = room.held() - {whole, recipe}
    room.store.remove(pack)
    with room.database.transaction() as tx:
        tx.execute("DELETE FROM packed WHERE pack = :pack", pack=pack)

    done = room.sweep()

    assert done.dead == ()
    assert room.held() == {whole, recipe}


def test_what_an_earlier_sweep_that_was_killed_left_is_forgotten(room: Room) -> None:
    """Rows of packs and recipes that are gone go with the next sweep."""
    first = noise(6 * MIB)
    room.large(first)
    room.large(first[: 3 * MIB] + b"inserted" + first[3 * MIB :])
    room.tree("tree", small("tree"))
    for held in list(room.store):
        room.store.remove(held.digest)
    assert room.rows("packed") > 0
    assert room.rows("chunked") == 1

    room.sweep()

    assert (room.rows("packed"), room.rows("chunked")) == (0, 0)


def test_a_pack_that_is_stored_again_while_it_is_collected_is_not_forgotten(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files are added between the removal of their pack and the forgetting of what lay there."""
    files = small("again")
    digest = room.tree("again", files)
    room.age()
    plan = room.plan()
    real = LocalObjects.remove
    left = len(plan.dead)

    def remove(store: LocalObjects, digest: Digest, *, before_us: int | None = None) -> bool:
        nonlocal left
        removed = real(store, digest, before_us=before_us)
        left -= 1
        if not left:
            room.name(room.tree("again", files), TREE)
        return removed

    monkeypatch.setattr(LocalObjects, "remove", remove)

    sweep(room.database, room.objects, plan, now_us() - SPARED_US, room.lease())

    assert room.rows("packed") == 8
    room.whole(digest)


def test_an_object_put_anew_because_it_was_damaged_is_not_removed_as_the_old_one(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that replaces a damaged old file while it is collected: the new file stays."""
    digest = room.objects.put(b"put anew").digest
    overwrite(file_of(room.store, digest), b"damaged!")
    room.age()
    plan = room.plan()
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path == file_of(room.store, digest):
            thread = threading.Thread(target=put)
            thread.start()
            thread.join(timeout=0.5)  # it waits for the lock, or is done
            threads.append(thread)
        real(path, missing_ok=missing_ok)

    def put() -> None:
        LocalObjects(room.store.root, room.folder / "another").put(b"put anew")

    threads: list[threading.Thread] = []
    monkeypatch.setattr(Path, "unlink", unlink)

    sweep(room.database, room.objects, plan, now_us() - SPARED_US, room.lease())

    for thread in threads:
        thread.join()
    assert threads
    assert room.store.get(digest) == b"put anew"


def test_who_is_no_longer_the_collector_removes_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked before each batch: what another collector or a backup has taken over is left to it."""
    monkeypatch.setattr(collecting, "_BATCH", 2)
    for number in range(6):
        room.store.put(b"%d" % number)
    room.age()
    plan = room.plan()
    remove, removed = room.store.remove, []

    def taken_at_the_third(digest: Digest, *, before_us: int) -> bool:
        removed.append(digest)
        if len(removed) == 3:
            with room.database.transaction() as tx:
                leases.take(tx, COLLECT)
        return remove(digest, before_us=before_us)

    monkeypatch.setattr(room.store, "remove", taken_at_the_third)
    with pytest.raises(Conflict, match="taken over"):
        sweep(room.database, room.objects, plan, now_us() - SPARED_US, room.lease())

    assert len(room.held()) == 2
