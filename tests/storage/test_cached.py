"""A folder in front of a far store: the exam, what is asked there and what is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt, NotFound, Unavailable
from mlwright.storage import LocalObjects, MemoryObjects
from mlwright.storage.cached import CachedObjects
from mlwright.storage.metered import MeteredObjects
from tests.exams.objects import DATA, Age, Damage, ObjectsExam
from tests.storage.conftest import file_of, overwrite
from tests.storage.test_retrying import TWO_DAYS_US


@pytest.fixture
def far() -> MemoryObjects:
    """The far store."""
    return MemoryObjects()


def open_cached(far: object, folder: Path) -> CachedObjects:
    """As another process would."""
    cache = LocalObjects(folder / "cache", folder / "verified")
    return CachedObjects(far, cache, folder / "renewed")  # type: ignore[arg-type]


@pytest.fixture
def cached(far: MemoryObjects, tmp_path: Path) -> CachedObjects:
    """An empty store with an empty cache."""
    return open_cached(far, tmp_path / "here")


class TestCachedObjects(ObjectsExam):
    """A folder in front of memory."""

    @pytest.fixture
    def objects(self, cached: CachedObjects) -> CachedObjects:
        """An empty store."""
        return cached

    @pytest.fixture
    def damage(self, far: MemoryObjects, store: LocalObjects, tmp_path: Path) -> Damage:
        """Other bytes at both ends: either alone is healed by the other."""

        def write(objects: CachedObjects, digest: Digest, data: bytes) -> None:
            far.held[digest] = data
            overwrite(tmp_path / "here" / "cache" / digest[:2] / digest[2:], data)

        return write

    @pytest.fixture
    def age(self, far: MemoryObjects, tmp_path: Path) -> Age:
        """Two days pass for an object, and for what is remembered of it."""

        def make(objects: CachedObjects, digest: Digest) -> None:
            then = now_us() - TWO_DAYS_US
            far.put_us[digest] = then
            objects._memory()[digest] = then

        return make


def test_what_was_put_is_read_from_the_disk(cached: CachedObjects, far: MemoryObjects) -> None:
    """After a put the far store need not answer any more."""
    digest = cached.put(DATA).digest
    assert far.held == {digest: DATA}

    far.held.clear()

    assert cached.get(digest) == DATA
    assert cached.path(digest).read_bytes() == DATA


@pytest.mark.parametrize("read", ["get", "path"])
def test_what_was_read_once_is_read_from_the_disk(
    cached: CachedObjects, far: MemoryObjects, read: str
) -> None:
    """The first reading fetches, by get and by path alike."""
    digest = far.put(DATA).digest
    getattr(cached, read)(digest)

    far.held.clear()

    assert cached.get(digest) == DATA
    assert cached.path(digest).read_bytes() == DATA


def test_a_deleted_cache_is_filled_again(cached: CachedObjects, tmp_path: Path) -> None:
    """The cache may be deleted at any time."""
    digest = cached.put(DATA).digest

    shutil.rmtree(tmp_path / "here")

    assert cached.get(digest) == DATA
    assert cached.path(digest).read_bytes() == DATA


def test_a_damaged_cache_is_healed_from_afar(
    cached: CachedObjects, far: MemoryObjects, tmp_path: Path
) -> None:
    """A flipped bit on this disk costs a request, no answer."""
    digest = cached.put(DATA).digest
    for read in (cached.get, lambda digest: cached.path(digest).read_bytes()):
        overwrite(tmp_path / "here" / "cache" / digest[:2] / digest[2:], DATA[::-1])

        assert read(digest) == DATA


def test_verifying_reads_the_far_bytes(cached: CachedObjects, far: MemoryObjects) -> None:
    """`verify` finds damage in the far store though the cache is whole."""
    digest = cached.put(DATA).digest
    far.held[digest] = DATA[::-1]

    with pytest.raises(Corrupt, match=digest[:12]):
        cached.path(digest, verify=True)

    assert cached.get(digest) == DATA


def test_what_the_far_store_refuses_is_not_stored(cached: CachedObjects, far: MemoryObjects) -> None:
    """A put that does not reach the far store fails, and what lies in the cache is not here."""

    def refuse(*_: object, **__: object) -> None:
        raise Unavailable("refused")

    far.put = refuse  # type: ignore[assignment,method-assign]
    with pytest.raises(Unavailable):
        cached.put(DATA)

    assert digest_of(DATA) not in cached
    assert not cached.renew(digest_of(DATA))
    assert list(cached) == []


def test_what_was_renewed_not_long_ago_is_not_asked_for(far: MemoryObjects, tmp_path: Path) -> None:
    """By this process and by the next one; a project's files are a hundred requests less at each run."""
    metered = MeteredObjects(far)
    digest = open_cached(metered, tmp_path).put(DATA).digest
    calls = metered.meter.calls

    for objects in (open_cached(metered, tmp_path) for _ in range(2)):
        assert objects.renew(digest)
        assert digest in objects

    assert metered.meter.calls == calls


def test_what_is_not_there_any_more_is_forgotten(
    cached: CachedObjects, far: MemoryObjects, tmp_path: Path
) -> None:
    """Whoever finds an object missing no longer believes that it is there; the next put stores it."""
    digest = cached.put(DATA).digest
    far.held.clear()
    file_of(LocalObjects(tmp_path / "here" / "cache", tmp_path / "v"), digest).unlink()

    with pytest.raises(NotFound):
        cached.get(digest)

    assert digest not in cached
    assert not cached.renew(digest)
    cached.put(DATA)
    assert far.held == {digest: DATA}


@pytest.fixture
def young(tmp_path: Path) -> Iterator[Path]:
    """A memory of renewals most of which are old."""
    folder = tmp_path / "here"
    folder.mkdir()
    lines = [f"{number:064x} 1\n" for number in range(3000)] + ["nonsense\n", f"{'ab' * 32} {now_us()}\n"]
    (folder / "renewed").write_text("".join(lines))
    yield folder


def test_the_memory_of_renewals_does_not_grow(young: Path, far: MemoryObjects) -> None:
    """What is too old to say anything is dropped when a process begins."""
    assert open_cached(far, young).renew(Digest("ab" * 32))

    assert len((young / "renewed").read_text().splitlines()) == 1
