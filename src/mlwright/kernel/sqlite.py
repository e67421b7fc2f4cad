"""The embedded database: SQLite through apsw, so that every process runs the same fixed version.

Versions 3.7.0 to 3.51.2, which many system Pythons link, can corrupt a WAL database when a second
checkpoint races a commit. Source: the SQLite change log, 3.51.3.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Migration, Queries
from mlwright.kernel.errors import Conflict, Corrupt, Incompatible, Unavailable, disk_full

_SQL = Queries.beside(__file__)
_BUSY_MS = 30_000
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
            self._connection.pragma("journal_mode", "wal")
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
        present = self._schema_number()
        if present == latest:
            return
        if present > latest:
            raise Incompatible(
                f"this workspace was written by a newer mlwright (schema {present}, this one knows {latest})",
                where=str(self.path),
                hint="update mlwright, or use another workspace: it was not touched",
            )
        if present and isinstance(self.path, Path):
            self._copy_to(self.path.with_name(f"{self.path.name}.before-{latest:04d}"))
        with self.transaction():
            present = self._schema_number()
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

    def _schema_number(self) -> int:
        with _translated(self.path):
            return int(self._connection.pragma("user_version"))

    def _copy_to(self, target: Path) -> None:
        with apsw.Connection(str(target)) as copy, copy.backup("main", self._connection, "main") as backup:
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
    folder = str(path.parent.resolve())
    best, kind = "", ""
    for line in mounts:
        _, point, file_system, *_ = line.split()
        if (folder == point or folder.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, file_system
    if kind in _NETWORK_FILE_SYSTEMS:
        raise Unavailable(
            f"SQLite cannot be used safely on a network file system ({kind})",
            where=str(path),
            hint="put the workspace on a local disk",
        )
