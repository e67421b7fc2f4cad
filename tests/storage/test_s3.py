"""Objects in a bucket: the exam on a real server, large objects in parts, and what a server may refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest
from mlwright.storage.s3 import S3Objects
from tests.exams.objects import Age, Damage, ObjectsExam
from tests.processes import until
from tests.s3 import Place
from tests.storage.conftest import two_days_old


def key_of(digest: Digest) -> str:
    """Where an object lies."""
    return f"objects/{digest[:2]}/{digest[2:]}"


def make_old(s3: Place, key: str) -> None:
    """Two days old, also in the eyes of the server, which remembers what it saw for a moment."""
    two_days_old(s3.file(key))
    bucket, yesterday = s3.bucket(), now_us() - 86_400_000_000

    def seems_old() -> bool:
        seen = bucket.head(key)
        return seen is not None and seen.modified_us < yesterday

    until(seems_old)


class TestS3Objects(ObjectsExam):
    """A bucket on a real server."""

    @pytest.fixture
    def objects(self, s3: Place, tmp_path: Path) -> S3Objects:
        """An empty store."""
        return S3Objects(s3.bucket(), tmp_path / "local")

    @pytest.fixture
    def damage(self, s3: Place) -> Damage:
        """Other bytes under the object's own key."""

        def write(objects: S3Objects, digest: Digest, data: bytes) -> None:
            s3.bucket().write(key_of(digest), data)

        return write

    @pytest.fixture
    def age(self, s3: Place) -> Age:
        """An old file behind the server."""

        def touch(objects: S3Objects, digest: Digest) -> None:
            make_old(s3, key_of(digest))

        return touch
