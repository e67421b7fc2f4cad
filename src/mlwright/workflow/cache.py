"""What earlier attempts made, by fingerprint: asked for at every step of a run."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.kernel.ids import AttemptId
from mlwright.versioning import Artifact
from mlwright.versioning.artifacts import artifacts_between
from mlwright.workflow.rooms import Rooms

_MOST_AHEAD = 256


class Reusable(Struct, frozen=True):
    """An earlier success: its outputs, and what else is recorded of it."""

    attempt: AttemptId
    outputs: dict[str, Artifact]
    detail: dict[str, Any]


class Cache:
    """Finds what can be reused: what this run has made, and what was on record a moment ago.

    It must be renewed now and then: see `mlwright.kernel.database.View`.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._attempts = rooms.attempts
        self._view = rooms.database.view()
        self._objects = rooms.objects.seen_in(self._view)
        self._made: dict[Digest, Reusable] = {}
        self._ahead: dict[Digest, Reusable] = {}
        self._count = 1

    def learn(self, key: Digest, made: Reusable) -> None:
        """This run has made something: its record may be on its way."""
        self._made[key] = made

    def find(self, key: Digest) -> Reusable | None:
        """The newest success with a fingerprint, and its outputs; None when their bytes are gone."""
        return self._made.get(key) or self._recorded(key)

    def renew(self) -> None:
        """See what was recorded meanwhile."""
        self._view.renew()
        self._ahead.clear()

    def close(self) -> None:
        """Nothing more is asked."""
        self._view.close()

    def _recorded(self, key: Digest) -> Reusable | None:
        found = self._ahead.pop(key, None) or self._read(key)
        if found is None or any(each.digest not in self._objects for each in found.outputs.values()):
            return None
        return found

    def _read(self, key: Digest) -> Reusable | None:
        """Read a success, and the more of what followed it in its run, the more of that was wanted before."""
        self._count = 1 if self._ahead else min(4 * self._count, _MOST_AHEAD)
        successes = self._attempts.reusable(key, self._view, self._count)
        if not successes:
            return None
        made = artifacts_between(self._view, successes[0].id, successes[-1].id)
        self._ahead = {
            each.fingerprint: Reusable(
                each.id, {name: made[identity] for name, identity in each.outputs.items()}, each.detail
            )
            for each in reversed(successes)
        }
        return self._ahead.pop(key)
