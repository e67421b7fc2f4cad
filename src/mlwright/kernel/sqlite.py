"""The embedded database: SQLite through apsw, so that every process runs the same fixed version.

Versions 3.7.0 to 3.51.2, which many system Pythons link, can corrupt a WAL database when a second
checkpoint races a commit. Source: the SQLite change log, 3.51.3.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Migration, Queries, Steps
from mlwright.kernel.dialect import placed
from mlwright.kernel.errors import Busy, Conflict, Corrupt, Incompatible, Unavailable, disk_full
from mlwright.kernel.ids import new_id
from mlwright.kernel.turnstile import Turnstile

_SQL = Queries.beside(__file__)
_SQLITE = Queries(Path(__file__).with_suffix(".sql"))
_BUSY_MS = 30_000
_PAUSE_S = 0.005
_NO_ROOM_BYTES = 1 << 20
_KEPT_STATEMENTS = 256
_NAMED = 100
"""More parameters than these are given by number: SQLite looks through all names for each."""
_CACHE_KIB = 32 * 1024
"""At most, for a connection: changed pages that it cannot hold are written twice."""
_LOG_PAGES = 10_000
"""How long the write-ahead log grows: a page that changes often is copied to its place once for all."""
_OCTAL = re.compile(r"\\([0-7]{3})")
NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "fuse.sshfs"}


class SqliteDatabase:
    """A database in one file, shared by every process of the machine; `:memory:` for one process.

    A file has two connections: one that reads, and one that writes, opened at the first transaction, so
    that a read never waits for a transaction of another thread. `:memory:` is its one connection.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        if isinstance(path, Path):
            _refuse_network(path)
        self._reading = SqliteConnection(path, new=True)
        self._reading_lock = threading.RLock()
        self._writing = None if isinstance(path, Path) else self._reading
        self._writing_lock = threading.RLock() if isinstance(path, Path) else self._reading_lock
        self._turnstile = Turnstile(path) if isinstance(path, Path) else None

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, as dictionaries by column name: what is committed, also inside a transaction."""
        with self._reading_lock:
            return self._reading.rows(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[SqliteConnection]:
        """Begin a unit of change; it is on disk when the block has ended."""
        with self._writing_lock:
            tx = self._writing = self._writing or SqliteConnection(self.path)
            assert not tx.in_transaction, "one transaction at a time in a thread"
            try:
                self._begin(tx)
                yield tx
                tx.execute("COMMIT")
            except BaseException:
                if tx.in_transaction:
                    tx.execute("ROLLBACK")
                raise

    def _begin(self, tx: SqliteConnection) -> None:
        """Take the write lock, in turn with other processes."""
        if self._turnstile is None:
            tx.execute("BEGIN IMMEDIATE")
            return
        with self._turnstile.passing(_BUSY_MS / 1000) as mine:
            if not mine:
                raise _busy(self.path)
            tx.execute("BEGIN IMMEDIATE")

    def view(self) -> SqliteView:
        """Look at one moment, through a connection of its own."""
        return SqliteView(self)

    def migrate(self, migrations: Sequence[Migration]) -> None:
        """Bring the schema forward under the write lock, with a copy of the file before it is changed."""
        latest = migrations[-1].number
        with self._reading_lock:
            if self._schema_number(self._reading, latest) == latest:
                return
        with self.transaction() as tx:
            present = self._schema_number(tx, latest)  # again: another process may have been faster
            if 0 < present < latest and isinstance(self.path, Path):
                _copy(self.path, self.path.with_name(f"{self.path.name}.before-{latest:04d}"))
            for migration in migrations[present:]:
                for statement in migration.statements("sqlite"):
                    tx.execute(statement)
                tx.execute(
                    _SQL["add_migration"],
                    number=migration.number,
                    name=migration.name,
                    applied_us=now_us(),
                )
            tx.execute(f"PRAGMA user_version = {latest}")

    def schema(self) -> list[dict[str, Any]]:
        """What the database holds: type, name and SQL of each table and index."""
        return self.read(_SQLITE["schema_objects"])

    def check(self) -> list[str]:
        """What SQLite's own look at every page, and at every reference between rows, finds wrong."""
        with self._reading_lock:
            try:
                told = [str(row["integrity_check"]) for row in self._reading.read("PRAGMA integrity_check")]
                found = [] if told == ["ok"] else told
                for row in self._reading.read("PRAGMA foreign_key_check"):
                    lost = f"a row of `{row['table']}` refers to a row of `{row['parent']}` that is not there"
                    found.append(lost if row["rowid"] is None else f"{lost} (row {row['rowid']})")
            except Corrupt as error:
                return [error.message]
            return found

    def copy(self, target: Path) -> None:
        """Copy what is committed into one file, without a log beside it, by SQLite's own backup."""
        making = target.with_name(f"{target.name}.{new_id()}")
        try:
            if isinstance(self.path, Path):
                _copy(self.path, making)
            else:
                with self._reading_lock:
                    self._reading.copy(making)
            making.replace(target)
        finally:
            making.unlink(missing_ok=True)

    def size_bytes(self) -> int:
        """How much room the file takes, and those beside it while it is open."""
        if not isinstance(self.path, Path):
            return 0
        beside = [self.path.with_name(f"{self.path.name}{end}") for end in ("", "-wal", "-shm")]
        return sum(each.stat().st_size for each in beside if each.is_file())

    def close(self) -> None:
        """Close the connections; the last one of the machine folds the write-ahead log in."""
        with self._writing_lock, self._reading_lock:
            self._reading.close()
            if self._writing is not None:
                self._writing.close()
            if self._turnstile is not None:
                self._turnstile.close()

    def _schema_number(self, connection: SqliteConnection, latest: int) -> int:
        """How many migrations the schema has seen; Incompatible when it is more than `latest`."""
        present = int(connection.read("PRAGMA user_version")[0]["user_version"])
        if present > latest:
            raise Incompatible(
                f"this workspace was written by a newer mlwright (schema {present}, this one knows {latest})",
                where=str(self.path),
                hint="update mlwright, or use another workspace: it was not touched",
            )
        return present


