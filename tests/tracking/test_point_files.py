"""Files of points: read while they are written, and never believed where they are damaged."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.sdk.points import NAME, OF_A_NAME, POINT, SLOT_BYTES, PointLog, points_path
from mlwright.tracking.point_files import PointFiles

Told = tuple[str, int, str]
"""Name, step and value of a point; NaN is like itself as text only."""

names = st.sampled_from(["loss", "größe der Fläche " * 10, "\U0001f600" * 250])
told = st.lists(st.tuples(names, st.integers(-(2**63), 2**63 - 1), st.floats()), min_size=1, max_size=20)


def written(folder: Path, points: Iterable[tuple[str, int, float]]) -> Path:
    """A file that a process wrote, as it is when its attempt has ended."""
    log = PointLog(folder / "attempt.jsonl")
    for name, step, value in points:
        log.put(log.point(name, value, step))
    log.close()
    return Path(points_path(folder / "attempt.jsonl", 0))


def read(files: PointFiles) -> list[Told]:
    """What is new, by metric."""
    return [(name, step, repr(value)) for name, points in files.read() for step, _, value in points]


def all_of(points: Iterable[tuple[str, int, float]]) -> Counter[Told]:
    """Points as `read` says them."""
    return Counter((name, step, repr(value)) for name, step, value in points)


@given(told, st.data())
def test_damage_leaves_points_out_and_makes_none(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[str, int, float]], data: st.DataObject
) -> None:
    """Bytes that flip, are overwritten, lost, or moved: what is read was written, and is read once."""
    folder = tmp_path_factory.mktemp("points")
    file = written(folder, points)
    whole = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1), label="at")
    match data.draw(st.sampled_from(["flip", "overwrite", "cut", "move", "insert"]), label="damage"):
        case "flip":
            whole[at] ^= 1 << data.draw(st.integers(0, 7))
        case "overwrite":
            whole[at : at + 100] = data.draw(st.binary(min_size=1, max_size=100))
        case "cut":
            del whole[at:]
        case "move":
            slot, other = (place // SLOT_BYTES * SLOT_BYTES for place in (at, data.draw(st.integers(0, at))))
            whole[slot : slot + SLOT_BYTES] = whole[other : other + SLOT_BYTES]
        case "insert":
            whole[at:at] = data.draw(st.binary(min_size=1, max_size=100))

    file.write_bytes(whole)

    found = Counter(read(PointFiles(folder / "attempt.jsonl")))
    assert found <= all_of(points)


@given(st.integers(0, 8 * (SLOT_BYTES * 40)))
def test_one_bit_costs_its_point_only(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    """All others are read, unless the bit is in the name of all."""
    folder = tmp_path_factory.mktemp("points")
    points = [("loss", step, 0.5) for step in range(50)]
    file = written(folder, points)
    whole = bytearray(file.read_bytes())

    at = SLOT_BYTES + bit // 8
    whole[at] ^= 1 << bit % 8
    file.write_bytes(whole)

    step = at // SLOT_BYTES - 1
    assert [each[1] for each in read(PointFiles(folder / "attempt.jsonl"))] == [
        each for each in range(50) if each != step
    ]


@given(told, st.lists(st.integers(1, 300), max_size=12))
def test_each_point_is_read_once(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[str, int, float]], pieces: list[int]
) -> None:
    """However the bytes arrive in the file, and however often it is read meanwhile."""
    folder = tmp_path_factory.mktemp("points")
    file = written(folder, points)
    whole = file.read_bytes()
    files, found, there = PointFiles(folder / "attempt.jsonl"), [], 0

    for size in [*pieces, len(whole)]:
        there += size
        file.write_bytes(whole[:there].ljust(len(whole), b"\0"))
        found += read(files)

    assert Counter(found) == all_of(points)
    assert read(files) == []


def test_what_a_stopped_thread_writes_later_is_read_then(tmp_path: Path) -> None:
    """A slot that was empty between others, or half-written, is looked at again."""
    points = [("loss", step, step / 2) for step in range(5)]
    file = written(tmp_path, points)
    whole = file.read_bytes()
    second, third = (slice(each * SLOT_BYTES, (each + 1) * SLOT_BYTES) for each in (2, 3))
    files = PointFiles(tmp_path / "attempt.jsonl")
    torn = bytearray(whole)
    torn[second] = bytes(SLOT_BYTES)
    torn[third] = whole[third][:20] + bytes(12)

    file.write_bytes(torn)
    first = read(files)
    file.write_bytes(whole)
    later = read(files)

    assert [step for _, step, _ in first] == [0, 3, 4]
    assert [step for _, step, _ in later] == [1, 2]


def test_an_empty_stretch_hides_nothing(tmp_path: Path) -> None:
    """What was set aside and not used, larger than what is read at once, lies before more points."""
    file = written(tmp_path, [("loss", 1, 0.5)])
    files = PointFiles(tmp_path / "attempt.jsonl")
    far = 3 << 20

    put(file, far, POINT.pack(1, 2, 7, 0.25))
    first = read(files)
    put(file, far - SLOT_BYTES, POINT.pack(1, 3, 7, 0.25))

    assert first == [("loss", 1, "0.5"), ("loss", 2, "0.25")]
    assert read(files) == [("loss", 3, "0.25")]


def put(file: Path, place: int, body: bytes) -> None:
    """Write a slot."""
    with file.open("r+b") as open_file:
        open_file.seek(place)
        open_file.write(struct.pack("=I28s", crc32(body, place), body))


def slots(*bodies: bytes) -> bytes:
    """Slots as we write them."""
    return b"".join(
        struct.pack("=I28s", crc32(body, place * SLOT_BYTES), body) for place, body in enumerate(bodies)
    )


@pytest.mark.parametrize(
    "name",
    [
        NAME.pack(1 | OF_A_NAME, 0, 0, b""),
        NAME.pack(1 | OF_A_NAME, 0, 4, b"a\0b"),
        NAME.pack(1 | OF_A_NAME, 0, 3, b"\xed\xa0\x80"),
        NAME.pack(1 | OF_A_NAME, 0, 2, b"\xff\xff"),
        NAME.pack(1 | OF_A_NAME, 1, 4, b"loss"),
        NAME.pack(1 | OF_A_NAME, 0, 40, b"loss"),
        NAME.pack(2 | OF_A_NAME, 0, 4, b"loss"),
        bytes(28),
    ],
    ids=repr,
)
def test_a_name_that_no_step_of_ours_gave_is_none(tmp_path: Path, name: bytes) -> None:
    """The file lies where the user's code may write: what no database could hold does not get there."""
    good = NAME.pack(3 | OF_A_NAME, 0, 3, b"auc")
    points = [POINT.pack(key, 1, 7, math.inf) for key in (1, 3)]

    (tmp_path / "attempt.0.points").write_bytes(slots(name, good, *points))

    assert read(PointFiles(tmp_path / "attempt.jsonl")) == [("auc", 1, "inf")]


def test_processes_that_begin_later_are_found(tmp_path: Path) -> None:
    """Each has a file of its own; a process that has logged nothing yet leaves an empty one."""
    files = PointFiles(tmp_path / "attempt.jsonl")
    before = read(files)
    written(tmp_path, [("loss", 1, 0.5)])
    first = read(files)
    (tmp_path / "attempt.1.points").touch()
    second = PointLog(tmp_path / "attempt.jsonl")
    second.put(second.point("loss", 0.25, 2))

    assert (before, first, read(files)) == ([], [("loss", 1, "0.5")], [("loss", 2, "0.25")])
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"attempt.{each}.points" for each in range(3)]
    second.close()
