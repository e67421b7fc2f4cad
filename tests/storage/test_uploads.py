"""Bytes on their way into a store: in one stream or in parts, and all of them or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Conflict, DiskFull, Invalid, NotFound, Unavailable
from mlwright.storage import LocalObjects
from mlwright.storage import parts as parts_module
from mlwright.storage.parts import KEPT_S, Parts
from mlwright.storage.uploads import BLOCK_BYTES, IncomingFile, Received, Upload
from tests.exams.objects import digests_in
from tests.processes import run_python
from tests.storage.conftest import two_days_old

LARGE = os.urandom(3 * BLOCK_BYTES + 7)


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    """An empty store."""
    return LocalObjects(tmp_path / "objects", tmp_path / "verified")


def blocks(data: bytes) -> list[bytes]:
    """As they come from a network."""
    return [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]


def left_in(store: LocalObjects) -> list[str]:
    """What lies in the store and is no object."""
    return [path.name for path in store.incoming.iterdir()]


def send(parts: Parts, name: str, number: int, data: bytes) -> str:
    """A part comes."""
    with IncomingFile(parts.part(name, number)) as file:
        file.write(data)
        return parts.keep(name, number, file)


@pytest.mark.parametrize("size", [4097, BLOCK_BYTES, len(LARGE)])
def test_what_came_is_stored(store: LocalObjects, size: int) -> None:
    """Under the digest of its bytes, and nothing else is left."""
    data = LARGE[:size]

    with Upload(store) as upload:
        for block in blocks(data):
            upload.write(block)
        received = upload.put()

    assert received == Received(digest_of(data), size)
    assert store.get(received.digest) == data
    assert left_in(store) == []


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 4096])
def test_what_is_small_becomes_a_row(store: LocalObjects, data: bytes) -> None:
    """The store is left alone: the bytes go with the record that names them."""
    with Upload(store) as upload:
        if data:
            upload.write(data)
        received = upload.put()

    assert received == Received(digest_of(data), len(data), data)
    assert digests_in(store) == []


def test_what_does_not_end_leaves_nothing(store: LocalObjects) -> None:
    """The client was gone after two blocks."""
    with pytest.raises(RuntimeError, match="gone"), Upload(store) as upload:
        for block in blocks(LARGE)[:2]:
            upload.write(block)
        raise RuntimeError("gone")

    assert digests_in(store) == []
    assert left_in(store) == []


def test_a_full_disk_is_said(store: LocalObjects) -> None:
    """With the file that did not fit, and nothing is left of it."""
    code = """
        import resource, signal, sys
        from pathlib import Path
        from mlwright.kernel.errors import DiskFull
        from mlwright.storage import LocalObjects
        from mlwright.storage.uploads import Upload
        import errno, os
        real = os.write
        def full(descriptor, data):
            if len(data) > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data)
        os.write = full
        store = LocalObjects(Path(sys.argv[1]), Path(sys.argv[1]) / "verified")
        try:
            with Upload(store) as upload:
                upload.write(b"a" * 10_000)
                upload.write(b"b" * 10_000)
        except DiskFull as error:
            print(error.message)
    """

    told = run_python(code, store.root)

    assert told.stdout.startswith("the disk is full: "), told.stderr
    assert left_in(store) == []


def test_parts_come_in_any_order(store: LocalObjects) -> None:
    """The file is made of them in that of their numbers; one that came again counts."""
    parts = Parts(store)
    name = parts.begin("a file", 3)
    send(parts, name, 2, b"other")
    tags = {number: send(parts, name, number, blocks(LARGE)[number - 1]) for number in (3, 1, 2)}

    received = parts.complete(name, "a file", tags)

    data = LARGE[: 3 * BLOCK_BYTES]
    assert received == Received(digest_of(data), len(data))
    assert store.get(received.digest) == data


def test_a_file_may_be_completed_again(store: LocalObjects) -> None:
    """A client whose connection broke asks once more, and gets the same."""
    parts = Parts(store)
    name = parts.begin("a file", 1)
    tags = {1: send(parts, name, 1, LARGE)}
    first = parts.complete(name, "a file", tags)

    again = Parts(store).complete(name, "a file", tags)

    assert again == first


def test_a_file_that_lacks_a_part_is_not_completed(store: LocalObjects) -> None:
    """The part is named; when it has come, the file is made."""
    parts = Parts(store)
    name = parts.begin("a file", 2)
    tags = {1: send(parts, name, 1, b"one")}

    with pytest.raises(Conflict, match="part 2 of 2 is missing"):
        parts.complete(name, "a file", tags)

    tags[2] = send(parts, name, 2, b"two")
    with pytest.raises(Conflict, match="part 1 of 2 is not the one that was sent"):
        parts.complete(name, "a file", {1: tags[2], 2: tags[2]})
    with pytest.raises(Conflict, match="3 parts are named, and there are 2"):
        parts.complete(name, "a file", {**tags, 3: tags[2]})
    assert store.get(parts.complete(name, "a file", tags).digest) == b"onetwo"


def test_what_is_aborted_leaves_nothing(store: LocalObjects) -> None:
    """No part, and no later one is taken; aborting it again is no fault."""
    parts = Parts(store)
    name = parts.begin("a file", 2)
    send(parts, name, 1, LARGE)

    parts.abort(name, "a file")

    assert left_in(store) == []
    with pytest.raises(NotFound, match="no file is expected"):
        send(parts, name, 2, b"late")
    parts.abort(name, "a file")


def test_parts_that_wait_for_a_day_go(store: LocalObjects) -> None:
    """The next file that begins takes away what nobody completed; what is younger stays."""
    parts = Parts(store)
    old, young = parts.begin("old", 2), parts.begin("young", 2)
    send(parts, old, 1, LARGE)
    send(parts, young, 1, LARGE)
    folder = store.incoming / f"parts-{old}"
    for path in (*folder.iterdir(), folder):
        two_days_old(path)

    parts.begin("another", 1)

    assert KEPT_S < 2 * 86_400
    assert not folder.exists()
    assert (store.incoming / f"parts-{young}").exists()


def test_no_more_files_are_in_parts_than_can_be(store: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more has to wait until another is completed."""
    monkeypatch.setattr(parts_module, "MOST_OPEN", 2)
    parts = Parts(store)
    parts.begin("first", 1)
    name = parts.begin("second", 1)

    with pytest.raises(Unavailable, match="2 files are in parts already"):
        parts.begin("third", 1)

    parts.complete(name, "second", {1: send(parts, name, 1, b"x")})
    parts.begin("third", 1)


