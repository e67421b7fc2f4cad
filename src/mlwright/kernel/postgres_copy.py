"""All records of a PostgreSQL database as one file of SQLite's, and back: table by table, as the schema says.

The two have the same tables with the same columns, since they come from the same migrations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlwright.kernel.database import Queries
from mlwright.kernel.errors import Conflict, Corrupt
from mlwright.kernel.events import nothing_yet
from mlwright.kernel.ids import new_id
from mlwright.kernel.postgres_connection import PostgresConnection
from mlwright.kernel.sqlite import SqliteConnection, SqliteDatabase

if TYPE_CHECKING:
    from mlwright.kernel.postgres import PostgresDatabase, PostgresTransaction

_POSTGRES = Queries(Path(__file__).with_name("postgres.sql"))
_SQLITE = Queries(Path(__file__).with_name("sqlite.sql"))
_ROWS = 1_000


def faults(connection: PostgresConnection) -> list[str]:
    """Read every row, and look at every reference; what is wrong, a sentence each."""
    found = []
    for row in connection.rows(_POSTGRES["tables"], {}):
        try:
            # Binary and whole, so that the server reads what lies apart too; nothing is kept of it.
            with (
                connection.said(),
                connection.raw.cursor() as cursor,
                cursor.copy(f'COPY "{row["name"]}" TO STDOUT (FORMAT binary)') as rows,
            ):
                for _ in rows:
                    pass
        except Corrupt as error:
            found.append(error.message)
    for key in connection.rows(_POSTGRES["references"], {}):
        told = f"a row of `{key['child']}` refers to a row of `{key['parent']}` that is not there"
        found += [told] * _lost(connection, key)
    return found


def copy_into_file(database: PostgresDatabase, target: Path) -> None:
    """Write the records of one moment into a file that stands alone; it takes its name when it is whole."""
    making = target.with_name(f"{target.name}.{new_id()}.making")
    try:
        file = SqliteDatabase(making)
        try:
            file.migrate(database.migrations)
            database.reading(lambda connection: _copy(connection, file))
            file.copy(target)
        finally:
            file.close()
    finally:
        for left in making.parent.glob(f"{making.name}*") if making.parent.is_dir() else ():
            left.unlink(missing_ok=True)


@contextmanager
def filling(database: PostgresDatabase, source: Path) -> Iterator[None]:
    """Bring the records of a file into a database that has none; they are there when the block has ended.

    Args:
        database: at the schema of this code, with nothing recorded.
        source: a file of SQLite's at the same schema, or an older one; not needed any more within the block.

    Raises:
        Conflict: something is recorded already.
    """
    with database.transaction() as tx:
        # Nobody waits for an empty database: reading a large file may keep us silent for long.
        tx.run("SET LOCAL idle_in_transaction_session_timeout = 0")
        if not nothing_yet(tx):
            raise Conflict("the database has records already", where=database.place.url)
        with closing(SqliteDatabase(source)) as file:
            file.migrate(database.migrations)
            with closing(SqliteConnection(source)) as reading:
                _fill(tx, file, reading)
        yield


def _lost(connection: PostgresConnection, key: dict[str, Any]) -> int:
    """How many rows refer to nothing."""
    pairs = list(zip(key["child_columns"], key["parent_columns"], strict=True))
    same = " AND ".join(f'parent."{there}" = child."{here}"' for here, there in pairs)
    given = " AND ".join(f'child."{here}" IS NOT NULL' for here, _ in pairs)
    sql = (
        f'SELECT count(*) AS lost FROM "{key["child"]}" AS child WHERE {given}'  # noqa: S608 - names of our schema
        f' AND NOT EXISTS (SELECT 1 FROM "{key["parent"]}" AS parent WHERE {same})'
    )
    return int(connection.rows(sql, {})[0]["lost"])


def _copy(connection: PostgresConnection, file: SqliteDatabase) -> None:
    connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    with file.transaction() as tx:
        tx.execute("PRAGMA defer_foreign_keys = ON")
        for table, columns in _tables(file):
            tx.execute(f'DELETE FROM "{table}"')  # noqa: S608 - what a migration wrote
            insert = _insert(table, columns)
            with connection.said(), connection.raw.cursor(binary=True) as cursor:
                listed = ", ".join(f'"{column}"' for column in columns)
                rows: list[Any] = []
                for row in cursor.stream(f'SELECT {listed} FROM "{table}"', size=_ROWS):  # noqa: S608
                    rows.append(row)
                    if len(rows) == _ROWS:
                        tx.execute_many(insert, rows)
                        rows = []
                tx.execute_many(insert, rows)
        counted = {row["name"] for row in tx.read(_SQLITE["counted"])}
        for counter in connection.rows(_POSTGRES["counters"], {}):
            if counter["name"] in counted:
                tx.execute(_SQLITE["forget_counter"], name=counter["name"])
                tx.execute(_SQLITE["set_counter"], **counter)
    connection.run("COMMIT")


def _fill(tx: PostgresTransaction, file: SqliteDatabase, reading: SqliteConnection) -> None:
    tables = dict(_tables(file))
    for table in _parents_first(tx):
        if table not in tables:  # the counters, which a file keeps by itself
            continue
        tx.execute(f'DELETE FROM "{table}"')  # noqa: S608 - what a migration wrote
        listed = ", ".join(f'"{column}"' for column in tables[table])
        for rows in reading.batches(f'SELECT {listed} FROM "{table}"', _ROWS):  # noqa: S608
            tx.execute_many(_insert(table, tables[table]), rows)
    given = {row["name"]: row["last"] for row in file.read(_SQLITE["counters"])}
    for row in tx.read(_POSTGRES["numbered"]):
        name, key = row["name"], row["key"]
        highest = file.read(f'SELECT max("{key}") AS last FROM "{name}"')[0]["last"]  # noqa: S608
        tx.execute(_POSTGRES["set_counter"], name=name, last=max(given.get(name, 0), highest or 0))


def _parents_first(tx: PostgresTransaction) -> Iterator[str]:
    """The tables, each after those that it refers to."""
    wanted: dict[str, set[str]] = {row["name"]: set() for row in tx.read(_POSTGRES["tables"])}
    for key in tx.read(_POSTGRES["references"]):
        if key["child"] != key["parent"]:
            wanted[key["child"]].add(key["parent"])
    return iter(TopologicalSorter(wanted).static_order())


def _tables(file: SqliteDatabase) -> Iterator[tuple[str, list[str]]]:
    """The tables that hold records, with their columns."""
    for row in file.read(_SQLITE["tables"]):
        yield row["name"], [each["name"] for each in file.read(_SQLITE["columns"], name=row["name"])]


def _insert(table: str, columns: list[str]) -> str:
    listed = ", ".join(f'"{column}"' for column in columns)
    places = ", ".join(f":{column}" for column in columns)
    return f'INSERT INTO "{table}" ({listed}) VALUES ({places})'  # noqa: S608 - names of our schema
