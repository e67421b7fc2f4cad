"""Trying again: the exam, what is asked again, and what is not."""

from __future__ import annotations

import pytest

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt, NotFound, Unavailable
from mlwright.storage import MemoryObjects
from mlwright.storage.retrying import RetryingObjects, Transient, retrying
from tests.exams.objects import DATA, Age, Damage, ObjectsExam

TWO_DAYS_US = 2 * 86_400_000_000


class TestRetryingObjects(ObjectsExam):
    """Memory, asked again."""

    @pytest.fixture
    def memory(self) -> MemoryObjects:
        """What lies beneath."""
        return MemoryObjects()

    @pytest.fixture
    def objects(self, memory: MemoryObjects) -> RetryingObjects:
        """An empty store."""
        return RetryingObjects(memory, pause_s=0.0)

    @pytest.fixture
    def damage(self, memory: MemoryObjects) -> Damage:
        """Other bytes beneath."""

        def write(objects: RetryingObjects, digest: Digest, data: bytes) -> None:
            memory.held[digest] = data

        return write

    @pytest.fixture
    def age(self, memory: MemoryObjects) -> Age:
        """An old object beneath."""

        def make(objects: RetryingObjects, digest: Digest) -> None:
            memory.put_us[digest] = now_us() - TWO_DAYS_US

        return make


class Failing:
    """Fails so often, then answers."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


@pytest.mark.parametrize("error", [Transient("cut off"), Corrupt("wrong bytes")])
def test_what_was_spoiled_on_its_way_is_asked_for_again(error: Exception) -> None:
    """A body that was cut off, or came with wrong bytes, is no answer."""
    call = Failing(error, times=3)

    answer = retrying(call, pause_s=0.0)

    assert (answer, call.calls) == ("answer", 4)


@pytest.mark.parametrize("error", [Unavailable("denied"), NotFound("gone"), ValueError("ours")])
def test_what_no_second_try_helps_is_said_at_once(error: Exception) -> None:
    """Denied, expired and unknown are raised at the first time."""
    call = Failing(error, times=1)

    with pytest.raises(type(error)):
        retrying(call, pause_s=0.0)

    assert call.calls == 1


def test_the_tries_are_bounded() -> None:
    """What stays spoiled is raised as it came the last time."""
    call = Failing(Transient("cut off"), times=100)

    with pytest.raises(Transient, match="cut off"):
        retrying(call, tries=4, pause_s=0.0)

    assert call.calls == 4


def test_wrong_bytes_that_come_right_are_served_right() -> None:
    """A store that answers wrong bytes once is asked again, and its right ones are given."""

    class Flipping(MemoryObjects):
        def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
            right, self.held = self.held, {digest: b"wrong"} if not flipped else self.held
            flipped.append(digest)
            try:
                return super().get(digest, kind=kind)
            finally:
                self.held = right

    flipped: list[Digest] = []
    objects = RetryingObjects(Flipping(), pause_s=0.0)
    digest = objects.put(DATA).digest

    assert objects.get(digest) == DATA
    assert flipped == [digest_of(DATA)] * 2
