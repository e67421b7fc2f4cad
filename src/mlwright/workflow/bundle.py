"""A bundle: one file with all that a run is made again from, and what is known of it.

A plain tar: `bundle.json` first, which names every other file with its size, then those by digest. The same
run gives the same bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mlwright.environments import Lock
from mlwright.environments.pylocks import kept_wheels
from mlwright.kernel import edges
from mlwright.kernel.digest import Digest, Hasher
from mlwright.kernel.errors import Conflict, Corrupt, Invalid, NotFound
from mlwright.kernel.ids import AttemptId, new_id, short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted
from mlwright.sdk.codec_names import TREE
from mlwright.storage import InlineObjects, load_tree
from mlwright.storage.tars import write_end, write_file
from mlwright.storage.trees import KIND as TREE_KIND
from mlwright.tracking import Run
from mlwright.versioning import Artifact, Snapshot, Version, artifact
from mlwright.workflow.aside import locks_of
from mlwright.workflow.attempts import Attempt
from mlwright.workflow.history import made_in, reused_in
from mlwright.workflow.rooms import Rooms

FORMAT = 1
MANIFEST = "bundle.json"


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the bundle: bytes under their digest."""

    digest: Digest
    kind: Literal["object", "tree"]
    size_bytes: int

    @property
    def name(self) -> str:
        """What it is called in the tar."""
        return f"{self.kind}s/{self.digest}"


class Value(Struct, frozen=True, forbid_unknown_fields=True):
    """The last value of a metric; None for NaN."""

    name: str
    value: float | None
    step: int
    at_us: int


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """A model's version that the run compared with, or predicted with, and its bytes.

    Args:
        conversion: what answered instead of it.
    """

    version: Version
    artifact: Artifact
    conversion: Artifact | None = None


class Made(Struct, frozen=True, forbid_unknown_fields=True):
    """An artifact that an attempt made, or reused from an earlier run; the bytes may be elsewhere."""

    attempt: AttemptId
    role: str
    artifact: Artifact


class Taken(Struct, frozen=True, forbid_unknown_fields=True):
    """What an attempt took: an artifact of the run by its id, or a dataset by what the run asked for."""

    attempt: AttemptId
    role: str
    kind: Literal["artifact", "dataset"]
    id: str


class Bundle(Struct, frozen=True, forbid_unknown_fields=True):
    """What `bundle.json` says.

    Args:
        workspace: the id of the one in which the run was made.
        parameters: that it was given.
        logged: that its steps logged.
        locks: by the name of the environment, empty for the project's own.
        datasets: by what the run asked for, as `patients@latest`.
        models: likewise.
        members: all other files, in their order.
    """

    format: int
    workspace: str
    run: Run
    parameters: dict[str, Any]
    logged: dict[str, Any]
    metrics: tuple[Value, ...]
    snapshot: Snapshot
    locks: dict[str, Lock]
    datasets: dict[str, Version]
    models: dict[str, Model]
    attempts: tuple[Attempt, ...]
    made: tuple[Made, ...]
    taken: tuple[Taken, ...]
    members: tuple[Member, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(each.size_bytes for each in self.members)

    def encode(self) -> bytes:
        """The manifest's one text. What the records hold as JSON may have NaN in it."""
        value = msgspec.to_builtins(self)
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def bundle_of(rooms: Rooms, reference: str, *, with_outputs: bool = False) -> Bundle:
    """All that a bundle of a run says; nothing but trees is read.

    Args:
        rooms: where the run is recorded.
        reference: the run.
        with_outputs: the bytes of what its steps made come with it, so that a difference can be looked into.

    Raises:
        NotFound: there is no such run, or not all it was made with is here.
        Invalid: it has not ended, or was reported from outside.
    """
    run = rooms.runs.get(reference)
    run.refuse_reported("exported")
    if not run.state.ended:
        raise Invalid(
            f"run {short(run.id)} is still running",
            hint=f"wait for its end: mlwright runs show {short(run.id)}",
        )
    made_with = {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)}
    snapshot = rooms.snapshots.get(made_with["code"].id)
    datasets, models = dict[str, Version](), dict[str, Model]()
    for role, end in made_with.items():
        kind, _, asked = role.partition(":")
        if kind == "data":
            datasets[asked] = rooms.datasets.versions.by_id(end.id)
        elif kind == "reference":
            version = rooms.models.versions.by_id(end.id)
            converted = made_with.get(f"conversion:{asked}")
            models[asked] = Model(
                version,
                artifact(rooms.database, version.artifact_id),
                None if converted is None else artifact(rooms.database, converted.id),
            )
    attempts = tuple(_attempts(rooms, run))
    made = tuple(
        Made(each.attempt, each.role, artifact(rooms.database, each.artifact))
        for each in made_in(rooms.database, run.id)
    )
    bundle = Bundle(
        format=FORMAT,
        workspace=rooms.workspace.id,
        run=replace(run, experiment_id=None, deleted_us=None),
        parameters=rooms.runs.parameters(run.id),
        logged=rooms.runs.logged_parameters(run.id),
        metrics=tuple(
            Value(each.name, None if math.isnan(each.value) else each.value, each.step, each.at_us)
            for each in rooms.runs.metrics(run.id)
        ),
        snapshot=snapshot,
        locks=dict(sorted(locks_of(rooms, run).items())),
        datasets=dict(sorted(datasets.items())),
        models=dict(sorted(models.items())),
        attempts=attempts,
        made=made,
        taken=tuple(_taken(rooms, attempts, made, datasets)),
        members=(),
    )
    return replace(bundle, members=tuple(_members(rooms.objects, bundle, with_outputs=with_outputs)))


