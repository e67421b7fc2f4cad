"""What lies in a workspace's folder, what it says of itself, and whose it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mlwright.kernel import events
from mlwright.kernel.database import Queries
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Unavailable
from mlwright.kernel.files import write_whole
from mlwright.kernel.ids import new_id
from mlwright.kernel.sqlite import SqliteDatabase

_SQL = Queries.beside(__file__)

DATABASE, OBJECTS, LOCAL, MARK = "metadata.db", "objects", "local", "WORKSPACE"
"""What lies in a workspace's folder; and the file of a store that names the workspace it belongs to."""
STORE, RECORDS, FOLDER = "STORE", "RECORDS", "folder"
"""The files that say which bucket has the objects, and which server the records; or that the folder has them,
whatever the settings say."""


def hide(folder: Path) -> None:
    """Let Git see nothing of a folder, whatever the project says."""
    if not (ignore := folder / ".gitignore").exists():
        ignore.write_text("*\n")


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


def blank(database: Path) -> bool:
    """Whether nothing was ever recorded: any command makes an empty workspace where there is none."""
    try:
        with contextlib.closing(SqliteDatabase(database)) as records:
            return not records.schema() or events.nothing_yet(records)
    except (Corrupt, Incompatible):
        return False


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
