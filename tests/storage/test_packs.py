"""Packs: small files side by side, found by their own digests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import (
    LocalObjects,
    MemoryObjects,
    PackedObjects,
    check_out,
    ranges_of,
    scan,
    store_tree,
    transfer,
    verify_entries,
)
from mlwright.storage.ingest import SMALL_BYTES
from mlwright.storage.objects import RENEWED_US
from tests.exams.objects import Age, Damage, ObjectsExam, digests_in
from tests.storage.conftest import file_of, over, overwrite, two_days_old

FILES = {f"{number:03}.txt": os.urandom(100 + number) for number in range(120)}


@pytest.fixture
def packs(store: LocalObjects, database: SqliteDatabase) -> PackedObjects:
    """An empty store of packs over files."""
    return over(store, database).packs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of small files, an empty one and one that is too large for a pack among them."""
    path = tmp_path / "folder"
    (path / "sub").mkdir(parents=True)
    for name, data in FILES.items():
        (path / "sub" / name).write_bytes(data)
    (path / "empty").touch()
    (path / "twin").write_bytes(FILES["007.txt"])
    (path / "usual.bin").write_bytes(b"u" * SMALL_BYTES)
    return path


class TestPackedObjects(ObjectsExam):
    """What is put through the port is an object of its own."""

    @pytest.fixture
    def objects(self, packs: PackedObjects) -> PackedObjects:
        """An empty store."""
        return packs

    @pytest.fixture
    def damage(self, store: LocalObjects) -> Damage:
        """Other bytes in the object's own file."""

        def write(objects: PackedObjects, digest: Digest, data: bytes) -> None:
            overwrite(file_of(store, digest), data)

        return write

    @pytest.fixture
    def age(self, store: LocalObjects) -> Age:
        """An old object's file."""

        def touch(objects: PackedObjects, digest: Digest) -> None:
            two_days_old(file_of(store, digest))

        return touch


def test_small_files_are_a_handful_of_objects(
    packs: PackedObjects, store: LocalObjects, folder: Path
) -> None:
    """122 small files are one pack; a larger one and the manifest are objects; equal files lie there once."""
    _, tree = store_tree(packs, scan(folder))

    assert len(digests_in(store)) == 3
    assert tree.size_bytes == sum(map(len, FILES.values())) + len(FILES["007.txt"]) + SMALL_BYTES
    assert sum(held.size_bytes for held in store) < tree.size_bytes + 30_000


def test_what_is_packed_is_read_in_every_way(packs: PackedObjects, folder: Path, tmp_path: Path) -> None:
    """get, path, ranges, `in` and iteration answer for a packed file as for any object."""
    _, tree = store_tree(packs, scan(folder))
    held = digests_in(packs)

    for entry, found in zip(tree.entries, ranges_of(packs, tree.entries), strict=True):
        data = (folder / entry.path).read_bytes()
        assert entry.digest == digest_of(data)
        assert entry.digest in packs
        assert entry.digest in held
        assert packs.get(entry.digest) == data
        assert packs.path(entry.digest).read_bytes() == data
        assert found.read() == data


def test_the_same_folder_again_writes_nothing(
    packs: PackedObjects, store: LocalObjects, folder: Path
) -> None:
    """Bytes that lie in a pack are found there; one new file among them is one new object."""
    first, _ = store_tree(packs, scan(folder))
    before = digests_in(store)

    assert store_tree(packs, scan(folder))[0] == first
    assert digests_in(store) == before

    (folder / "sub" / "new.txt").write_bytes(b"new")
    _, tree = store_tree(packs, scan(folder))

    assert len(digests_in(store)) == len(before) + 2
    assert packs.get(digest_of(b"new")) == b"new"
    assert len(tree.entries) == len(FILES) + 4