@pytest.mark.parametrize("count", [0, -1, 10_001, 2**63])
def test_a_file_has_a_number_of_parts(store: LocalObjects, count: int) -> None:
    """Neither none nor more than could be told."""
    with pytest.raises(Invalid, match=f"1 to 10,000 parts, and not in {count}"):
        Parts(store).begin("a file", count)


@pytest.mark.parametrize("name", ["", ".", "../x", "a" * 31, "A" * 32, "a" * 32, "../" + "a" * 29, "\0" * 32])
def test_nothing_but_a_name_that_was_given_finds_parts(store: LocalObjects, name: str) -> None:
    """Whatever else is sent leads to no folder."""
    parts = Parts(store)

    with pytest.raises(NotFound):
        parts.part(name, 1)
    with pytest.raises(NotFound):
        parts.complete(name, "a file", {1: ""})


def test_parts_are_for_the_file_they_were_begun_for(store: LocalObjects) -> None:
    """No other is made of them, nor aborts them; and a part has a number that was told."""
    parts = Parts(store)
    name = parts.begin("a file", 1)

    with pytest.raises(Invalid, match="begun for another file"):
        parts.complete(name, "another", {1: ""})
    with pytest.raises(Invalid, match="begun for another file"):
        parts.abort(name, "another")
    for number in (0, 2, -1):
        with pytest.raises(Invalid, match=f"there is no part {number}"):
            parts.part(name, number)


def test_a_disk_that_fails_otherwise_is_said(store: LocalObjects) -> None:
    """A folder that is not there is no full disk."""
    with pytest.raises(Unavailable, match="the disk cannot be written: No such file") as raised:
        IncomingFile(store.root / "nowhere")

    assert not isinstance(raised.value, DiskFull)
