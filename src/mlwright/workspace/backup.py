"""A backup: the records of one moment, and after them every object that they name, in a folder elsewhere.

backup.json          written last: without it a backup is not complete
metadata-DIGEST.db   the records; the one that backup.json names
objects/             the bytes, which carry the id of their workspace
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from mlwright.kernel import chain, events, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.digest import Digest, digest_of_file
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Corrupt, Invalid, MlwrightError, NotFound
from mlwright.kernel.files import flush
from mlwright.kernel.ids import new_id
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.kernel.version import VERSION
from mlwright.kernel.words import counted
from mlwright.storage import InlineObjects, LocalObjects
from mlwright.storage.named import COLLECT, beneath, compact
from mlwright.workspace.disk import said
from mlwright.workspace.layout import (
    DATABASE,
    MARK,
    OBJECTS,
    RECORDS,
    claim,
    owner_of,
    server_of,
)
from mlwright.workspace.workspace import Workspace

MANIFEST = "backup.json"


class Manifest(Struct, frozen=True):
    """What a complete backup says of itself.

    Args:
        workspace: the id of the workspace, which the object store beside it carries too.
        project: whose backup it is.
        mlwright: the version that made it.
        schema: how many migrations the records have seen.
        made_us: the moment of the records.
        database: the name of their file; its bytes and digest follow.
        objects: how many objects the records name that are here, and their bytes.
        code: the tree of the project's files at that moment.
        lacking: what the records name and was missing or damaged already when the backup was made.
        head: the digest of the newest event in the records, for all of them.
    """

    workspace: str
    project: str
    mlwright: str
    schema: int
    made_us: int
    database: str
    database_bytes: int
    database_digest: Digest
    objects: int
    object_bytes: int
    code: Digest
    lacking: tuple[Digest, ...] = ()
    format: int = 1
    head: Digest | None = None


class _Wanted(Struct):
    """What the records name that is no row: all of it, and by kind what the backup has not yet; its head."""

    all: set[bytes]
    new: dict[bytes, str | None]
    lacking: list[Digest]
    head: Digest | None = None


def read_manifest(folder: Path) -> Manifest:
    """What a backup says of itself.

    Raises:
        NotFound: there is no backup.
        Corrupt: it was never finished, or its manifest cannot be read.
        Incompatible: a newer mlwright wrote it.
    """
    try:
        data = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if owner_of(folder / OBJECTS) is not None:
            raise Corrupt(
                f"the backup is not complete: {MANIFEST}, which is written last, is not there",
                where=str(folder),
                hint="make it again, what is there is kept: mlwright workspace backup DIR",
            ) from error
        raise NotFound(
            "there is no backup",
            where=str(folder),
            hint="name the folder that `mlwright workspace backup` made",
        ) from error
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise Corrupt(f"{MANIFEST} is damaged: {error}", where=str(folder)) from error
    if Path(manifest.database).name != manifest.database:
        raise Corrupt(f"{MANIFEST} is damaged: it names the file {manifest.database!r}", where=str(folder))
    return manifest


def plan_backup(workspace: Workspace, project: Path, target: Path) -> Plan:
    """What a backup would copy; nothing is written.

    Raises:
        Invalid: the target lies inside the project.
        Conflict: it holds something else, or another workspace's backup.
    """
    check_target(workspace, project, target)
    store = LocalObjects(target / OBJECTS, workspace.local / "backup" / "verified")
    wanted = _wanted(workspace.database, workspace.objects, store)
    new_bytes = _size_of(workspace.objects, wanted.new)
    kept = len(wanted.all) - len(wanted.new)
    size = workspace.database.size_bytes()
    changes = [
        Change("write", "records", counted(size, "byte")),
        Change("write", counted(len(wanted.new), "object"), counted(new_bytes, "byte")),
    ]
    if kept:
        changes.append(Change("keep", counted(kept, "object"), "there already"))
    return Plan(f"backup into {target}", tuple(changes))


def back_up(
    workspace: Workspace,
    project: str,
    folder: Path,
    target: Path,
    code: Digest,
    progress: Progress = SILENT,
) -> Manifest:
    """Copy the records of this moment, then every object that they name; what is there already stays.

    Runs may go on meanwhile: bytes are durable before a record names them, and what records name is not
    collected while the backup holds the lease. An earlier backup in the same folder is valid until this one
    takes its place, with one rename.

    Args:
        workspace: what is backed up.
        project: its name.
        folder: the project's.
        target: a new or empty folder outside of the project, or one with an earlier backup.
        code: the tree of the project's files, which the records name.
        progress: hears of the bytes that are copied.

    Returns:
        What the backup says of itself; `lacking` tells what could not be read.

    Raises:
        Invalid: the target lies inside the project.
        Conflict: it holds something else, or another workspace's backup; another backup, or a collection, is
            going on.
        Unavailable: the disk is full or cannot be written.
    """
    check_target(workspace, folder, target)
    with said(target), leases.held(workspace.database, COLLECT, "objects are being collected or backed up"):
        _prepare(workspace, target)
        place = _place(workspace)
        try:
            made_us = now_us()
            workspace.database.copy(place / DATABASE)
            store = LocalObjects(target / OBJECTS, place / "verified")
            wanted = _copy_objects(workspace, place / DATABASE, store, progress)
            present = wanted.all - {compact(digest) for digest in wanted.lacking}
            held = [each.size_bytes for each in store if compact(each.digest) in present]
            if len(held) != len(present):
                raise Corrupt(
                    f"{counted(len(present) - len(held), 'object')} vanished while it was made",
                    where=str(target),
                    hint="make it again when nothing else writes there",
                )
            manifest = _finish(workspace, target, place / DATABASE, project, made_us, held, code, wanted)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    with workspace.database.transaction() as tx:
        it = End("workspace", workspace.id)
        events.record(tx, "workspace.backed-up", it, folder=str(target.resolve()))
    return manifest


def check_target(workspace: Workspace, project: Path, target: Path) -> None:
    """Refuse a folder that a backup cannot lie in."""
    resolved = target.resolve()
    for inside, what in ((workspace.root, "workspace"), (project, "project")):
        if resolved.is_relative_to(inside.resolve()):
            raise Invalid(
                f"the backup would lie inside the {what} that it is to outlive",
                where=str(target),
                hint="name a folder elsewhere, best on another disk",
            )
    with said(target):
        if not target.exists() and not target.is_symlink():
            return
        if not target.is_dir():
            raise Conflict(f"{target} is no folder", hint="name a new or an empty folder")
        owner = owner_of(target / OBJECTS)
        if owner is not None and owner != workspace.id:
            raise Conflict(
                f"{target} holds the backup of another workspace",
                where=f"workspace {owner}, this one is {workspace.id}",
                hint="name a new folder",
            )
        if owner is None and not _only_begun(target):
            raise Conflict(f"{target} holds something else", hint="name a new or an empty folder")


def _only_begun(target: Path) -> bool:
    """Whether a folder is empty, or has nothing but the first traces of a backup that was killed."""
    names = {path.name for path in target.iterdir()}
    if names != {OBJECTS}:
        return not names
    return all(path.name.startswith(MARK) for path in (target / OBJECTS).iterdir())


def _prepare(workspace: Workspace, target: Path) -> None:
    """Make the folder with its mark, as closed to others as the workspace is; clear what died there."""
    if not target.exists():
        target.mkdir(parents=True)
        shutil.copymode(workspace.root, target)
    objects = target / OBJECTS
    if not objects.exists():
        objects.mkdir()
        if (own := workspace.root / OBJECTS).exists():  # they may be in a bucket
            shutil.copymode(own, objects)
    claim(objects, workspace.id)
    # Nobody else writes here: this is the workspace's own backup, and we hold its lease.
    for left in [*(objects / "incoming").glob("*"), *target.glob("*.part")]:
        left.unlink(missing_ok=True)


def _place(workspace: Workspace) -> Path:
    """A folder of this machine for the copy of the records: where the backup lies may be a network's."""
    place = workspace.local / "backup"
    shutil.rmtree(place, ignore_errors=True)  # of one that was killed
    place.mkdir(parents=True)
    return place


