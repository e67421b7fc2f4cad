"""Objects in a folder: the exam, what is remembered of them, and files that are no help."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel.clock import boot_id
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt
from mlwright.storage import LocalObjects
from tests.exams.objects import DATA, Age, Damage, ObjectsExam, digests_in
from tests.processes import run_python, start_python, until
from tests.storage.conftest import file_of, overwrite, two_days_old


class TestLocalObjects(ObjectsExam):
    """Files under a folder."""

    @pytest.fixture
    def objects(self, store: LocalObjects) -> LocalObjects:
        """An empty store."""
        return store

    @pytest.fixture
    def damage(self) -> Damage:
        """Other bytes in the object's own file."""

        def write(objects: LocalObjects, digest: Digest, data: bytes) -> None:
            overwrite(file_of(objects, digest), data)

        return write

    @pytest.fixture
    def age(self) -> Age:
        """An old object's file."""

        def touch(objects: LocalObjects, digest: Digest) -> None:
            two_days_old(file_of(objects, digest))

        return touch


def test_an_object_that_was_replaced_is_found_out(store: LocalObjects, tmp_path: Path) -> None:
    """Another file renamed over an object's, with its old times, is read again and is Corrupt."""
    digest = store.put(DATA).digest
    place = store.path(digest)
    other = tmp_path / "other"
    other.write_bytes(DATA[::-1])
    shutil.copystat(place, other)

    other.replace(place)

    with pytest.raises(Corrupt, match=digest[:12]):
        store.path(digest)


def test_the_message_of_a_damaged_object_says_where_it_lies(store: LocalObjects) -> None:
    """A person can go to the file that is wrong."""
    digest = store.put(DATA).digest
    overwrite(file_of(store, digest), b"x")

    with pytest.raises(Corrupt) as raised:
        store.get(digest)

    assert raised.value.where == str(file_of(store, digest))
    assert raised.value.hint


def test_objects_are_read_only_files_under_two_letters(store: LocalObjects) -> None:
    """The layout: `ab/cdef...`, mode 0444, and nothing left in `incoming`."""
    digest = store.put(DATA).digest

    place = file_of(store, digest)

    assert stat.S_IMODE(place.stat().st_mode) == 0o444
    assert list((store.root / "incoming").iterdir()) == []


def test_what_was_verified_is_remembered_by_the_next_process(store: LocalObjects, tmp_path: Path) -> None:
    """A store opened later trusts the record of an unchanged file; it does not read it again."""
    digest = store.put(DATA).digest
    memory = tmp_path / "local" / "verified"
    record = memory.read_text()

    LocalObjects(store.root, memory).path(digest)

    assert memory.read_text() == record


def test_a_record_of_another_boot_counts_for_nothing(store: LocalObjects, tmp_path: Path) -> None:
    """After a restart of the machine every object is read in full once more, and recorded anew."""
    digest = store.put(DATA).digest
    memory = tmp_path / "local" / "verified"
    record = memory.read_text()
    of_another = record.replace(boot_id(), "another")
    memory.write_text(of_another)

    LocalObjects(store.root, memory).path(digest)

    assert memory.read_text() == of_another + record


def test_what_is_remembered_wrongly_is_found_out_by_verifying(store: LocalObjects, tmp_path: Path) -> None:
    """Damage that left no trace in a file's state is seen by `verify` alone; from then on by everybody."""
    digest = store.put(DATA).digest
    place = file_of(store, digest)
    overwrite(place, DATA[::-1])
    memory = tmp_path / "local" / "verified"
    memory.write_text(store._state(digest, place) + "\n")  # as if the file had not been written to

    def opened() -> LocalObjects:
        return LocalObjects(store.root, memory)

    fooled = opened().path(digest).read_bytes()
    # A change in the same tick of the file system's clock could not be told from none.
    until(lambda: place.stat().st_ctime_ns < time.time_ns() - 20_000_000)
    with pytest.raises(Corrupt, match=digest[:12]):
        opened().path(digest, verify=True)

    assert fooled == DATA[::-1]
    with pytest.raises(Corrupt, match=digest[:12]):
        opened().path(digest)
    opened().put(DATA)
    assert opened().path(digest, verify=True).read_bytes() == DATA