def plan_export(
    rooms: Rooms, reference: str, target: Path, *, with_outputs: bool = False, force: bool = False
) -> Plan:
    """What exporting would write.

    Raises:
        NotFound, Invalid: as `bundle_of`.
        Conflict: the file is there, and `force` is not given.
    """
    _refuse_taken(target, force=force)
    return _plan(bundle_of(rooms, reference, with_outputs=with_outputs), target)


def export(
    rooms: Rooms,
    reference: str,
    target: Path,
    *,
    with_outputs: bool = False,
    force: bool = False,
    progress: Progress = SILENT,
) -> Plan:
    """Write a run into one file, from which it can be shown and made again in another workspace.

    Args:
        rooms: where it is recorded.
        reference: the run.
        target: the file.
        with_outputs: as `bundle_of`.
        force: write over what is there.
        progress: hears of every byte.

    Returns:
        What was written.

    Raises:
        NotFound, Invalid: as `bundle_of`.
        Conflict: the file is there, and `force` is not given.
        Corrupt: recorded bytes are damaged; nothing is written.
    """
    _refuse_taken(target, force=force)
    bundle = bundle_of(rooms, reference, with_outputs=with_outputs)
    head = bundle.encode()
    making = target.with_name(f".{target.name[:64]}-{new_id()}")
    progress.begin(f"exporting run {short(bundle.run.id)}", bundle.size_bytes)
    try:
        with making.open("xb") as tar:
            write_file(tar, MANIFEST, len(head), [head])
            for member in bundle.members:
                blocks = _verified(rooms.objects, member, progress)
                write_file(tar, member.name, member.size_bytes, blocks)
            write_end(tar)
            tar.flush()
            os.fsync(tar.fileno())
        making.replace(target)
    finally:
        progress.end()
        making.unlink(missing_ok=True)
    return _plan(bundle, target)


def _plan(bundle: Bundle, target: Path) -> Plan:
    outputs = {each.artifact.digest for each in bundle.made}
    here = outputs & {each.digest for each in bundle.members}
    size = f"{counted(len(bundle.members), 'object')}, {counted(bundle.size_bytes, 'byte')}"
    told = f"{len(here)} of {len(outputs)} with their bytes; of the others the digests"
    changes = [
        Change("write", str(target), size),
        Change("with", f"code b3:{bundle.snapshot.digest[:12]}", counted(bundle.snapshot.files, "file")),
        *(Change("with", lock.label, counted(lock.packages, "package")) for lock in bundle.locks.values()),
        *(Change("with", f"dataset {each.reference}", asked) for asked, each in bundle.datasets.items()),
        *(Change("with", f"model {each.version.reference}", asked) for asked, each in bundle.models.items()),
        Change("with", "outputs", told),
    ]
    return Plan(f"bundle of run {short(bundle.run.id)}", tuple(changes))