def _copy_objects(workspace: Workspace, database: Path, store: LocalObjects, progress: Progress) -> _Wanted:
    """Copy what the records of the copy name and the backup has not yet; every byte is compared."""
    records = SqliteDatabase(database)
    try:
        if told := records.check():
            raise Corrupt(
                f"the records are damaged: {told[0]}",
                where=workspace.records_at,
                hint="no backup was made of them, an earlier one is kept: bring it back",
            )
        source = workspace.objects.seen_in(records)
        wanted = _wanted(records, source, store)
        wanted.head = chain.head(records)
    finally:
        records.close()
    with progress.work("backing up", _size_of(workspace.objects, wanted.new)):
        for key, kind in wanted.new.items():
            digest = Digest(key.hex())
            try:
                path = workspace.objects.path(digest, kind=kind)
            except (NotFound, Corrupt):
                wanted.lacking.append(digest)
                continue
            stored = store.put(path, kind=kind)
            if stored.digest != digest:
                wanted.lacking.append(digest)
            progress.advance(stored.size_bytes)
    return wanted


def _wanted(records: Database, source: InlineObjects, store: LocalObjects) -> _Wanted:
    wanted = _Wanted(set(), {}, [])

    def unreadable(digest: Digest, error: MlwrightError) -> None:
        """A tree that cannot be read is found lacking when it is copied."""

    for name in beneath(records, source, unreadable):
        key = compact(name.digest)
        wanted.all.add(key)
        if name.digest not in store:
            wanted.new[key] = name.kind
    return wanted


def _size_of(objects: InlineObjects, some: dict[bytes, str | None]) -> int:
    store = objects.packs.store
    return sum(held.size_bytes for held in store if compact(held.digest) in some) if some else 0


def _finish(
    workspace: Workspace,
    target: Path,
    database: Path,
    project: str,
    made_us: int,
    held: list[int],
    code: Digest,
    wanted: _Wanted,
) -> Manifest:
    """Put the records beside the objects, and with one rename make this the backup that counts."""
    digest = digest_of_file(database)
    name = f"metadata-{digest[:16]}.db"
    manifest = Manifest(
        workspace=workspace.id,
        project=project,
        mlwright=VERSION,
        schema=all_migrations()[-1].number,
        made_us=made_us,
        database=name,
        database_bytes=database.stat().st_size,
        database_digest=digest,
        objects=len(held),
        object_bytes=sum(held),
        code=code,
        lacking=tuple(sorted(wanted.lacking)),
        head=wanted.head,
    )
    own = workspace.root / (DATABASE if server_of(workspace.root) is None else RECORDS)
    with _appearing(target / name, own) as making:
        shutil.copyfile(database, making)
    with _appearing(target / MANIFEST, own) as making:
        making.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    for old in target.glob("metadata-*.db"):
        if old.name != name:
            old.unlink(missing_ok=True)
    return manifest


@contextmanager
def _appearing(path: Path, model: Path) -> Iterator[Path]:
    """A file to write that takes its place whole and durable, as closed to others as `model` is."""
    making = path.with_name(f"{path.name}.{new_id()}.part")
    try:
        making.touch(0o600)
        shutil.copymode(model, making)
        yield making
        flush(making)
        making.replace(path)
        flush(path.parent)
    finally:
        making.unlink(missing_ok=True)
