"""Which server's database has a workspace's records: the one that `database` names, and always the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlwright.kernel import events
from mlwright.kernel.database import Database
from mlwright.kernel.errors import Conflict, Unavailable
from mlwright.kernel.files import write_whole
from mlwright.kernel.postgres_place import PostgresPlace, parse_place
from mlwright.kernel.settings import ProjectFolder
from mlwright.workspace.layout import (
    DATABASE,
    OBJECTS,
    RECORDS,
    blank,
    kept_in_folder,
    owner_of,
)

if TYPE_CHECKING:
    from mlwright.kernel.postgres import PostgresDatabase

_MOVING = "set `database` back, or bring the records there: see Records in PostgreSQL in docs/architecture.md"


def wanted_place(project: ProjectFolder) -> PostgresPlace | None:
    """The database that has a workspace's records; None for the file of its own folder.

    Raises:
        Invalid: `database` is no address, or a password stands in it.
        Conflict: the records lie elsewhere.
    """
    folder = project.local
    if kept_in_folder(folder):
        return None
    settled = _settled(folder)
    place = parse_place(project.settings.database, project.root) if project.settings.database else None
    here = str(folder / DATABASE)
    if place is None:
        raise Conflict(
            f"the records of this workspace lie in {settled[0]}, and `database` names no database",
            where=str(folder),
            hint=_MOVING,
        )
    if not settled and (folder / DATABASE).exists() and not blank(folder / DATABASE):
        raise Conflict(
            f"the records of this workspace lie in {here}, and `database` names {place.url}",
            where=str(folder),
            hint=_MOVING,
        )
    return place


def open_server(place: PostgresPlace) -> PostgresDatabase:
    """The database of a server; nothing is asked of it yet.

    Raises:
        Unavailable: psycopg is not installed.
    """
    try:
        from mlwright.kernel.postgres import PostgresDatabase
    except ImportError as error:
        raise Unavailable(
            f"`database` names PostgreSQL, and psycopg cannot be used: {error}",
            hint="uv pip install 'mlwright[postgres]'",
        ) from error
    return PostgresDatabase(place)


def settle(project: ProjectFolder, database: Database, place: PostgresPlace, identity: str) -> None:
    """Remember where the records are, and whose; refuse others.

    Raises:
        Conflict: the database has the records of another workspace; or these name bytes that are elsewhere.
    """
    folder = project.local
    settled = _settled(folder)
    if settled == [place.url, identity]:
        return
    if settled and settled[1] != identity:
        raise Conflict(
            f"{place.url} has the records of another workspace",
            where=str(folder),
            hint=f"this workspace is {settled[1]}, the database's is {identity}",
        )
    own_bytes = not project.settings.objects and owner_of(folder / OBJECTS) is None
    if not settled and own_bytes and not events.nothing_yet(database):
        raise Conflict(
            f"the records in {place.url} name bytes that lie in a folder elsewhere",
            where=str(folder),
            hint="let all who share records share the bytes: set `objects` to a bucket",
        )
    remember(folder, place, identity)


def remember(folder: Path, place: PostgresPlace, identity: str) -> None:
    """Write down in a workspace's folder where its records are, and its id."""
    write_whole(folder / RECORDS, f"{place.url}\n{identity}\n".encode())


def _settled(folder: Path) -> list[str]:
    """Where the records are, and the id of the workspace; empty when that was never said."""
    try:
        return (folder / RECORDS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
