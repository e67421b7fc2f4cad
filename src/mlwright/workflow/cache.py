"""What earlier attempts made, by fingerprint: asked for at every step of a run."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.kernel.ids import AttemptId
from mlwright.sdk.codec_names import TREE
from mlwright.storage import load_tree
from mlwright.versioning import Artifact, artifact
from mlwright.workflow.attempts import Success
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
        self._ahead: dict[Digest, Success] = {}
        self._count = 1

    def learn(self, key: Digest, made: Reusable) -> None:
        """This run has made something: its record may be on its way."""
        self._made[key] = made

    def find(self, key: Digest) -> Reusable | None:
        """A success with a fingerprint, and its outputs; None when their bytes are gone, or damaged.

        It is the newest, or one of the run in which what was asked for before was made.
        """
        return self._made.get(key) or self._whole(self._ahead.pop(key, None)) or self._whole(self._read(key))

    def renew(self) -> None:
        """See what was recorded meanwhile."""
        self._view.renew()
        self._ahead.clear()

    def close(self) -> None:
        """Nothing more is asked."""
        self._view.close()

    def _whole(self, found: Success | None) -> Reusable | None:
        if found is None:
            return None
        outputs = {name: artifact(self._view, identity) for name, identity in found.outputs.items()}
        if not all(map(self._is_whole, outputs.values())):
            return None
        return Reusable(found.id, outputs, found.detail)

    def _is_whole(self, made: Artifact) -> bool:
        """Whether all bytes of a value are here and right; what is not is made again."""
        if made.codec != TREE:
            return self._objects.is_row(made.digest) or self._objects.renew(made.digest)
        try:
            entries = load_tree(self._objects, made.digest).entries
        except (NotFound, Corrupt):
            return False
        return all(self._objects.renew(entry.digest) for entry in entries)

    def _read(self, key: Digest) -> Success | None:
        """The newest success, and more of what followed it in its run if all of that was wanted before."""
        self._count = 1 if self._ahead else min(4 * self._count, _MOST_AHEAD)
        successes = self._attempts.reusable(key, self._view, self._count)
        if not successes:
            self._count = 1
            return None
        self._ahead = {each.fingerprint: each for each in reversed(successes)}
        return self._ahead.pop(key)
