"""The laws of `mlwright.storage.objects.Objects`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.storage import Objects
from mlwright.storage.objects import RENEWED_US

DATA = b"The bytes of an object, long enough to be cut in two."
NO_DIGEST = ["", "ab", "ab" * 31, "AB" * 32, "../../../../etc/passwd", "..//etc/passwd", "incoming"]

Damage = Callable[[Objects, Digest, bytes], None]
Age = Callable[[Objects, Digest], None]


def digests_in(objects: Objects) -> list[Digest]:
    """What a store holds."""
    return sorted(held.digest for held in objects)


class ObjectsExam:
    """Subclass, give the fixtures `objects` (empty), `damage` and `age`, and you are examined.

    `damage(objects, digest, data)` puts other bytes beneath the store's back in the place of an object's;
    `age(objects, digest)` makes an object seem two days old.
    """

    @pytest.mark.parametrize("size", [0, 1, 4096, 4097, (1 << 20) + 1])
    @pytest.mark.parametrize("form", ["bytes", "file", "file to take"])
    def test_bytes_come_back(self, objects: Objects, tmp_path: Path, size: int, form: str) -> None:
        """Law 1: what was put, from memory or from a file, is what get and path give."""
        data = os.urandom(size)
        file = tmp_path / "source"
        file.write_bytes(data)

        stored = objects.put(data if form == "bytes" else file, take=form == "file to take")

        assert stored.digest == digest_of(data)
        assert stored.size_bytes == size
        assert objects.get(stored.digest) == data
        assert objects.path(stored.digest).read_bytes() == data
        assert stored.digest in objects

    @settings(
        max_examples=25,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.binary(max_size=300), kind=st.sampled_from([None, "tree", "lock"]))
    def test_any_bytes_come_back_under_any_kind(
        self, objects: Objects, data: bytes, kind: str | None
    ) -> None:
        """Law 1: an object of a kind is named by the digest of that kind, and read back by it."""
        stored = objects.put(data, kind=kind)

        assert stored.digest == digest_of(data, kind)
        assert objects.get(stored.digest, kind=kind) == data
        assert objects.path(stored.digest, kind=kind).read_bytes() == data

    def test_a_file_that_is_taken_is_gone(self, objects: Objects, tmp_path: Path) -> None:
        """Law 1: `take` moves the file away, the first time and when its bytes are there already."""
        file = tmp_path / "source"

        for _ in range(2):
            file.write_bytes(DATA)
            objects.put(file, take=True)

            assert not file.exists()

        assert objects.get(digest_of(DATA)) == DATA

    def test_a_file_that_is_not_taken_stays(self, objects: Objects, tmp_path: Path) -> None:
        """Law 1: without `take` the source keeps its bytes, and is not tied to the object."""
        file = tmp_path / "source"
        file.write_bytes(DATA)

        stored = objects.put(file)
        file.write_bytes(b"changed afterwards")

        assert objects.get(stored.digest) == DATA

    def test_the_same_bytes_are_one_object(self, objects: Objects, tmp_path: Path) -> None:
        """Law 2: put twice, from memory and from a file, stores once under one digest."""
        file = tmp_path / "source"
        file.write_bytes(DATA)

        digests = {objects.put(DATA).digest, objects.put(file).digest, objects.put(DATA).digest}

        assert digests == {digest_of(DATA)}
        assert digests_in(objects) == [digest_of(DATA)]

    def test_the_same_bytes_of_another_kind_are_another_object(self, objects: Objects) -> None:
        """Law 2: a composite never shares its name with an object of the same bytes."""
        plain, tree = objects.put(DATA), objects.put(DATA, kind="tree")

        assert plain.digest != tree.digest
        assert digests_in(objects) == sorted([plain.digest, tree.digest])

    def test_a_put_that_fails_leaves_nothing(self, objects: Objects, tmp_path: Path) -> None:
        """Law 3: a source that cannot be read raises, and no object appears."""
        with pytest.raises(OSError, match="nowhere"):
            objects.put(tmp_path / "nowhere")

        assert list(objects) == []

    @pytest.mark.parametrize("name", ["ab" * 32, *NO_DIGEST])
    def test_an_unknown_object_is_said_to_be_unknown(self, objects: Objects, name: str) -> None:
        """Law 4: get and path of what is not here, or no digest at all, raise NotFound."""
        objects.put(DATA)

        assert name not in objects
        with pytest.raises(NotFound, match=re.escape(f"object {name[:12]}")):
            objects.get(Digest(name))
        with pytest.raises(NotFound, match=re.escape(f"object {name[:12]}")):
            objects.path(Digest(name))

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(bytes([DATA[0] ^ 1]) + DATA[1:], id="a flipped bit"),
            pytest.param(DATA[:-1], id="truncated"),
            pytest.param(b"", id="emptied"),
            pytest.param(DATA + b"\0", id="extended"),
            pytest.param(b"The bytes of another object altogether.", id="swapped"),
        ],
    )
    def test_a_damaged_object_is_named_not_served(
        self, objects: Objects, damage: Damage, wrong: bytes
    ) -> None:
        """Law 4: wrong bytes raise Corrupt with the digest, also where path had found them right before."""
        digest = objects.put(DATA).digest
        assert objects.path(digest).read_bytes() == DATA

        damage(objects, digest, wrong)

        with pytest.raises(Corrupt, match=digest[:12]):
            objects.get(digest)
        with pytest.raises(Corrupt, match=digest[:12]):
            objects.path(digest)

    def test_a_damaged_twin_is_healed_by_the_bytes(self, objects: Objects, damage: Damage) -> None:
        """Law 4: whoever has the bytes of a damaged object heals it by putting them again."""
        digest = objects.put(DATA).digest
        damage(objects, digest, b"something else")

        objects.put(DATA)

        assert objects.get(digest) == DATA
        assert objects.path(digest).read_bytes() == DATA

    def test_a_path_is_no_way_in(self, objects: Objects) -> None:
        """Law 5: the answered file is read-only; written to by force, it never becomes a wrong answer."""
        digest = objects.put(DATA).digest
        path = objects.path(digest)

        assert path.stat().st_mode & 0o222 == 0
        before = path.stat().st_ctime_ns
        path.chmod(0o644)
        while path.stat().st_ctime_ns == before:
            path.write_bytes(b"forced")

        for read in (objects.get, lambda digest: objects.path(digest).read_bytes()):
            try:
                assert read(digest) == DATA
            except Corrupt:
                continue

    def test_what_is_removed_is_gone_and_nothing_else(self, objects: Objects) -> None:
        """Removing forgets one object; removing what is not here, or no digest, does nothing."""
        kept, gone = objects.put(b"kept").digest, objects.put(b"gone").digest

        for name in [gone, gone, *map(Digest, NO_DIGEST)]:
            objects.remove(name)

        assert digests_in(objects) == [kept]
        assert gone not in objects
        assert objects.get(kept) == b"kept"

    def test_what_is_here_is_told_with_its_size_and_age(self, objects: Objects) -> None:
        """Iterating tells each object's size and when it was put."""
        before = now_us() - 2_000_000
        stored = objects.put(DATA)

        (held,) = objects

        assert (held.digest, held.size_bytes) == (stored.digest, len(DATA))
        assert before < held.put_us < now_us() + 2_000_000

    @pytest.mark.parametrize("form", ["bytes", "an old file", "an old file to take", "renewed"])
    def test_what_is_put_again_is_too_young_to_be_removed(
        self, objects: Objects, age: Age, tmp_path: Path, form: str
    ) -> None:
        """Law 6: `before_us` spares what was put or renewed since; what was only left alone is removed."""
        kept, gone = objects.put(DATA).digest, objects.put(b"gone").digest
        file = tmp_path / "old"
        file.write_bytes(DATA)
        os.utime(file, (1, 1))
        for digest in (kept, gone):
            age(objects, digest)

        if form == "renewed":
            assert objects.renew(kept)
        else:
            objects.put(DATA if form == "bytes" else file, take="take" in form)

        a_day_ago = now_us() - 2 * RENEWED_US
        assert not objects.remove(kept, before_us=a_day_ago)
        assert objects.remove(gone, before_us=a_day_ago)
        assert digests_in(objects) == [kept]
        assert objects.get(kept) == DATA

    def test_what_is_not_here_cannot_be_renewed(self, objects: Objects) -> None:
        """Law 6: renewing tells whether the object is here; removing what is not here is done already."""
        for name in map(Digest, ["ab" * 32, *NO_DIGEST]):
            assert not objects.renew(name)
            assert objects.remove(name, before_us=0)

    def test_a_file_made_in_incoming_can_be_taken_with_its_digest(self, objects: Objects) -> None:
        """Law 1: what its maker hashed while writing it is taken without another look, as young as can be."""
        file = objects.incoming / "made"
        file.write_bytes(DATA)
        os.utime(file, (1, 1))

        stored = objects.put(file, take=True, digest=digest_of(DATA))

        assert (stored.digest, stored.size_bytes) == (digest_of(DATA), len(DATA))
        assert objects.get(digest_of(DATA)) == DATA
        assert not file.exists()
        assert not objects.remove(stored.digest, before_us=now_us() - RENEWED_US)