@pytest.mark.parametrize("content", [b"\xff\xfe garbage", b"", b"half a li"])
def test_a_damaged_memory_is_only_forgotten(store: LocalObjects, tmp_path: Path, content: bytes) -> None:
    """The record of what was verified is disposable: whatever is in it, objects are read and verified."""
    digest = store.put(DATA).digest
    memory = tmp_path / "damaged"
    memory.write_bytes(content)

    assert LocalObjects(store.root, memory).path(digest).read_bytes() == DATA
    overwrite(file_of(store, digest), b"x")
    with pytest.raises(Corrupt):
        LocalObjects(store.root, memory).path(digest)


def test_objects_are_read_where_nothing_can_be_remembered(store: LocalObjects, tmp_path: Path) -> None:
    """A memory that cannot be written costs a second reading, and nothing else."""
    digest = store.put(DATA).digest
    (tmp_path / "a file").touch()

    forgetful = LocalObjects(store.root, tmp_path / "a file" / "verified")

    assert forgetful.path(digest).read_bytes() == DATA
    assert forgetful.put(b"more").digest in store


def test_files_that_are_no_objects_are_passed_over(store: LocalObjects) -> None:
    """A mark of the workspace, and leftovers of killed processes, are not listed as objects."""
    digest = store.put(DATA).digest
    (store.root / "WORKSPACE").write_text("01JD8\n")
    (store.root / "incoming" / "tmpabc").write_bytes(b"left over")
    (store.root / "ab").mkdir(exist_ok=True)
    (store.root / "ab" / "notes.txt").touch()

    assert digests_in(store) == [digest]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder of another file system than the temporary one's."""
    folder = Path("/dev/shm") / f"mlwright-test-{os.getpid()}"
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has only one file system to write to")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_a_file_is_taken_across_file_systems(store: LocalObjects, elsewhere: Path) -> None:
    """Where no rename is possible, `take` copies, and the source is gone all the same."""
    file = elsewhere / "source"
    file.write_bytes(DATA)

    stored = store.put(file, take=True)

    assert store.get(stored.digest) == DATA
    assert not file.exists()


def test_a_link_is_taken_by_its_bytes(store: LocalObjects, tmp_path: Path) -> None:
    """`take` of a symbolic link stores what it leads to, and leaves that where it is."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(DATA)
    link.symlink_to(target)

    stored = store.put(link, take=True)

    assert not file_of(store, stored.digest).is_symlink()
    assert target.read_bytes() == DATA
    assert not link.is_symlink()


def test_a_file_that_changes_while_it_is_read_gets_the_name_of_what_was_kept(
    store: LocalObjects, tmp_path: Path
) -> None:
    """Digest and size are those of the stored bytes, whichever moment of the source they are."""
    file = tmp_path / "growing"
    file.write_bytes(b"")
    stop = threading.Event()

    def grow() -> None:
        with file.open("ab", buffering=0) as handle:
            while not stop.is_set() and handle.tell() < 50_000_000:
                handle.write(b"x" * 997)

    writer = threading.Thread(target=grow)
    writer.start()
    stored = [store.put(file) for _ in range(20)]
    stop.set()
    writer.join()

    for each in stored:
        data = store.get(each.digest)
        assert digest_of(data) == each.digest
        assert len(data) == each.size_bytes


def test_two_processes_may_put_the_same_bytes_at_once(store: LocalObjects, tmp_path: Path) -> None:
    """Both answer the same digests, each object is there once and whole, and nothing is left over."""
    code = """
        import sys
        from pathlib import Path
        from mlwright.storage import LocalObjects

        root, go, name = map(Path, sys.argv[1:])
        objects = LocalObjects(root, root.parent / name)
        print("ready", flush=True)
        while not go.exists():
            pass
        print(*[objects.put(b"object %d" % number).digest for number in range(150)])
    """
    go = tmp_path / "go"
    racers = [start_python(code, store.root, go, name) for name in ("one", "two")]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"

    go.touch()
    said = [racer.communicate(timeout=60)[0] for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0], said
    assert said[0] == said[1]
    assert digests_in(store) == sorted(said[0].split())
    assert all(store.get(digest) for digest in digests_in(store))
    assert list((store.root / "incoming").iterdir()) == []


def test_a_new_process_reads_what_another_put(store: LocalObjects) -> None:
    """What put returned is there for anybody who opens the folder."""
    digest = store.put(DATA).digest

    read = run_python(
        "import sys; from pathlib import Path; from mlwright.storage import LocalObjects;"
        "sys.stdout.buffer.write(LocalObjects(Path(sys.argv[1]), Path(sys.argv[2])).get(sys.argv[3]))",
        store.root,
        store.root.parent / "elsewhere",
        digest,
    )

    assert read.stdout.encode() == DATA, read.stderr
