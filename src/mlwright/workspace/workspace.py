"""Opening a workspace: its database at the newest schema, its store with the right owner."""

from __future__ import annotations

import contextlib
from pathlib import Path

from msgspec import Struct

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, all_migrations
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Unavailable
from mlwright.kernel.files import write_whole
from mlwright.kernel.ids import new_id
from mlwright.kernel.postgres_place import PostgresPlace
from mlwright.kernel.settings import ProjectFolder
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import InlineObjects, LocalObjects, Objects, PackedObjects
from mlwright.storage.metered import MeteredObjects

_SQL = Queries.beside(__file__)

DATABASE, OBJECTS, LOCAL, MARK = "metadata.db", "objects", "local", "WORKSPACE"
"""What lies in a workspace's folder; and the file of a store that names the workspace it belongs to."""
STORE, RECORDS, FOLDER = "STORE", "RECORDS", "folder"
"""The files that say which bucket has the objects, and which server the records; or that the folder has them,
whatever the settings say."""


class Workspace(Struct, frozen=True):
    """Where a project's records and bytes live.

    Args:
        id: its own name, which its object store carries too.
        database: the records.
        objects: the bytes; small values included.
        local: this machine's side (environments, snapshots, scratch): disposable.
        bucket: what counts how often the bucket is asked; None without one.
    """

    id: str
    database: Database
    objects: InlineObjects
    local: Path
    bucket: MeteredObjects | None = None

    @property
    def root(self) -> Path:
        """The folder that all of it lies in."""
        return self.local.parent

    @property
    def records_at(self) -> str:
        """Where the records are: a file, or the address of a server's database."""
        address = server_of(self.root)
        return str(self.root / DATABASE) if address is None else address

    @property
    def objects_at(self) -> str:
        """Where the objects are: a folder, or the address of a bucket."""
        with contextlib.suppress(FileNotFoundError):
            if (place := (self.root / STORE).read_text().strip()) != FOLDER:
                return place
        return str(self.root / OBJECTS)

    @property
    def scratch(self) -> Path:
        """Where attempts work."""
        return self.local / "scratch"

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def open_workspace(project: ProjectFolder) -> Workspace:
    """Open the project's workspace, and make it at the first time.

    Raises:
        Incompatible: a newer mlwright wrote it.
        Conflict: the object store belongs to another workspace, or records or objects lie elsewhere.
        Invalid: `objects` names no bucket, or `database` no database.
        Unavailable: it cannot be written, or the bucket or the database cannot be reached.
    """
    folder = project.local
    try:
        folder.mkdir(exist_ok=True)
        hide(folder)
    except OSError as error:
        raise Unavailable(f"the workspace cannot be made: {error.strerror}", where=str(folder)) from error
    database, place = _records(project)
    try:
        database.migrate(all_migrations())
        waiting = owner_of(folder / OBJECTS) if place and (folder / DATABASE).exists() else None
        identity = _identity(database, project.name, waiting)
        if place is not None:
            from mlwright.workspace import server

            server.settle(project, database, place, identity)
        store, bucket = _store(folder, project.settings.objects, identity)
    except BaseException:
        database.close()
        raise
    local = folder / LOCAL
    return Workspace(identity, database, layered(store, database, local), local, bucket)


def layered(store: Objects, database: Database, local: Path) -> InlineObjects:
    """The whole of a workspace's store over the one that holds its objects."""
    made = LocalObjects(local / "made", local / "verified-made")
    return InlineObjects(PackedObjects(store, database, made), database)


def keep_in_folder(folder: Path, *, objects: bool = True, records: bool = True) -> None:
    """Let a workspace that is made soon keep its objects and records itself, whatever the settings say."""
    for wanted, name in ((objects, STORE), (records, RECORDS)):
        if wanted:
            write_whole(folder / name, f"{FOLDER}\n".encode())


