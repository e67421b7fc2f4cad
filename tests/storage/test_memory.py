"""Objects in memory sit the same exam as those on a disk."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from mlwright.kernel.digest import Digest
from mlwright.storage import MemoryObjects
from mlwright.storage.objects import RENEWED_US
from tests.exams.objects import DATA, Age, Damage, ObjectsExam


class TestMemoryObjects(ObjectsExam):
    """A dictionary by digest."""

    @pytest.fixture
    def objects(self) -> MemoryObjects:
        """An empty store."""
        return MemoryObjects()

    @pytest.fixture
    def damage(self) -> Damage:
        """Other bytes in the dictionary."""

        def swap(objects: MemoryObjects, digest: Digest, data: bytes) -> None:
            objects.held[digest] = data

        return swap

    @pytest.fixture
    def age(self) -> Age:
        """An old time in the dictionary."""

        def turn_back(objects: MemoryObjects, digest: Digest) -> None:
            objects.put_us[digest] -= 4 * RENEWED_US

        return turn_back


def test_the_files_of_a_memory_store_end_with_it() -> None:
    """No folder is made before a path is asked for, and none is left when the store is gone."""
    objects = MemoryObjects()
    folder: Path = objects.path(objects.put(DATA).digest).parent

    assert folder.is_dir()
    del objects
    gc.collect()

    assert not folder.exists()
