"""The embedded database: SQLite through apsw, so that every process runs the same fixed version.

Versions 3.7.0 to 3.51.2, which many system Pythons link, can corrupt a WAL database when a second
checkpoint races a commit. Source: the SQLite change log, 3.51.3.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Migration, Queries
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Unavailable, disk_full

_SQL = Queries.beside(__file__)
_BUSY_MS = 30_000
_PAUSE_S = 0.01
_OCTAL = re.compile(r"\\([0-7]{3})")
_NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "fuse.sshfs"}


class SqliteDatabase:
    """A database in one file, shared by every process of the machine; `:memory:` for one process."""

    def __init__(self, path: Path | str) -> None:
        self.path = path
        if isinstance(path, Path):
            _refuse_network(path)
        self._lock = threading.RLock()
        with _translated(path):
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(_BUSY_MS)
            self._write_ahead()
            self._connection.pragma("synchronous", "full")
            self._connection.pragma("foreign_keys", "on")

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, as dictionaries by column name."""
        with self._lock, _translated(self.path):
            cursor = self._connection.execute(sql, parameters)
            names: list[str] | None = None
            rows = []
            for values in cursor:
                # A cursor that is exhausted no longer knows its columns: ask while it stands on a row.
                names = names or [column[0] for column in cursor.get_description()]
                rows.append(dict(zip(names, values, strict=True)))
            return rows

    def execute(self, sql: str, **parameters: Any) -> int:
        """Change rows inside a transaction; returns how many changed."""
        with _translated(self.path):
            self._connection.execute(sql, parameters)
            return int(self._connection.changes())

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each row of parameters, inside a transaction."""
        with _translated(self.path):
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[SqliteDatabase]:
        """Begin a unit of change; it is on disk when the block has ended."""
        with self._lock:
            with _translated(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self
                with _translated(self.path):
                    self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def migrate(self, migrations: Sequence[Migration]) -> None:
        """Bring the schema forward under the write lock, with a copy of the file before it is changed."""
        latest = migrations[-1].number
        if self._schema_number(latest) == latest:
            return
        with self.transaction():
            present = self._schema_number(latest)  # again: another process may have been faster
            if 0 < present < latest and isinstance(self.path, Path):
                _copy(self.path, self.path.with_name(f"{self.path.name}.before-{latest:04d}"))
            for migration in migrations[present:]:
                self._connection.execute(migration.sql)
                self.execute(
                    _SQL["add_migration"],
                    number=migration.number,
                    name=migration.name,
                    applied_us=now_us(),
                )
            self._connection.execute(f"PRAGMA user_version = {latest}")

    def schema(self) -> list[dict[str, Any]]:
        """What the database holds: type, name and SQL of each table and index."""
        return self.read(_SQL["schema_objects"])

    def close(self) -> None:
        """Close the connection; the last one of the machine folds the write-ahead log in."""
        with self._lock:
            self._connection.close()

    def _write_ahead(self) -> None:
        """Switch to the write-ahead log. When two open a new file at once, SQLite does not wait by itself."""
        until = time.monotonic() + _BUSY_MS / 1000
        while True:
            try:
                self._connection.pragma("journal_mode", "wal")
            except apsw.BusyError:
                if time.monotonic() >= until:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return

    def _schema_number(self, latest: int) -> int:
        """How many migrations the schema has seen; Incompatible when it is more than `latest`."""
        with _translated(self.path):
            present = int(self._connection.pragma("user_version"))
        if present > latest:
            raise Incompatible(
                f"this workspace was written by a newer mlwright (schema {present}, this one knows {latest})",
                where=str(self.path),
                hint="update mlwright, or use another workspace: it was not touched",
            )
        return present


def _copy(path: Path, target: Path) -> None:
    """Copy what is committed, through a connection of its own: that of a writer cannot be copied from."""
    with (
        _translated(path),
        closing(apsw.Connection(str(path))) as source,
        closing(apsw.Connection(str(target))) as copy,
        copy.backup("main", source, "main") as backup,
    ):
        backup.step()


@contextmanager
def _translated(path: Path | str) -> Iterator[None]:
    """Say SQLite's failures in our words."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise Conflict(f"the record contradicts one that is there: {error}", where=str(path)) from error
    except apsw.FullError as error:
        raise disk_full(Path(path)) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Conflict(
            f"another process has been writing to the workspace for {_BUSY_MS // 1000} s",
            where=str(path),
            hint="wait for it to finish, then try again",
        ) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise Corrupt(f"the metadata database is damaged: {error}", where=str(path)) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError) as error:
        raise Unavailable(
            f"the metadata database cannot be used: {error}",
            where=str(path),
            hint="look at the folder's permissions and the free space on its disk",
        ) from error


def _refuse_network(path: Path) -> None:
    """SQLite's locks do not hold on network file systems. Source: sqlite.org/useovernet.html."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    kind = file_system(path.parent.resolve(), mounts)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise Unavailable(
            f"SQLite cannot be used safely on a network file system ({kind})",
            where=str(path),
            hint="put the workspace on a local disk",
        )


def file_system(folder: Path, mounts: list[str]) -> str:
    """The kind of file system that a folder lies in; empty when `mounts` does not tell.

    Source: fstab(5): blanks, tabs, line ends and backslashes in a name are written as octal numbers.
    """
    best, kind = Path(), ""
    for line in mounts:
        point, name = line.split()[1:3]
        place = Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), point))
        if folder.is_relative_to(place) and len(place.parts) >= len(best.parts):
            best, kind = place, name
    return kind
