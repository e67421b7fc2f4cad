"""Restoring records into the database of a server, which are there before the folder is."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from mlwright.kernel.clock import iso
from mlwright.kernel.database import all_migrations
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, FateUnknown, MlwrightError
from mlwright.kernel.history import EventFilter, history
from mlwright.kernel.postgres_place import PostgresPlace, parse_place
from mlwright.workspace.backup import Manifest
from mlwright.workspace.layout import DATABASE, RECORDS, server_of


def server_for(
    project: Path, setting: str, manifest: Manifest, making: Path
) -> tuple[PostgresPlace | None, bool]:
    """Which database the records come into, and whether it has them already, by a restore that was killed.

    Args:
        project: the project's folder.
        setting: its `database`.
        making: where a restore puts the workspace together, or has begun to.

    Returns:
        None, where there is no setting: a file of the folder.

    Raises:
        Conflict: it has other records.
    """
    if not setting:
        return None, False
    from mlwright.workspace import server

    place = parse_place(setting, project)
    with closing(server.open_server(place)) as database:
        if database.blank():
            return place, False
        begun = server_of(making) == place.url
        newest = history(database, EventFilter(limit=1)).found if begun else []
    of_this = (End("workspace", manifest.workspace), "workspace.restored", iso(manifest.made_us))
    if [(each.subject, each.verb, each.detail.get("of")) for each in newest] == [of_this]:
        return place, True
    raise Conflict(
        "the database has records already",
        where=place.url,
        hint="let `database` name an empty one, or restore into a new folder",
    )


def fill(place: PostgresPlace, making: Path, manifest: Manifest) -> None:
    """Bring the records into a database, before the folder is put in place.

    Whoever is killed in between leaves a folder that says which database has them: the next restore of
    the same backup goes on from there. What fails before leaves neither.
    """
    from mlwright.kernel.postgres_copy import filling
    from mlwright.workspace import server

    with closing(server.open_server(place)) as database:
        database.migrate(all_migrations())
        try:
            with filling(database, making / DATABASE):
                server.remember(making, place, manifest.workspace)
        except FateUnknown:
            raise
        except (MlwrightError, OSError):
            (making / RECORDS).unlink(missing_ok=True)
            raise
