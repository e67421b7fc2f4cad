"""Restoring a backup: into a project without records, or into a new folder, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from mlwright.kernel import events, leases
from mlwright.kernel.clock import iso, show
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest, digest_of_file
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, MlwrightError, NotFound
from mlwright.kernel.ids import new_id, short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.postgres_place import PostgresPlace, parse_place
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.settings import LOCAL_FOLDER, Settings, find_project
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.kernel.words import counted
from mlwright.storage import LocalObjects, check_out, load_tree
from mlwright.storage.named import beneath
from mlwright.workspace.backup import Manifest, read_manifest
from mlwright.workspace.disk import said
from mlwright.workspace.layout import (
    DATABASE,
    LOCAL,
    OBJECTS,
    RECORDS,
    blank,
    claim,
    hide,
    identity_of,
    keep_in_folder,
    kept_in_folder,
    owner_of,
    server_of,
)
from mlwright.workspace.refill import fill, server_for
from mlwright.workspace.workspace import layered

_MAKING = f"{LOCAL_FOLDER}.restoring"


class Restored(Struct, frozen=True):
    """What a restore has done.

    Args:
        folder: the project that has the workspace now.
        manifest: of the backup.
        files: how many files of the project were written; none into a project that is there.
        aside: where the workspace that was there lies now.
        lacking: objects that the records name and the backup could not give.
        bucket: what the project's setting `objects` names, and what was restored does not use: its objects
            are in the folder; empty without a bucket.
        server: the database that has the records now, or that `database` names and what was restored does not
            use; empty without one.
        filled: whether the records are in it.
    """

    folder: Path
    manifest: Manifest
    files: int
    aside: Path | None
    lacking: tuple[Digest, ...]
    bucket: str = ""
    server: str = ""
    filled: bool = False


class _Target(Struct, frozen=True):
    """Where a backup is restored to.

    Args:
        folder: the project's.
        fresh: there is no project yet: its files come from the backup.
        occupied: a workspace, or what is left of one, lies there and is moved aside.
        server: the database that the records come into; None for the folder's own.
        filled: a restore of the same backup was killed when that had them already.
    """

    folder: Path
    fresh: bool
    occupied: bool
    server: PostgresPlace | None = None
    filled: bool = False

    @property
    def workspace(self) -> Path:
        """Where the workspace is to lie."""
        return self.folder / LOCAL_FOLDER


def plan_restore(source: Path, folder: Path, *, here: bool = True, force: bool = False) -> Plan:
    """What restoring would do; nothing is written, and no object is read.

    Raises:
        NotFound, Corrupt: there is no backup, or no complete one.
        Incompatible: a newer mlwright made it.
        Conflict: the target has records, or other files.
    """
    manifest = usable_manifest(source)
    target = _target(manifest, folder, here=here, force=force)
    size = counted(manifest.object_bytes, "byte")
    if bucket := "" if target.fresh else _settings(target.folder).objects:
        size = f"{size}, into the folder and not into {bucket}"
    records = f"of {show(manifest.made_us)}, {counted(manifest.database_bytes, 'byte')}"
    if target.server is not None:
        records = f"{records}, {'in' if target.filled else 'into'} {target.server.url}"
    changes = [
        Change("keep" if target.filled else "write", "records", records),
        Change("write", counted(manifest.objects, "object"), size),
    ]
    if target.occupied:
        changes.insert(0, Change("move", str(target.workspace), "aside; nothing of it is deleted"))
    if target.fresh:
        changes.append(Change("write", "the project's files", f"code b3:{manifest.code[:12]}"))
    return Plan(f"restore of workspace {short(manifest.workspace)} into {target.folder}", tuple(changes))


def restore(
    source: Path,
    folder: Path,
    *,
    here: bool = True,
    force: bool = False,
    partial: bool = False,
    progress: Progress = SILENT,
) -> Restored:
    """Bring a backup back; every byte is compared on its way, and nothing shows before all of it is there.

    Local state (environments, caches) is in no backup: it is made again when it is needed. What was running
    when the backup was made has no owner any more, and is lost. Objects come into the folder, also where the
    project names a bucket: another workspace of the same id may use that.

    Args:
        source: the backup's folder.
        folder: a project, or a folder that is to become one: missing or empty.
        here: take the project that the folder lies in, if it is none itself.
        force: replace the records of the same workspace; the old ones are moved aside.
        partial: bring back what is whole of a backup that is damaged.
        progress: hears of the bytes that are copied.

    Raises:
        NotFound: there is no backup.
        Corrupt: it is not complete, or damaged.
        Incompatible: a newer mlwright made it.
        Conflict: the target has records already, or other files; or something goes on there.
        Unavailable: the disk is full or cannot be written.
    """
    manifest = usable_manifest(source)
    target = _target(manifest, folder, here=here, force=force)
    making = target.folder / _MAKING
    with said(target.folder), _only_one(target, making, source, manifest):
        try:
            if not target.filled:
                (making / RECORDS).unlink(missing_ok=True)
            _copy_database(source, manifest, making)
            lacking = _copy_objects(source, manifest, making, progress, partial=partial)
            project = making / "project"
            files = _check_out_code(manifest, making, project) if target.fresh else 0
            settings = _settings(project if target.fresh else target.folder)
            pinned = bool(settings.database) and target.server is None
            keep_in_folder(making, objects=bool(settings.objects), records=pinned)
            if target.server is not None:
                if not target.filled:
                    fill(target.server, making, manifest)
                for left in making.glob(f"{DATABASE}*"):
                    left.unlink()
            aside = _put_in_place(target, making, project)
        except (MlwrightError, OSError):
            if server_of(making) is None:  # else the server may have the records that name these bytes
                shutil.rmtree(making, ignore_errors=True)
            if target.fresh:
                with suppress(OSError):
                    target.folder.rmdir()  # only if it is empty
            raise
    place = parse_place(settings.database).url if settings.database else ""
    filled = target.server is not None
    return Restored(target.folder, manifest, files, aside, lacking, settings.objects, place, filled)


def usable_manifest(source: Path) -> Manifest:
    """What a complete backup says of itself, if this mlwright can read it.

    Raises:
        NotFound: there is no backup.
        Corrupt: it is not complete, or its parts belong to two workspaces.
        Incompatible: a newer mlwright made it.
    """
    manifest = read_manifest(source)
    latest = all_migrations()[-1].number
    if manifest.format != 1 or manifest.schema > latest:
        raise Incompatible(
            f"the backup was made by a newer mlwright ({manifest.mlwright}, schema {manifest.schema};"
            f" this one knows {latest})",
            where=str(source),
            hint="update mlwright",
        )
    if (owner := owner_of(source / OBJECTS)) != manifest.workspace:
        raise Corrupt(
            "the objects of the backup belong to another workspace than its records",
            where=str(source),
            hint=f"the records are of {manifest.workspace}, the objects of {owner}",
        )
    return manifest


def _target(manifest: Manifest, folder: Path, *, here: bool, force: bool) -> _Target:
    """Where to restore; refused where anything could be lost."""
    project = _project(folder, here=here)
    if project is None:
        if folder.exists() and (
            not folder.is_dir() or any(each.name != _MAKING for each in folder.iterdir())
        ):
            raise Conflict(
                f"{folder.resolve()} is no project and not empty",
                hint="name a new folder: mlwright workspace restore BACKUP DIR",
            )
        return _Target(folder, fresh=True, occupied=False)
    workspace = project / LOCAL_FOLDER
    if workspace.is_symlink():
        raise Conflict(f"{workspace} is a link: it cannot be moved aside", hint="remove the link first")
    if (workspace / DATABASE).exists() and not blank(workspace / DATABASE):
        owner = owner_of(workspace / OBJECTS) or identity_of(workspace / DATABASE)
        if owner != manifest.workspace:
            raise Conflict(
                "the project has records of another workspace",
                where=str(workspace),
                hint="restore into a new folder: mlwright workspace restore BACKUP DIR",
            )
        if not force:
            raise Conflict(
                "the project has records already, of the same workspace",
                where=str(workspace),
                hint="with --force they are moved aside; or name a new folder",
            )
        _refuse_the_living(workspace / DATABASE)
    setting = "" if kept_in_folder(workspace) else _settings(project).database
    place, filled = server_for(project, setting, manifest, project / _MAKING)
    return _Target(project, fresh=False, occupied=workspace.exists(), server=place, filled=filled)


def _project(folder: Path, *, here: bool) -> Path | None:
    """The project that a folder is or, `here`, lies in."""
    try:
        root = find_project(folder).root
    except NotFound:
        return None
    return root if here or root == folder.resolve() else None


def _settings(project: Path) -> Settings:
    """What a project says of itself."""
    with suppress(NotFound):
        found = find_project(project)
        return found.settings if found.root == project.resolve() else Settings()
    return Settings()


def _refuse_the_living(database: Path) -> None:
    with suppress(Corrupt):
        records = SqliteDatabase(database)
        try:
            busy = leases.living(records)
        finally:
            records.close()
        if busy:
            raise Conflict(
                f"{busy[0].subject} goes on in the workspace, in process {busy[0].pid} on {busy[0].host}",
                where=str(database.parent),
                hint="wait until it has ended, or end it",
            )


@contextmanager
def _only_one(target: _Target, making: Path, source: Path, manifest: Manifest) -> Iterator[None]:
    """Hold the folder in which the workspace is put together; one that was killed is gone on with."""
    target.folder.mkdir(parents=True, exist_ok=True)
    making.mkdir(exist_ok=True)
    descriptor = os.open(making, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Conflict(
            f"another restore goes on in {target.folder}", hint="wait until it has ended"
        ) from error
    try:
        if owner_of(making / OBJECTS) not in {None, manifest.workspace}:
            shutil.rmtree(making / OBJECTS)  # of a restore of another backup
        shutil.copymode(source, making)  # as closed to others as the workspace was
        hide(making)
        claim(making / OBJECTS, manifest.workspace)
        yield
    finally:
        os.close(descriptor)


def copy_records(source: Path, manifest: Manifest, database: Path) -> None:
    """Copy the records of a backup, and compare them with what its manifest says.

    Raises:
        Corrupt: they are not there, or not those that were written.
    """
    try:
        shutil.copy(source / manifest.database, database)
    except FileNotFoundError as error:
        raise Corrupt(
            "the records of the backup are not there", where=str(source / manifest.database)
        ) from error
    if digest_of_file(database) != manifest.database_digest:
        raise Corrupt(
            "the records of the backup are damaged: they are not those that were written",
            where=str(source / manifest.database),
            hint="take another backup",
        )


def _copy_database(source: Path, manifest: Manifest, making: Path) -> None:
    """Copy the records, and let them belong to nobody."""
    database = making / DATABASE
    for left in making.glob(f"{DATABASE}*"):
        left.unlink()
    copy_records(source, manifest, database)
    records = SqliteDatabase(database)
    try:
        if told := records.check():
            raise Corrupt(f"the records of the backup are damaged: {told[0]}", where=str(source))
        records.migrate(all_migrations())  # what is recorded now, an older schema has no room for
        with records.transaction() as tx:
            # No process works on this copy: what has no owner is found lost, and nobody is ended for it.
            leases.forget_all(tx)
            it, of = End("workspace", manifest.workspace), iso(manifest.made_us)
            events.record(tx, "workspace.restored", it, backup=str(source), of=of)
    finally:
        records.close()


def _copy_objects(
    source: Path, manifest: Manifest, making: Path, progress: Progress, *, partial: bool
) -> tuple[Digest, ...]:
    """Copy every object that the records name; returns those that the backup has not, or not whole."""
    records = SqliteDatabase(making / DATABASE)
    try:
        held = LocalObjects(source / OBJECTS, making / LOCAL / "backup-verified")
        backup = layered(held, records, making / LOCAL)
        store = LocalObjects(making / OBJECTS, making / LOCAL / "verified")
        lost: list[Digest] = []
        progress.begin("restoring", manifest.object_bytes)
        for name in beneath(records, backup, lambda digest, error: None):
            try:
                stored = store.put(backup.path(name.digest, kind=name.kind), kind=name.kind)
            except (NotFound, Corrupt):
                lost.append(name.digest)
                continue
            if stored.digest != name.digest:  # it changed between the look and the copy
                lost.append(name.digest)
            progress.advance(stored.size_bytes)
    finally:
        progress.end()
        records.close()
    (making / LOCAL / "backup-verified").unlink(missing_ok=True)
    fresh = [digest for digest in lost if digest not in manifest.lacking]
    if fresh and not partial:
        raise Corrupt(
            f"the backup is damaged: {counted(len(fresh), 'object')} of it"
            f" {'is' if len(fresh) == 1 else 'are'} missing or not whole, as b3:{fresh[0][:12]}",
            where=str(source),
            hint="take another backup, or bring back what is whole: --partial",
        )
    return tuple(lost)


def _check_out_code(manifest: Manifest, making: Path, project: Path) -> int:
    """Write the project's files; how many."""
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    store = LocalObjects(making / OBJECTS, making / LOCAL / "verified")
    records = SqliteDatabase(making / DATABASE)
    try:
        objects = layered(store, records, making / LOCAL)
        tree = load_tree(objects, manifest.code)
        check_out(objects, tree, project)
    except (NotFound, Corrupt) as error:
        raise Corrupt(
            f"the project's files are not whole in the backup: {error.message}",
            hint="get them from elsewhere (Git), and restore into their folder",
        ) from error
    finally:
        records.close()
    return len(tree.entries)


def _put_in_place(target: _Target, making: Path, project: Path) -> Path | None:
    """Let the workspace appear with one rename; what was there goes into it, with its local state."""
    if target.fresh:
        for each in project.iterdir():
            each.rename(target.folder / each.name)
        project.rmdir()
    os.sync()  # what is renamed now is on the disk with all below it
    old = target.folder / f"{LOCAL_FOLDER}.{new_id()}"
    if target.occupied:
        target.workspace.rename(old)
    try:
        making.rename(target.workspace)
    except OSError:  # another command was faster, and has made an empty one
        if target.occupied and not target.workspace.exists():
            old.rename(target.workspace)
        raise
    if not target.occupied:
        return None
    if (old / LOCAL).exists():
        remembered = target.workspace / LOCAL
        shutil.rmtree(remembered)
        (old / LOCAL).rename(remembered)
    aside = target.workspace / f"before-restore-{short(old.name.rpartition('.')[2])}"
    old.rename(aside)
    return aside