class SqliteView:
    """Reads of one moment: the pages that they need stay in memory, whoever writes meanwhile.

    A connection that begins anew with each read drops all its pages whenever anybody has committed. The log
    of what was written grows as long as one moment is kept. `:memory:` has one connection, and no view.
    """

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._connection: SqliteConnection | None = None

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query; the first read after a renewal sets the moment."""
        if not isinstance(self._database.path, Path):
            return self._database.read(sql, **parameters)
        self._connection = self._connection or SqliteConnection(self._database.path)
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
        return self._connection.rows(sql, parameters)

    def renew(self) -> None:
        """Let go of the moment."""
        if self._connection is not None and self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()


class SqliteConnection:
    """One connection, used by one thread at a time; that which writes is what a transaction gives.

    Reads and changes are hot: one cursor serves them all, and the columns of a query are asked for once.
    """

    __slots__ = ("_columns", "_connection", "_cursor", "_path")

    def __init__(self, path: Path | str, *, new: bool = False) -> None:
        self._path = path
        self._columns: dict[str, list[str]] = {}
        try:
            self._connection = apsw.Connection(str(path), statementcachesize=_KEPT_STATEMENTS)
            self._connection.set_busy_handler(_wait)
            if new:
                _write_ahead(self._connection)
            self._connection.pragma("synchronous", "full")
            self._connection.pragma("foreign_keys", "on")
            self._connection.pragma("case_sensitive_like", "on")  # as everywhere else
            self._connection.pragma("cache_size", -_CACHE_KIB)
            self._connection.wal_autocheckpoint(_LOG_PAGES)
            self._cursor = self._connection.cursor()
        except apsw.Error as error:
            _say(error, path)
            raise

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self._connection.in_transaction

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, as dictionaries by column name."""
        return self.rows(sql, parameters)

    def rows(self, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """What `read` answers, with the parameters in a dictionary."""
        given: dict[str, Any] | list[Any] = parameters
        if len(parameters) > _NAMED:
            sql, places = placed(sql, "?")
            given = [parameters[name] for name in places]
        names = self._columns.get(sql)
        try:
            if names is None:
                return self._first_rows(sql, given)
            return [dict(zip(names, values, strict=True)) for values in self._cursor.execute(sql, given)]
        except BaseException as error:
            self._end(error)
            raise

    def batches(self, sql: str, size: int) -> Iterator[list[dict[str, Any]]]:
        """Rows of a query, at most `size` at a time: not all of them need fit into memory."""
        cursor = self._connection.cursor()
        names: list[str] = []
        batch = []
        try:
            for values in cursor.execute(sql):
                names = names or [column[0] for column in cursor.get_description()]
                batch.append(dict(zip(names, values, strict=True)))
                if len(batch) == size:
                    yield batch
                    batch = []
            if batch:
                yield batch
        except apsw.Error as error:
            _say(error, self._path)
            raise
        finally:
            cursor.close(force=True)

    def execute(self, sql: str, **parameters: Any) -> int:
        """Change rows inside a transaction; returns how many changed."""
        try:
            self._cursor.execute(sql, parameters)
            return self._connection.changes()
        except BaseException as error:
            self._end(error)
            raise

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each row of parameters, inside a transaction."""
        try:
            self._cursor.executemany(sql, rows)
        except BaseException as error:
            self._end(error)
            raise

    def together(self, work: Callable[[Steps], None]) -> None:
        """Change what hangs on what is read."""
        work(self)

    def copy(self, target: Path) -> None:
        """Write all that this connection sees into a file that stands alone."""
        _write(self._connection, self._path, target)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _first_rows(self, sql: str, given: dict[str, Any] | list[Any]) -> list[dict[str, Any]]:
        """Rows of a query whose columns are not known yet; they are kept, unless `*` leaves them open."""
        cursor = self._cursor.execute(sql, given)
        names: list[str] = []
        rows = []
        for values in cursor:
            # A cursor that is exhausted no longer knows its columns: ask while it stands on a row.
            names = names or [column[0] for column in cursor.get_description()]
            rows.append(dict(zip(names, values, strict=True)))
        if names and "*" not in sql.replace("(*)", ""):
            if len(self._columns) >= _KEPT_STATEMENTS:
                self._columns.clear()
            self._columns[sql] = names
        return rows

    def _end(self, error: BaseException) -> None:
        """Leave no statement half read, which would keep its snapshot; say SQLite's failures in our words."""
        with suppress(apsw.ConnectionClosedError):
            begun, self._cursor = self._cursor, self._connection.cursor()
            begun.close(force=True)  # the traceback may keep it alive
        if isinstance(error, apsw.Error):
            _say(error, self._path)


def _write_ahead(connection: apsw.Connection) -> None:
    """Switch to the write-ahead log. When two open a new file at once, SQLite does not wait by itself."""
    until = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if time.monotonic() >= until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _copy(path: Path, target: Path) -> None:
    """Copy what is committed, through a connection of its own: that of a writer cannot be copied from."""
    try:
        with closing(apsw.Connection(str(path))) as source:
            source.set_busy_timeout(_BUSY_MS)
            _write(source, path, target)
    except apsw.Error as error:
        _say(error, path)
        raise


def _write(source: apsw.Connection, path: Path | str, target: Path) -> None:
    """Write what a connection sees into a new file, all in one step: in steps it would begin anew with
    each commit of others."""
    try:
        with closing(apsw.Connection(str(target))) as copy:
            with copy.backup("main", source, "main") as backup:
                backup.step()
            copy.pragma("journal_mode", "delete")  # one file, which can be read where nothing can be written
    except apsw.Error as error:
        _say(error, path if isinstance(error, apsw.CorruptError | apsw.BusyError) else target)
        raise


def _say(error: apsw.Error, path: Path | str) -> None:
    """Raise SQLite's failure in our words; returns when it is a mistake of ours, which has none."""
    match error:
        case apsw.ConstraintError():
            raise Conflict(f"the record contradicts one that is there: {error}", where=str(path)) from error
        case apsw.FullError():
            raise disk_full(Path(path)) from error
        case apsw.BusyError() | apsw.LockedError():
            raise _busy(path) from error
        case apsw.CorruptError() | apsw.NotADBError():
            raise Corrupt(
                f"the metadata database is damaged: {error}",
                where=str(path),
                hint="bring a backup back: mlwright workspace restore BACKUP",
            ) from error
        case apsw.IOError() if _no_room(path):
            raise disk_full(Path(path)) from error
        case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.IOError():
            raise Unavailable(
                f"the metadata database cannot be used: {error}",
                where=str(path),
                hint="look at the folder's permissions and the free space on its disk",
            ) from error


def _busy(path: Path | str) -> Busy:
    return Busy(
        f"another process has been writing to the workspace for {_BUSY_MS // 1000} s",
        where=str(path),
        hint="wait for it to finish, then try again",
    )


def _wait(asked: int) -> bool:
    """Whether to ask again for a lock, after a pause: often, since one at a time waits to write."""
    pause_s = min(0.0002 * (asked + 1), _PAUSE_S)
    if asked * _PAUSE_S > _BUSY_MS / 1000:
        return False
    time.sleep(pause_s)
    return True


def _no_room(path: Path | str) -> bool:
    """Whether a failure of the disk is one of room: where SQLite maps a file, it cannot tell by itself."""
    try:
        return shutil.disk_usage(Path(path).parent).free < _NO_ROOM_BYTES
    except OSError:
        return False


def sqlite_version() -> str:
    """The version of SQLite that every process of ours uses."""
    return apsw.sqlite_lib_version()


def file_system_of(folder: Path) -> str:
    """The kind of file system that a folder of this machine lies in; empty when nobody tells."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return file_system(folder.resolve(), mounts)


def _refuse_network(path: Path) -> None:
    """SQLite's locks do not hold on network file systems. Source: sqlite.org/useovernet.html."""
    kind = file_system_of(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
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
