"""Files on their way into the store: they may change, vanish or be closed meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Conflict
from mlwright.kernel.progress import Progress
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import LocalObjects, PackedObjects, Source, scan, store_tree
from mlwright.storage.ingest import SMALL_BYTES
from tests.exams.objects import digests_in
from tests.processes import run_python
from tests.storage.conftest import over

SIZES = {"small": 100, "usual": SMALL_BYTES, "large": (64 << 20) + 1}


@pytest.fixture
def packs(store: LocalObjects, database: SqliteDatabase) -> PackedObjects:
    """An empty store of packs over files."""
    return over(store, database).packs


class Writing(Progress):
    """Writes to a file again and again while the store is at work."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Writing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        with self._file.open("r+b", buffering=0) as file:
            while not self._end.is_set():
                os.pwrite(file.fileno(), os.urandom(8), 0)


@pytest.mark.parametrize("kind", ["usual", "large"])
def test_a_file_that_changes_while_it_is_read_is_said(
    packs: PackedObjects, tmp_path: Path, kind: str
) -> None:
    """What was stored is of no moment: Conflict names the file, and no tree appears."""
    file = tmp_path / "data" / "file"
    file.parent.mkdir()
    file.write_bytes(b"x" * SIZES[kind])
    sources = scan(file.parent)

    with Writing(file), pytest.raises(Conflict, match="changes while it is read") as raised:
        store_tree(packs, sources)

    assert str(file) in raised.value.message
    assert raised.value.hint


def test_a_file_that_changed_since_it_was_listed_is_taken_as_it_is_read(
    packs: PackedObjects, tmp_path: Path
) -> None:
    """The entry has the bytes, and the size, of the moment of reading; so has what is remembered."""
    for kind, size in SIZES.items():
        (tmp_path / f"{kind}.bin").write_bytes(b"x" * size)
    sources = scan(tmp_path)
    sources = [source for source in sources if source.path.endswith(".bin")]
    for kind in SIZES:
        (tmp_path / f"{kind}.bin").write_bytes(kind.encode())
    learned: dict[str, tuple[Source, Digest]] = {}

    _, tree = store_tree(
        packs, sources, learn=lambda source, digest: learned.update({source.path: (source, digest)})
    )

    for entry in tree.entries:
        text = entry.path.removesuffix(".bin").encode()
        assert (entry.size_bytes, entry.digest) == (len(text), digest_of(text))
        source, digest = learned[entry.path]
        assert digest == entry.digest
        assert source.state == scan(tmp_path / entry.path)[0].state


@pytest.mark.parametrize("kind", list(SIZES))
def test_a_file_that_vanishes_is_said(packs: PackedObjects, tmp_path: Path, kind: str) -> None:
    """Conflict names the file and what to do."""
    file = tmp_path / "file"
    with file.open("wb") as written:
        written.truncate(SIZES[kind])
    sources = scan(file)
    file.unlink()

    with pytest.raises(Conflict, match="vanished") as raised:
        store_tree(packs, sources)

    assert str(file) in raised.value.message
    assert raised.value.hint


def test_a_file_without_permission_is_said() -> None:
    """It is named, by its size class too, and what to do; nothing is left out without a word."""
    folder = Path(tempfile.mkdtemp(prefix="mlwright-closed-"))
    folder.chmod(0o755)
    for kind, size in SIZES.items():
        with (folder / kind).open("wb") as written:
            written.truncate(size)
        (folder / kind).chmod(0o000)
    code = """
        import concurrent.futures.thread, os, sys, pyfastcdc  # before they cannot be read
        from pathlib import Path
        from mlwright.kernel.errors import Invalid
        from mlwright.storage import scan, store_tree, MemoryObjects
        from tests.storage.conftest import over

        packs = over(MemoryObjects()).packs
        if os.getuid() == 0:  # nothing is closed to root
            os.setgid(65534)
            os.setuid(65534)
        for kind in ("small", "usual", "large"):
            try:
                store_tree(packs, scan(Path(sys.argv[1]) / kind))
            except Invalid as error:
                print(error.message, "|", error.hint)
    """

    done = run_python(code, folder)
    shutil.rmtree(folder)

    assert done.stdout.splitlines() == [
        f"{folder / kind} cannot be read: no permission | change its permissions" for kind in SIZES
    ], done.stderr


def test_progress_hears_of_every_byte_once(packs: PackedObjects, tmp_path: Path) -> None:
    """Read, found again or remembered: the sum is what there is."""
    for kind, size in SIZES.items():
        (tmp_path / f"{kind}.bin").write_bytes(os.urandom(size))
    sources = [source for source in scan(tmp_path) if source.path.endswith(".bin")]

    class Sum(Progress):
        total = 0

        def advance(self, done_bytes: int) -> None:
            self.total += done_bytes

    known: dict[str, Digest] = {}
    for _ in range(3):
        heard = Sum()
        _, tree = store_tree(packs, sources, known, progress=heard)
        assert heard.total == sum(SIZES.values())
        known = {entry.path: entry.digest for entry in tree.entries[len(known) // 2 :]}


def test_two_that_store_the_same_at_once_store_it_once(
    store: LocalObjects, database: SqliteDatabase, tmp_path: Path
) -> None:
    """Threads with stores of their own over one folder and one database leave whole packs and one tree."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        (folder / str(number)).write_bytes(os.urandom(50) * 40)
    sources, digests = scan(folder), []

    def add() -> None:
        digests.append(store_tree(over(store, database).packs, sources)[0])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    packs = over(store, database).packs
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert all(packs.get(digest_of((folder / str(n)).read_bytes())) for n in range(400))
    assert len(digests_in(store)) <= 5
