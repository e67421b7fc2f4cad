"""The metadata database: SQL is the language, behind one small port.

Portable SQL stands in a `queries.sql` beside the module's room, each query with a name and a sentence;
parameters are named (`:name`). Where the engines part, a query has a variant for one of them, and a statement
of a migration is marked for one: `kernel/dialect.py` reads those marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from mlwright.kernel.dialect import Engine, statements


class Steps(Protocol):
    """What reads and changes rows, one statement after the other."""

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows as dictionaries by column name, this transaction's own changes included."""

    def execute(self, sql: str, **parameters: Any) -> int:
        """Change rows; returns how many changed."""


class Transaction(Steps, Protocol):
    """One unit of change: all of it becomes visible and durable, or nothing."""

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each row of parameters."""

    def together(self, work: Callable[[Steps], None]) -> None:
        """Change what hangs on what is read, where nothing else does.

        An engine that is cut off, and begins the transaction anew, does all of `work` again: it may read
        something else then. What is read otherwise must be the same again.
        """


class Source(Protocol):
    """Where rows can be read: a database, a transaction, a view."""

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, as dictionaries by column name."""


class View(Source, Protocol):
    """Reads of one moment, for who asks often and needs not the newest. One thread's."""

    def renew(self) -> None:
        """Let go of the moment: the next read sees what is committed then. Old ones take room on the disk."""

    def close(self) -> None:
        """Let go of the engine."""


class Database(Protocol):
    """Where everything that changes or is asked for lives.

    Laws, examined for every implementation by `tests/exams/database.py`:
        1. after `transaction()` ends, its changes are durable; when it raises, none is visible
        2. transactions are serial: what one reads does not change under it
        3. a value comes back as it went in: text, integers of 64 bits, floats, bytes, None. Text with NUL
           does so, or is refused with Invalid
        4. a constraint that is broken raises Conflict; SQL that is wrong raises the engine's own error
        5. a reader sees what was committed before it began, also from another process
        6. a schema newer than this code is refused with Incompatible, untouched
        7. a read does not wait for a transaction of another thread: it sees what was committed before
        8. what a view sees does not change until it is renewed, whoever writes, and it holds up nobody (in
           memory, with one connection, it sees what is there)
        9. `check` names what is wrong with the records themselves: damage of the file, rows that
           refer to what is not there; nothing when all is well
        10. `copy` makes a file that opens as a database with all that was committed at one moment, whoever
           writes meanwhile; under its name there is all of it or nothing
        11. what `together` reads and changes is in its transaction, as all else that is read and changed
    """

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, as dictionaries by column name: what is committed, so ask `tx` inside of one."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a unit of change: `with database.transaction() as tx: ...`."""

    def view(self) -> View:
        """Look at one moment."""

    def migrate(self, migrations: Sequence[Migration]) -> None:
        """Bring the schema forward; Incompatible when the database is ahead of `migrations`."""

    def check(self) -> list[str]:
        """Read all records, and say in a sentence each what is wrong with them."""

    def copy(self, target: Path) -> None:
        """Write the records of one moment into a file of their own, on a local disk; durable on return."""

    def size_bytes(self) -> int:
        """How much room the records take."""

    def close(self) -> None:
        """Let go of the engine; the object is not used afterwards."""


class Migration:
    """One append-only change of the schema: a number, a name, SQL."""

    __slots__ = ("name", "number", "path")

    def __init__(self, path: Path) -> None:
        number, _, name = path.stem.partition("_")
        self.number, self.name, self.path = int(number), name, path

    @property
    def sql(self) -> str:
        """All that stands in it, read when it is needed."""
        return self.path.read_text(encoding="utf-8")

    def statements(self, engine: Engine) -> list[str]:
        """Its statements for an engine, one after the other."""
        return statements(self.sql, engine)


def all_migrations(house: Path | None = None) -> list[Migration]:
    """The migrations of every room, in the one global order.

    Args:
        house: the package's folder; its rooms keep theirs in `ROOM/migrations/`.
    """
    house = house or Path(__file__).resolve().parents[1]
    found = sorted((Migration(path) for path in house.glob("*/migrations/*.sql")), key=lambda m: m.number)
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "one global sequence, no gaps"
    return found


class Query(str):
    """A query in portable SQL, or in SQLite's own, and how it reads on PostgreSQL where that differs."""

    __slots__ = ("postgres",)
    postgres: str

    def __new__(cls, sql: str, postgres: str) -> Query:
        """A query with its variant."""
        made = super().__new__(cls, sql)
        made.postgres = postgres
        return made


class Queries:
    """The named queries of one room.

    A query begins with `-- name: NAME` and a line that says in a sentence what it is for. Its variant for
    PostgreSQL, where there is one, begins likewise with `-- name: NAME (postgres)`.
    """

    _begin = re.compile(r"^-- name: (\w+(?: \(postgres\))?)\n-- (.+)\n", re.MULTILINE)
    _variant = " (postgres)"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts: dict[str, str] | None = None

    @classmethod
    def beside(cls, module_file: str) -> Queries:
        """The `queries.sql` in the folder of `module_file`; it is read at the first use."""
        return cls(Path(module_file).with_name("queries.sql"))

    def __getitem__(self, name: str) -> str:
        return self.texts()[name]

    def texts(self) -> dict[str, str]:
        """Every query of the room by its name."""
        if self._texts is None:
            pieces = self._begin.split(self._path.read_text(encoding="utf-8"))
            found = {name: sql.strip() for name, sql in zip(pieces[1::3], pieces[3::3], strict=True)}
            self._texts = {
                name: Query(sql, other) if (other := found.get(f"{name}{self._variant}")) else sql
                for name, sql in found.items()
                if not name.endswith(self._variant)
            }
        return self._texts
