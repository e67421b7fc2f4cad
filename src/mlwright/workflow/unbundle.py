"""Taking a run out of a bundle: looked at first, then read to the last byte, and only then recorded.

A bundle may come from anybody. What it says is held against what it is: each file must be the next that the
manifest names, of that size, with the bytes of that digest. No name in it becomes a path. What it brings is
never trusted with pickle, and its results are never reused.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec.structs import replace

from mlwright.environments import Lock
from mlwright.environments.locks import check_lock
from mlwright.environments.pylocks import kept_wheels
from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import Digest, Hasher
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Invalid, NotFound
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import printable
from mlwright.sdk.codec_names import TREE
from mlwright.storage import Source, Tree, store_tree
from mlwright.storage.scan import state_of
from mlwright.storage.tars import blocks_of, next_file
from mlwright.storage.trees import KIND as TREE_KIND
from mlwright.storage.trees import tree_from
from mlwright.tracking import Run
from mlwright.versioning import Reference, Version, Versions, add_artifacts, new_artifact
from mlwright.versioning.conversions import adopt_conversion
from mlwright.versioning.snapshots import check_snapshot
from mlwright.workflow.bundle import FORMAT, MANIFEST, Bundle, Made, Member
from mlwright.workflow.bundle_rules import Absent, wrong_with
from mlwright.workflow.outputs import ABSENT
from mlwright.workflow.rooms import Rooms

_MANIFEST_BYTES = 256 << 20
_REPEATED_BYTES = 64 << 20
"""Files of code may be alike; so much more than the bundle holds is none."""


def plan_import(rooms: Rooms, source: Path) -> Plan:
    """What importing would do; of the bundle only its manifest is read.

    Raises:
        NotFound, Corrupt, Incompatible, Conflict: as `import_run`.
    """
    with _opened(source) as tar:
        bundle = _read_manifest(tar, source)
    known = _known(rooms, bundle)
    run = f"run {short(bundle.run.id)} of {bundle.run.pipeline}"
    if known is not None:
        return Plan(f"import of {run}", (Change("keep", run, "is here already"),))
    versions = [*bundle.datasets.values(), *(each.version for each in bundle.models.values())]
    changes = [Change("add", run, f"from workspace {short(bundle.workspace)}: its results are not reused")]
    for version in {each.id: each for each in versions}.values():
        there = _versions(rooms, version).find(Reference(version.name, number=version.number))
        what = f"{version.kind} {version.reference}"
        changes.append(Change("keep" if there else "add", what, f"b3:{version.digest[:12]}"))
    return Plan(f"import of {run}", tuple(changes))


def import_run(rooms: Rooms, source: Path, *, progress: Progress = SILENT) -> tuple[Run, bool]:
    """Take a run over from a bundle, with all that it is made again from; twice is once.

    Every byte is read and compared before anything is recorded. The run and all that it was made with are
    recorded together, or nothing is.

    Args:
        rooms: where to.
        source: the file.
        progress: hears of every byte.

    Returns:
        The run, and whether it is new here.

    Raises:
        NotFound: there is no such file.
        Corrupt: it is no bundle, is damaged, or holds what no bundle does.
        Incompatible: a newer mlwright wrote it.
        Conflict: a version of the same name and number has other bytes here, or an id of its own is taken.
        Unavailable: the disk is full; nothing is recorded.
    """
    with _opened(source) as tar:
        bundle = _read_manifest(tar, source)
        if (known := _known(rooms, bundle)) is not None:
            return known, False
        staged = Path(tempfile.mkdtemp(dir=rooms.objects.incoming, prefix="bundle-"))
        progress.begin(f"importing run {short(bundle.run.id)}", bundle.size_bytes)
        try:
            for member in bundle.members:
                _stage(tar, member, staged, str(source), progress)
            if next_file(tar, str(source)) is not None:
                raise Corrupt("it holds more than its manifest names", where=str(source))
            trees = _trees(bundle, staged)
            _store(rooms, bundle, trees, staged)
        finally:
            progress.end()
            shutil.rmtree(staged, ignore_errors=True)
    with rooms.database.transaction() as tx:
        _adopt(rooms, tx, bundle)
        return _record(rooms, tx, bundle)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    if not source.exists():
        raise NotFound(f"there is no file {source}", hint="make one: mlwright runs export RUN FILE")
    if not source.is_file():
        raise Invalid(f"{source} is not a file", hint="name the file that runs export wrote")
    with source.open("rb") as tar:
        yield tar


def _read_manifest(tar: BinaryIO, source: Path) -> Bundle:
    """What the bundle says it holds, as far as that can be so."""
    where, size = str(source), os.fstat(tar.fileno()).st_size
    first = next_file(tar, where)
    if first is None or first[0] != MANIFEST or first[1] > min(size, _MANIFEST_BYTES):
        raise Corrupt(f"this is no bundle: it does not begin with {MANIFEST}", where=where)
    text = b"".join(blocks_of(tar, first[1], where))
    try:
        told = json.loads(text)
        written = told.get("format") if isinstance(told, dict) else None
        if isinstance(written, int) and written > FORMAT:
            raise Incompatible("a newer mlwright wrote this bundle", where=where, hint="update mlwright")
        bundle = msgspec.convert(told, Bundle)
    except (ValueError, RecursionError) as error:  # msgspec's own are ValueErrors
        raise Corrupt(f"{MANIFEST} cannot be read: {error}", where=where) from error
    wrong = wrong_with(bundle, size)
    if wrong:
        raise Corrupt(f"{MANIFEST} cannot be: {wrong}", where=where)
    return bundle


def _stage(tar: BinaryIO, member: Member, staged: Path, where: str, progress: Progress) -> None:
    """Read the next file, which must be this one, into a file called by its digest."""
    found = next_file(tar, where)
    if found != (member.name, member.size_bytes):
        told = "nothing" if found is None else f"{found[0][:80]!r} of {found[1]} bytes"
        raise Corrupt(f"it holds {told}, where its manifest names {member.name}", where=where)
    hasher = Hasher(TREE_KIND if member.kind == "tree" else None)
    with (staged / f"{member.kind}-{member.digest}").open("xb") as file:
        for block in blocks_of(tar, member.size_bytes, where):
            hasher.update(block)
            file.write(block)
            progress.advance(len(block))
    if hasher.digest() != member.digest:
        raise Corrupt(f"{member.name} has other bytes than its name says", where=where)


def _trees(bundle: Bundle, staged: Path) -> dict[Digest, Tree]:
    """Its trees, each with all its files there."""
    sizes = {each.digest: each.size_bytes for each in bundle.members if each.kind == "object"}
    trees = {}
    for member in bundle.members:
        if member.kind == "tree":
            tree = tree_from((staged / f"tree-{member.digest}").read_bytes(), member.digest)
            if any(sizes.get(entry.digest) != entry.size_bytes for entry in tree.entries):
                raise Corrupt(f"tree {member.digest[:12]} names a file that is not in the bundle")
            trees[member.digest] = tree
    code = trees[bundle.snapshot.tree]
    check_snapshot(bundle.snapshot, code)
    if code.size_bytes > 4 * bundle.size_bytes + _REPEATED_BYTES:
        raise Corrupt("the code names the same bytes so often that it is far larger than the bundle")
    for lock in bundle.locks.values():
        check_lock(lock)
        if not _wheels(lock, staged) <= sizes.keys():
            raise Corrupt(f"the environment {lock.digest[:12]} needs a package that is not in the bundle")
    for version in bundle.datasets.values():
        if version.size_bytes != trees[version.digest].size_bytes:
            raise Corrupt(f"{version.reference} is not as large as it says")
    return trees


def _wheels(lock: Lock, staged: Path) -> set[Digest]:
    """The packages that come with a lock."""
    try:
        return set(kept_wheels((staged / f"object-{lock.pylock}").read_bytes()).values())
    except (ValueError, TypeError, AttributeError) as error:
        raise Corrupt(f"the environment {lock.digest[:12]} is no lock: {error}") from error


def _store(rooms: Rooms, bundle: Bundle, trees: dict[Digest, Tree], staged: Path) -> None:
    """Take the bytes in: what trees name as `datasets add` would, the rest as objects."""
    packs = rooms.objects.packs
    named: set[Digest] = set()
    for digest, tree in trees.items():
        sources = []
        for entry in tree.entries:
            file = staged / f"object-{entry.digest}"
            sources.append(Source(entry.path, str(file), state_of(file.stat()), entry.executable))
            named.add(entry.digest)
        stored, _ = store_tree(packs, sources)
        if stored != digest:
            # The same files, written in another way than ours: its name could not be found again.
            raise Corrupt(f"tree {digest[:12]} is not written as trees are")
    alone = {lock.pylock for lock in bundle.locks.values()} | {
        each.version.digest for each in bundle.models.values()
    }
    alone |= {each.conversion.digest for each in bundle.models.values() if each.conversion is not None}
    alone |= {each.log for each in bundle.attempts if each.log is not None}
    alone |= {each.artifact.digest for each in bundle.made if each.artifact.codec != TREE}
    for member in bundle.members:
        if member.kind == "object" and (member.digest in alone or member.digest not in named):
            rooms.objects.put(staged / f"object-{member.digest}")


def _adopt(rooms: Rooms, tx: Transaction, bundle: Bundle) -> None:
    """Record what the run was made with; its bytes are here."""
    rooms.snapshots.record(tx, bundle.snapshot)
    for lock in bundle.locks.values():
        rooms.environments.record(tx, lock)
    for version in bundle.datasets.values():
        rooms.datasets.record_adopted(tx, version)
    for model in bundle.models.values():
        version = rooms.models.record_adopted(tx, model.version, model.artifact)
        if model.conversion is not None:
            adopt_conversion(tx, version, model.conversion)


def _record(rooms: Rooms, tx: Transaction, bundle: Bundle) -> tuple[Run, bool]:
    """The run with all that is known of it."""
    imported = {"imported": {"workspace": bundle.workspace, "at_us": now_us()}}
    error = None if bundle.run.error is None else _shown(bundle.run.error)
    about = {**bundle.run.about, **imported}
    run = replace(bundle.run, about=about, error=error, experiment_id=None, name="", deleted_us=None)
    metrics = [(each.name, each.value, each.step, each.at_us) for each in bundle.metrics]
    if not rooms.runs.adopt(tx, run, bundle.parameters, bundle.logged, metrics):
        return rooms.runs.recorded(run.id), False
    here = {each.name for each in bundle.members}
    present = [each for each in bundle.made if _name(each) in here]
    absent: dict[str, dict[str, dict[str, Any]]] = {}
    for each in bundle.made:
        if _name(each) not in here:
            made = each.artifact
            told = Absent(made.digest, made.codec, made.type, made.size_bytes)
            absent.setdefault(each.attempt, {})[each.role] = msgspec.to_builtins(told)
    attempts = []
    for attempt in bundle.attempts:
        elsewhere = attempt.detail.get(ABSENT, {}) | absent.get(attempt.id, {})
        detail = {**attempt.detail, ABSENT: elsewhere} if elsewhere else attempt.detail
        if "error" in detail:
            detail = {**detail, "error": _shown(detail["error"])}
        attempts.append(replace(attempt, detail=detail))
    rooms.attempts.add(tx, attempts)
    # Ids of their own: what a run reused stands in the bundles of several runs.
    made_here = [
        (
            each,
            new_artifact(
                codec=each.artifact.codec,
                type_text=each.artifact.type,
                digest=each.artifact.digest,
                size_bytes=each.artifact.size_bytes,
                about=each.artifact.about,
                ours=False,
            ),
        )
        for each in present
    ]
    add_artifacts(tx, [artifact for _, artifact in made_here])
    ids: dict[str, End] = {each.artifact.id: artifact.end for each, artifact in made_here}
    outputs = [(each.role, artifact.end, End("attempt", each.attempt)) for each, artifact in made_here]
    edges.add(tx, [Edge(later, role, attempt) for role, later, attempt in outputs])
    edges.add(tx, _edges(rooms, tx, run, bundle, ids))
    return run, True


def _shown(error: dict[str, Any]) -> dict[str, Any]:
    """An error as a terminal may have it: what steps raise may have anything in it, colours too."""
    return {
        key: "\n".join(map(printable, told.split("\n"))) if isinstance(told, str) else told
        for key, told in error.items()
    }


def _edges(rooms: Rooms, tx: Transaction, run: Run, bundle: Bundle, ids: dict[str, End]) -> Iterator[Edge]:
    """What ties the run to what it was made with, and its attempts to what they took."""
    yield Edge(run.end, "code", bundle.snapshot.end)
    for name, lock in bundle.locks.items():
        if name:
            yield Edge(run.end, f"environment:{name}", lock.end)
        else:
            yield Edge(run.end, "environment", lock.end)
    datasets = {asked: _here(rooms, tx, version) for asked, version in bundle.datasets.items()}
    for asked, version in datasets.items():
        yield Edge(run.end, f"data:{asked}", version.end)
    for asked, model in bundle.models.items():
        version = _here(rooms, tx, model.version)
        yield Edge(run.end, f"reference:{asked}", version.end)
        if model.conversion is not None:
            yield Edge(run.end, f"conversion:{asked}", adopt_conversion(tx, version, model.conversion).end)
    for attempt in bundle.attempts:
        yield Edge(attempt.end, "of", run.end)
        if attempt.log is not None:
            yield Edge(attempt.end, "log", End("object", attempt.log))
    for taken in bundle.taken:
        earlier = ids.get(taken.id) if taken.kind == "artifact" else datasets[taken.id].end
        if earlier is not None:
            role = taken.role
            yield Edge(End("attempt", taken.attempt), role, earlier)


def _name(made: Made) -> str:
    """What the bytes of an artifact are called in the bundle, if they are in it."""
    return f"{'trees' if made.artifact.codec == TREE else 'objects'}/{made.artifact.digest}"


def _known(rooms: Rooms, bundle: Bundle) -> Run | None:
    """The run, if it is here already.

    Raises:
        Conflict: a version that it needs has other bytes here, or an attempt of it is another run's.
    """
    try:
        return rooms.runs.get(bundle.run.id)
    except NotFound:
        pass
    if any(rooms.attempts.find(attempt.id) is not None for attempt in bundle.attempts):
        raise Conflict(f"an attempt of run {short(bundle.run.id)} has an id that is taken here")
    for version in (*bundle.datasets.values(), *(each.version for each in bundle.models.values())):
        versions = _versions(rooms, version)
        there = versions.find(Reference(version.name, number=version.number))
        if there is not None and there.digest != version.digest:
            raise Conflict(
                f"the run needs {version.kind} {version.reference} as b3:{version.digest[:12]},"
                f" and here that is b3:{there.digest[:12]}",
                hint="import it into another project, whose workspace has no such version",
            )
    return None


def _here(rooms: Rooms, tx: Transaction, version: Version) -> Version:
    found = _versions(rooms, version).numbered(tx, version.name, version.number)
    if found is None or found.digest != version.digest:
        raise Conflict(f"{version.kind} {version.reference} was changed meanwhile")
    return found


def _versions(rooms: Rooms, version: Version) -> Versions:
    return rooms.datasets.versions if version.kind == "dataset" else rooms.models.versions