@pytest.mark.parametrize("wrong", ["a flipped bit", "truncated", "emptied", "swapped"])
def test_a_damaged_pack_is_named_not_served_and_healed_by_the_files(
    packs: PackedObjects, store: LocalObjects, folder: Path, tmp_path: Path, wrong: str
) -> None:
    """No packed file is answered wrong, by any way; whoever has the files heals it by storing them again."""
    _, tree = store_tree(packs, scan(folder))
    (place,) = {packs.places(entry.digest)[0].pack for entry in tree.entries if entry.path.startswith("sub")}
    data = store.get(place)
    others = {
        "a flipped bit": data[:500] + bytes([data[500] ^ 1]) + data[501:],
        "truncated": data[:-1],
        "emptied": b"",
        "swapped": bytes(reversed(data)),
    }

    overwrite(file_of(store, place), others[wrong])

    files = [entry for entry in tree.entries if entry.path.startswith("sub")]
    for entry in files:
        for read in (packs.get, packs.path, packs.ranges):
            with pytest.raises(Corrupt):
                read(entry.digest)
    with pytest.raises(Corrupt):
        verify_entries(packs, files)
    with pytest.raises(Corrupt):
        check_out(over(store, packs._database), tree, tmp_path / "out")
    assert not any(path.is_file() for path in (tmp_path / "out").rglob("*"))

    store_tree(packs, scan(folder))
    verify_entries(packs, tree.entries)


def test_verifying_finds_what_was_trusted(packs: PackedObjects, store: LocalObjects, folder: Path) -> None:
    """Damage that leaves every time as it was is not seen by path, but by verifying; then by all."""
    _, tree = store_tree(packs, scan(folder))
    entry = next(entry for entry in tree.entries if entry.path.startswith("sub"))
    (place,) = packs.places(entry.digest)
    trusted = packs.ranges(entry.digest)
    file = file_of(store, place.pack)
    data = bytearray(file.read_bytes())
    data[place.start] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    store._remember(store._state(place.pack, file))  # as if nothing told that it has changed
    assert packs.ranges(entry.digest) == trusted

    with pytest.raises(Corrupt):
        verify_entries(packs, tree.entries)
    with pytest.raises(Corrupt):
        packs.path(entry.digest)


def test_a_packed_file_is_renewed_with_its_pack(
    packs: PackedObjects, store: LocalObjects, folder: Path, database: SqliteDatabase
) -> None:
    """What relies on a packed file makes its pack young, also by storing the same file again."""
    store_tree(packs, scan(folder))
    (pack,) = {each.pack for each in packs.places(digest_of(FILES["003.txt"]))}
    two_days_old(file_of(store, pack))

    assert over(store, database).packs.renew(digest_of(FILES["003.txt"]))
    assert not store.remove(pack, before_us=now_us() - 2 * RENEWED_US)

    two_days_old(file_of(store, pack))
    store_tree(over(store, database).packs, scan(folder))
    assert not store.remove(pack, before_us=now_us() - 2 * RENEWED_US)


def test_a_pack_that_is_gone_is_not_relied_on(
    packs: PackedObjects, store: LocalObjects, folder: Path
) -> None:
    """Records of a pack that was removed say so, and the files are stored anew."""
    _, tree = store_tree(packs, scan(folder))
    digest = digest_of(FILES["003.txt"])
    store.remove(packs.places(digest)[0].pack)
    fresh = over(store, packs._database).packs

    assert digest not in fresh
    assert not fresh.renew(digest)
    for read in (fresh.get, fresh.path, fresh.ranges):
        with pytest.raises(NotFound):
            read(digest)

    store_tree(fresh, scan(folder))
    verify_entries(fresh, tree.entries)


def test_one_small_file_is_an_object_of_its_own(
    packs: PackedObjects, store: LocalObjects, tmp_path: Path
) -> None:
    """A pack of one would be nothing but a detour."""
    (tmp_path / "one").write_bytes(b"alone")

    store_tree(packs, scan(tmp_path / "one"))

    assert digest_of(b"alone") in store


def test_packs_are_handed_over_as_packs(packs: PackedObjects, store: LocalObjects, folder: Path) -> None:
    """Another store takes packs whole, once, and answers for every file of them."""
    _, tree = store_tree(packs, scan(folder))
    there = over(MemoryObjects()).packs

    for _ in range(2):
        transfer(packs, there, (entry.digest for entry in tree.entries))

    verify_entries(there, tree.entries)
    assert len(digests_in(there.store)) == len(digests_in(store)) - 1
