"""Large files in pieces: what two versions share is stored once."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import LocalObjects, MemoryObjects, PackedObjects, transfer
from mlwright.storage import chunks as chunks_module
from mlwright.storage.chunks import store_large
from mlwright.storage.reading import verify_object
from tests.exams.objects import digests_in
from tests.storage.conftest import file_of, over, overwrite

MIB = 1 << 20
DATA = random.Random(1).randbytes(24 * MIB)


@pytest.fixture
def packs(store: LocalObjects, database: SqliteDatabase) -> PackedObjects:
    """An empty store of packs over files."""
    return over(store, database).packs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 24 MiB."""
    path = tmp_path / "large"
    path.write_bytes(DATA)
    return path


def keep(packs: PackedObjects, file: Path) -> Digest:
    """Store a large file."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        stored = store_large(packs, descriptor)
    finally:
        os.close(descriptor)
    assert stored.size_bytes == file.stat().st_size
    return stored.digest


def size_of(store: LocalObjects) -> int:
    """All that a store holds, in bytes."""
    return sum(held.size_bytes for held in store)


def test_the_first_of_its_kind_is_a_file_of_its_own(
    packs: PackedObjects, store: LocalObjects, file: Path
) -> None:
    """Its name is the digest of the whole, its path the object itself; nothing is put together."""
    digest = keep(packs, file)

    assert digest == digest_of(DATA)
    assert digests_in(store) == [digest]
    assert packs.path(digest) == file_of(store, digest)
    assert verify_object(packs, digest) == len(DATA)


@pytest.mark.parametrize(
    ("edit", "most"),
    [
        pytest.param(
            lambda data: data[: 11 * MIB] + os.urandom(MIB) + data[11 * MIB :], 8 * MIB, id="insert"
        ),
        pytest.param(lambda data: data + os.urandom(100_000), 5 * MIB, id="append"),
        pytest.param(lambda data: data[: 7 * MIB] + data[9 * MIB :], 6 * MIB, id="cut out"),
        pytest.param(lambda data: data[3 * MIB :] + data[: 3 * MIB], 12 * MIB, id="turned round"),
        pytest.param(lambda data: data + data, 6 * MIB, id="twice"),
    ],
)
def test_an_edited_file_stores_what_changed(
    packs: PackedObjects, store: LocalObjects, file: Path, tmp_path: Path, edit: object, most: int
) -> None:
    """Only new pieces are written; the whole is put together again, with the right bytes, and once."""
    keep(packs, file)
    before = size_of(store)
    data = edit(DATA)  # type: ignore[operator]
    edited = tmp_path / "edited"
    edited.write_bytes(data)

    digest = keep(packs, edited)

    assert digest == digest_of(data)
    assert size_of(store) - before <= most
    assert verify_object(packs, digest) == len(data)
    assert packs.path(digest).read_bytes() == data
    assert packs.path(digest) == packs.path(digest)
    assert packs.get(digest) == data


def test_the_same_file_again_writes_nothing(
    packs: PackedObjects, store: LocalObjects, file: Path, tmp_path: Path
) -> None:
    """Whether it is an object of its own or kept in pieces."""
    edited = tmp_path / "edited"
    edited.write_bytes(DATA[: 5 * MIB] + b"x" + DATA[5 * MIB :])
    digests = [keep(packs, file), keep(packs, edited)]
    before = digests_in(store)

    assert [keep(packs, file), keep(packs, edited)] == digests
    assert digests_in(store) == before


def test_what_repeats_is_stored_once(packs: PackedObjects, store: LocalObjects, tmp_path: Path) -> None:
    """96 MiB of zeros take no more than a few pieces."""
    file = tmp_path / "zeros"
    with file.open("wb") as written:
        written.truncate(96 * MIB)

    digest = keep(packs, file)

    assert size_of(store) <= 9 * MIB
    assert verify_object(packs, digest) == 96 * MIB


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 3),
    size=st.sampled_from([0, 1, MIB - 1, 4 * MIB, 8 * MIB, 8 * MIB + 1, 12 * MIB + 7, 16 * MIB]),
    pieces=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 * MIB)), max_size=3),
)
def test_any_bytes_come_back(
    packs: PackedObjects, tmp_path: Path, seed: int, size: int, pieces: list[tuple[int, int]]
) -> None:
    """Windows, cuts and shared pieces never change a byte."""
    data = random.Random(seed).randbytes(size)
    for other, length in pieces:
        data += random.Random(other).randbytes(length)
    file = tmp_path / "any"
    file.write_bytes(data)

    digest = keep(packs, file)

    assert digest == digest_of(data)
    assert packs.get(digest) == data


def test_a_very_large_file_is_kept_as_it_comes(
    packs: PackedObjects, store: LocalObjects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every so many bytes what was written becomes a pack: an end in the middle loses the last one only."""
    monkeypatch.setattr(chunks_module, "_PACK_BYTES", 8 * MIB)

    class Ended(Exception):
        pass

    class Impatient(chunks_module.Progress):
        done = 0

        def advance(self, done_bytes: int) -> None:
            self.done += done_bytes
            if self.done > 15 * MIB:
                raise Ended

    descriptor = os.open(file, os.O_RDONLY)
    with pytest.raises(Ended):
        store_large(packs, descriptor, Impatient())
    os.close(descriptor)
    kept = size_of(store)
    assert kept >= 8 * MIB
    assert list(store.incoming.iterdir()) == []

    digest = keep(packs, file)

    assert size_of(store) < len(DATA) + MIB
    assert packs.get(digest) == DATA


def test_damage_in_what_others_share_is_found_and_healed(
    packs: PackedObjects, store: LocalObjects, file: Path, tmp_path: Path
) -> None:
    """Both files are Corrupt, none is answered wrong; storing the first again heals both."""
    first = keep(packs, file)
    edited = tmp_path / "edited"
    edited.write_bytes(DATA + b"more")
    second = keep(packs, edited)
    assert packs.path(second).read_bytes() == DATA + b"more"

    overwrite(file_of(store, first), DATA[:1000] + b"?" + DATA[1001:])

    for digest in (first, second):
        for read in (packs.get, packs.path, packs.ranges):
            with pytest.raises(Corrupt):
                read(digest)

    keep(packs, file)
    assert packs.get(second) == DATA + b"more"
    assert packs.path(first).read_bytes() == DATA


def test_a_file_that_was_put_together_and_damaged_is_made_again(
    packs: PackedObjects, file: Path, tmp_path: Path
) -> None:
    """The copy of this machine is no store: it is only made once more."""
    keep(packs, file)
    edited = tmp_path / "edited"
    edited.write_bytes(DATA + b"more")
    digest = keep(packs, edited)
    packs.path(digest)
    made = packs._made
    assert isinstance(made, MemoryObjects)
    made.held[digest] = b"wrong"

    assert packs.path(digest).read_bytes() == DATA + b"more"


def test_pieces_are_handed_over(packs: PackedObjects, file: Path, tmp_path: Path) -> None:
    """Another store gets a file in pieces with all that holds them."""
    keep(packs, file)
    edited = tmp_path / "edited"
    edited.write_bytes(b"more" + DATA)
    digest = keep(packs, edited)
    there = over(MemoryObjects()).packs

    transfer(packs, there, [digest])

    assert there.get(digest) == b"more" + DATA
