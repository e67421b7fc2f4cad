"""Whether model versions are what their records say: their bytes, whether they load, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, to_builtins

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt, MlwrightError
from mlwright.kernel.progress import SILENT, Progress
from mlwright.sdk.answers import same_answer
from mlwright.sdk.brought import LOOK_STEP
from mlwright.sdk.codec_names import TREE
from mlwright.sdk.signature import ANSWER_STEP
from mlwright.storage import load_tree, verify_entries
from mlwright.storage.reading import verify_object
from mlwright.versioning import ModelDetail, Version
from mlwright.workflow.asking import Asker
from mlwright.workflow.rooms import Rooms

_NOT_LOADED = frozenset({TREE, "file", "bytes"})


class Check(Struct, frozen=True):
    """One thing that was looked at; `told` says why it failed, or was not looked at."""

    state: Literal["ok", "failed", "skipped"]
    told: str = ""


class VerifiedModel(Struct, frozen=True):
    """What was found of a version.

    Args:
        bytes: the model's own, its environment's lock and its card's, each by its digest.
        loads: whether its codec reads it, in its own environment.
        answers: whether it answers its example as it is on record.
    """

    reference: str
    bytes: Check
    loads: Check
    answers: Check

    @property
    def sound(self) -> bool:
        """Whether nothing failed."""
        return all(each.state != "failed" for each in (self.bytes, self.loads, self.answers))


def verify_model(
    rooms: Rooms, detail: ModelDetail, cards: list[str], say: Callable[[str], object], progress: Progress
) -> VerifiedModel:
    """Look at one version; what is wrong is told, not raised.

    Args:
        cards: the digests of its card's texts.
        say: is told what takes long.
    """
    reference = detail.version.reference
    read = _tried(lambda: _read(rooms, detail, cards, progress))
    if read.state == "failed":
        skipped = Check("skipped", "its bytes are not sound")
        return VerifiedModel(reference, read, skipped, skipped)
    if detail.artifact.unsafe and not detail.artifact.ours:
        skipped = Check("skipped", "a pickle that no run of this workspace made is never loaded")
        return VerifiedModel(reference, read, skipped, skipped)
    if detail.artifact.codec in _NOT_LOADED:
        skipped = Check("skipped", f"nothing here reads a {detail.artifact.codec} as a model")
        return VerifiedModel(reference, read, skipped, skipped)
    return _asked(rooms, detail, read, say)


def verify_taken_over(rooms: Rooms, version: Version, progress: Progress) -> VerifiedModel:
    """Look at the bytes of a version of which nothing else is here."""
    read = _tried(lambda: _verify(rooms, version.digest, progress))
    skipped = Check("skipped", "it was taken over from another workspace")
    return VerifiedModel(version.reference, read, skipped, skipped)


def _asked(rooms: Rooms, detail: ModelDetail, read: Check, say: Callable[[str], object]) -> VerifiedModel:
    reference, signature = detail.version.reference, detail.signature
    say(f"loading {reference} in its environment")
    answers = Check("skipped", "no example is on record")

    def load() -> None:
        nonlocal answers
        lock = rooms.environments.get(detail.environment)
        named = detail.predictor or detail.code
        code = rooms.materialise(rooms.snapshots.get(named)) if named else None
        with Asker(rooms, rooms.environments.build(lock).python, code) as asker:
            asker.ask(LOOK_STEP, {"model": detail.artifact}, reference)
            if signature is not None:
                told = {"model": detail.artifact, "signature": to_builtins(signature)}
                answers = _tried(lambda: _same(asker.ask(ANSWER_STEP, told, reference), detail))

    loads = _tried(load)
    if loads.state == "failed":
        answers = Check("skipped", "it cannot be loaded")
    return VerifiedModel(reference, read, loads, answers)


def _read(rooms: Rooms, detail: ModelDetail, cards: list[str], progress: Progress) -> None:
    artifact = detail.artifact
    progress.begin(f"verifying {detail.version.reference}", artifact.size_bytes)
    try:
        if artifact.codec == TREE:
            verify_entries(rooms.objects.packs, load_tree(rooms.objects, artifact.digest).entries, progress)
        else:
            _verify(rooms, artifact.digest, progress)
        if detail.environment:
            _verify(rooms, rooms.environments.get(detail.environment).pylock)
        for digest in cards:
            _verify(rooms, Digest(digest))
    finally:
        progress.end()


def _verify(rooms: Rooms, digest: Digest, progress: Progress = SILENT) -> None:
    if (row := rooms.objects.inline(digest)) is not None:
        assert digest_of(row) == digest
    else:
        verify_object(rooms.objects.packs, digest, progress)


def _same(given: object, detail: ModelDetail) -> None:
    assert detail.signature is not None
    recorded = detail.signature.example.output
    if not same_answer(given, recorded):
        raise Corrupt(f"it answers its example with {given!r}, and {recorded!r} is on record")


def _tried(look: Callable[[], object]) -> Check:
    try:
        look()
    except MlwrightError as error:
        return Check("failed", error.message.partition("\n")[0])
    return Check("ok")
