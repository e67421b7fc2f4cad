"""Opening a workspace: its database at the newest schema, its store with the right owner."""

from __future__ import annotations

import contextlib
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, all_migrations
from mlwright.kernel.errors import Unavailable
from mlwright.kernel.ids import new_id
from mlwright.kernel.postgres_place import PostgresPlace
from mlwright.kernel.settings import ProjectFolder
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import InlineObjects, LocalObjects, Objects, PackedObjects
from mlwright.storage.metered import MeteredObjects
from mlwright.workspace.layout import (
    DATABASE,
    FOLDER,
    LOCAL,
    OBJECTS,
    STORE,
    claim,
    hide,
    owner_of,
    server_of,
)

_SQL = Queries.beside(__file__)


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


def _records(project: ProjectFolder) -> tuple[Database, PostgresPlace | None]:
    """Where the records are: in the folder, or in a server's database, and which."""
    folder = project.local
    if project.settings.database or server_of(folder) is not None:
        from mlwright.workspace import server

        if (place := server.wanted_place(project)) is not None:
            return server.open_server(place), place
    return SqliteDatabase(folder / DATABASE), None


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