def _attempts(rooms: Rooms, run: Run) -> Iterator[Attempt]:
    """The attempts without their cache keys: elsewhere, nothing may be reused by what a file says."""
    reused = reused_in(rooms.database, run.id)
    for attempt in rooms.attempts.of_run(run.id):
        source = rooms.attempts.find(reused[attempt.id].source) if attempt.id in reused else None
        # Of a result that was reused, the threads count that it was made with.
        cpus = attempt.cpus if source is None else source.cpus
        yield replace(attempt, fingerprint=None, cpus=cpus)


def _taken(
    rooms: Rooms, attempts: Iterable[Attempt], made: Iterable[Made], datasets: dict[str, Version]
) -> Iterator[Taken]:
    """What attempts took, as far as the bundle has it."""
    artifacts = {each.artifact.id for each in made}
    asked: dict[str, str] = {version.id: name for name, version in sorted(datasets.items(), reverse=True)}
    for attempt in attempts:
        for edge in edges.made_from(rooms.database, attempt.end):
            if edge.earlier.kind == "artifact" and edge.earlier.id in artifacts:
                yield Taken(attempt.id, edge.role, "artifact", edge.earlier.id)
            elif edge.earlier.kind == "version" and edge.earlier.id in asked:
                yield Taken(attempt.id, edge.role, "dataset", asked[edge.earlier.id])


def _members(objects: InlineObjects, bundle: Bundle, *, with_outputs: bool) -> list[Member]:
    """All bytes that a bundle needs, each once, by digest."""
    found: dict[str, Member] = {}

    def add(digest: Digest, size_bytes: int | None = None) -> None:
        size = _size(objects, digest) if size_bytes is None else size_bytes
        found.setdefault(f"object {digest}", Member(digest, "object", size))

    def add_tree(digest: Digest) -> None:
        tree = load_tree(objects, digest)
        found[f"tree {digest}"] = Member(digest, "tree", len(objects.get(digest, kind=TREE_KIND)))
        for entry in tree.entries:
            add(entry.digest, entry.size_bytes)

    def add_artifact(each: Artifact) -> None:
        if each.codec == TREE:
            add_tree(each.digest)
        else:
            add(each.digest, each.size_bytes)

    add_tree(bundle.snapshot.tree)
    for lock in bundle.locks.values():
        add(lock.pylock)
        for wheel in kept_wheels(objects.get(lock.pylock)).values():  # no index has them
            add(wheel)
    for version in bundle.datasets.values():
        add_tree(version.digest)
    for model in bundle.models.values():
        add_artifact(model.artifact)
        if model.conversion is not None:
            add_artifact(model.conversion)
    for attempt in bundle.attempts:
        if attempt.log is not None:
            add(attempt.log)
    for made in bundle.made if with_outputs else ():
        add_artifact(made.artifact)
    return [found[key] for key in sorted(found)]


def _size(objects: InlineObjects, digest: Digest) -> int:
    inline = objects.inline(digest)
    if inline is not None:
        return len(inline)
    return sum(each.size_bytes for each in objects.packs.ranges(digest))


def _verified(objects: InlineObjects, member: Member, progress: Progress) -> Iterator[bytes]:
    """The bytes of a member, each of which was looked at when the last has come."""
    tree = member.kind == "tree"
    hasher = Hasher(TREE_KIND if tree else None)
    for block in _blocks(objects, member.digest, tree=tree):
        hasher.update(block)
        progress.advance(len(block))
        yield block
    if hasher.digest() != member.digest:
        raise Corrupt(f"object {member.digest[:12]} is damaged", hint="mlwright workspace verify")


def _blocks(objects: InlineObjects, digest: Digest, *, tree: bool) -> Iterator[bytes]:
    inline = None if tree else objects.inline(digest)
    if tree:
        yield objects.get(digest, kind=TREE_KIND)
    elif inline is not None:
        yield inline
    else:
        for each in objects.packs.ranges(digest):
            yield from each.blocks()


def _refuse_taken(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise Conflict(f"{target} is a folder", hint=f"name a file: {target / 'bundle.tar'}")
    if not target.parent.is_dir():
        raise NotFound(f"there is no folder {target.parent}", hint="make it first")
    if target.exists() and not force:
        raise Conflict(f"{target} is there already", hint="name another file, or write over it: --force")