def kept_in_folder(folder: Path) -> bool:
    """Whether a workspace keeps its records itself, whatever the settings say."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / RECORDS).read_text().strip() == FOLDER
    return False


def server_of(folder: Path) -> str | None:
    """The address of the database that has a workspace's records; None when a file of its folder has."""
    with contextlib.suppress(FileNotFoundError):
        if (told := (folder / RECORDS).read_text().splitlines()) and told[0] != FOLDER:
            return told[0]
    return None


def _records(project: ProjectFolder) -> tuple[Database, PostgresPlace | None]:
    """Where the records are: in the folder, or in a server's database, and which."""
    folder = project.local
    if project.settings.database or server_of(folder) is not None:
        from mlwright.workspace import server

        if (place := server.wanted_place(project)) is not None:
            return server.open_server(place), place
    return SqliteDatabase(folder / DATABASE), None


def blank(database: Path) -> bool:
    """Whether nothing was ever recorded: any command makes an empty workspace where there is none."""
    try:
        with contextlib.closing(SqliteDatabase(database)) as records:
            return not records.schema() or events.nothing_yet(records)
    except (Corrupt, Incompatible):
        return False


def _store(folder: Path, setting: str, identity: str) -> tuple[Objects, MeteredObjects | None]:
    """Where the objects are: in the folder, or in a bucket; and what counts requests to this."""
    if setting or (folder / STORE).exists():
        from mlwright.workspace import store  # 10 ms, for those who have a bucket

        if (address := store.in_bucket(folder, setting)) is not None:
            return store.open_bucket(address, folder, folder / LOCAL, identity)
    claim(folder / OBJECTS, identity)
    return LocalObjects(folder / OBJECTS, folder / LOCAL / "verified"), None


def _identity(database: Database, project: str, adopted: str | None) -> str:
    """The id of the workspace; a new one has that of a store that waits for it, where there is one."""
    rows = database.read(_SQL["workspace_id"])
    known = database.read(_SQL["project_known"], name=project)
    if rows and known:
        return str(rows[0]["id"])
    with database.transaction() as tx:
        rows = tx.read(_SQL["workspace_id"])
        identity = str(rows[0]["id"]) if rows else adopted or new_id()
        if not rows:
            tx.execute(_SQL["add_workspace"], id=identity, created_us=now_us())
        tx.execute(_SQL["add_project"], name=project, created_us=now_us())
    return identity


def hide(folder: Path) -> None:
    """Let Git see nothing of a folder, whatever the project says."""
    if not (ignore := folder / ".gitignore").exists():
        ignore.write_text("*\n")


def claim(store: Path, identity: str) -> None:
    """A store carries its workspace's id: collecting in a foreign one would delete what others name.

    Raises:
        Conflict: it carries another's.
        Unavailable: it cannot be used.
    """
    try:
        owner = _mark(store, identity)
    except OSError as error:
        raise Unavailable(f"the object store cannot be used: {error.strerror}", where=str(store)) from error
    if owner != identity:
        raise Conflict(
            "the object store belongs to another workspace",
            where=str(store),
            hint=f"this workspace is {identity}, the store's is {owner}: bring the two back together",
        )


def owner_of(store: Path) -> str | None:
    """The id of the workspace that a store belongs to; None when it carries none."""
    try:
        return (store / MARK).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def identity_of(database: Path) -> str | None:
    """The id of the workspace that records are of; None where they cannot be read."""
    with contextlib.suppress(Corrupt, Incompatible), contextlib.closing(SqliteDatabase(database)) as records:
        return next((str(row["id"]) for row in records.read(_SQL["workspace_id"])), None)
    return None


def _mark(store: Path, identity: str) -> str:
    """The id that a store carries; ours, when it carries none yet."""
    mark = store / MARK
    if not mark.exists():
        store.mkdir(parents=True, exist_ok=True)
        temporary = store / f"{MARK}.{new_id()}"
        temporary.write_text(identity + "\n")
        temporary.replace(mark)
    return mark.read_text().strip()
