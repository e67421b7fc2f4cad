"""Counting: the exam, and that the numbers are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import NotFound
from mlwright.storage import MemoryObjects
from mlwright.storage.metered import MeteredObjects
from tests.exams.objects import Age, Damage, ObjectsExam
from tests.storage.test_retrying import TWO_DAYS_US


class TestMeteredObjects(ObjectsExam):
    """Memory, counted."""

    @pytest.fixture
    def memory(self) -> MemoryObjects:
        """What lies beneath."""
        return MemoryObjects()

    @pytest.fixture
    def objects(self, memory: MemoryObjects) -> MeteredObjects:
        """An empty store."""
        return MeteredObjects(memory)

    @pytest.fixture
    def damage(self, memory: MemoryObjects) -> Damage:
        """Other bytes beneath."""

        def write(objects: MeteredObjects, digest: Digest, data: bytes) -> None:
            memory.held[digest] = data

        return write

    @pytest.fixture
    def age(self, memory: MemoryObjects) -> Age:
        """An old object beneath."""

        def make(objects: MeteredObjects, digest: Digest) -> None:
            memory.put_us[digest] = now_us() - TWO_DAYS_US

        return make


def test_calls_and_bytes_are_counted(tmp_path: Path) -> None:
    """Each call counts once, also one that fails; bytes count by their direction."""
    objects = MeteredObjects(MemoryObjects())
    stored = objects.put(b"x" * 1000)
    file = tmp_path / "file"
    file.write_bytes(b"y" * 10)
    objects.put(file)

    objects.get(stored.digest)
    objects.path(stored.digest)
    with pytest.raises(NotFound):
        objects.get(Digest("ab" * 32))

    assert (objects.meter.calls, objects.meter.put_bytes, objects.meter.got_bytes) == (5, 1010, 2000)
    assert objects.meter.busy_s > 0
