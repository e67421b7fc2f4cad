"""The database beyond one machine: a PostgreSQL server, through psycopg.

One writes at a time, as in SQLite: a transaction begins by taking a lock of the database's own, and so sees
what all before it have committed. It is serial, and never has to be tried again for another's sake.

A server may be restarted at any moment. What was not yet begun is tried again. A transaction that is cut off
is begun anew, and what it did is done again: where that answers the same, it goes on as if nothing had been.
A commit whose answer is lost is found in the record of turns, and neither lost nor doubled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Migration, Queries, Steps
from mlwright.kernel.errors import Cancelled, FateUnknown, Incompatible, Unavailable
from mlwright.kernel.events import nothing_yet
from mlwright.kernel.ids import new_id
from mlwright.kernel.postgres_connection import (
    FIRST_S,
    PATIENCE_S,
    Lost,
    Patience,
    PostgresConnection,
    Row,
)
from mlwright.kernel.postgres_place import PostgresPlace
from mlwright.kernel.postgres_view import PostgresView

_SQL = Queries.beside(__file__)
_POSTGRES = Queries(Path(__file__).with_suffix(".sql"))
_READERS = 4
"""How many reads of one process may be under way."""
_GRACE_S = 0.5
"""How long those who have not begun wait for one who has, after all were cut off."""
_MOST_REMEMBERED = 50_000
"""How many rows, given and answered, a transaction remembers: one that is larger is not done again."""

# The lock is of this database, not of the server. The number is "mlwright" in ASCII.
_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(7884808380897257588)"
_DAY_US = 86_400_000_000

T = TypeVar("T")
Step = Callable[[PostgresConnection], Any]


class PostgresDatabase:
    """A database of a PostgreSQL server, shared by every process that reaches it.

    Up to four connections read, and one writes; each is opened when it is needed. Nothing is asked of the
    server before the first read.
    """

    def __init__(self, place: PostgresPlace) -> None:
        self.place = place
        self.migrations: Sequence[Migration] = ()
        self._idle: list[PostgresConnection] = []
        self._idle_lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_READERS)
        self._writing: PostgresConnection | None = None
        self._writing_lock = threading.RLock()
        self._busy = False
        self._answered = False
        self._prepared = False
        self.writer = new_id()
        self._turns = 0

    def read(self, sql: str, **parameters: Any) -> list[Row]:
        """Rows of a query, as dictionaries by column name: what is committed, also inside a transaction."""
        return self.reading(lambda connection: connection.rows(sql, parameters))

    def reading(self, work: Callable[[PostgresConnection], T]) -> T:
        """Do what only reads, with a connection of its own; again, where that is lost."""
        patience = self.patience()
        while True:
            with self._slots:
                taken = connection = self._take()
                try:
                    connection = connection or self.connect(reading=True)
                    done = work(connection)
                except Lost as error:
                    lost = error
                    self._drop_idle()  # what lay idle was lost with it
                except BaseException:
                    if connection is not None:
                        connection.close()  # it may stand anywhere
                    raise
                else:
                    with self._idle_lock:
                        self._idle.append(connection)
                    return done
            if taken is None:  # else the next try opens a new one, and is made at once
                patience.wait(lost.__cause__ or lost)

    @contextmanager
    def transaction(self) -> Iterator[PostgresTransaction]:
        """Begin a unit of change; it is on the server's disk when the block has ended."""
        with self._writing_lock:
            assert not self._busy, "one transaction at a time in a thread"
            self._busy = True
            self._turns += 1
            tx = PostgresTransaction(self, self._writing, self._turns)
            self._writing = None
            try:
                tx.begin()
                yield tx
                tx.commit()
            except BaseException:
                tx.roll_back()
                raise
            finally:
                self._busy = False
                self._writing = tx.given_back()

    def view(self) -> PostgresView:
        """Look at one moment, through a connection of its own."""
        return PostgresView(self)

    def migrate(self, migrations: Sequence[Migration]) -> None:
        """Bring the schema forward under the lock of those who write, all of it or nothing."""
        self.migrations = migrations
        latest = migrations[-1].number
        if self._schema_number(self, latest) == latest:
            return
        with self.transaction() as tx:
            present = self._schema_number(tx, latest)  # again: another process may have been faster
            for migration in migrations[present:]:
                for statement in migration.statements("postgres"):
                    tx.run(statement)
                tx.execute(
                    _SQL["add_migration"],
                    number=migration.number,
                    name=migration.name,
                    applied_us=now_us(),
                )

    def check(self) -> list[str]:
        """What a look at every row, and at every reference between rows, finds wrong."""
        from mlwright.kernel.postgres_copy import faults

        return self.reading(faults)

    def copy(self, target: Path) -> None:
        """Copy what is committed into one file, as SQLite keeps it."""
        from mlwright.kernel.postgres_copy import copy_into_file

        assert self.migrations, "a copy has the schema that was migrated to"
        copy_into_file(self, target)

    def blank(self) -> bool:
        """Whether nothing was ever recorded in it."""
        return not self.read(_POSTGRES["is_migrated"])[0]["migrated"] or nothing_yet(self)

    def size_bytes(self) -> int:
        """How much room the whole database takes on the server."""
        return int(self.read(_POSTGRES["size"])[0]["size_bytes"])

    def close(self) -> None:
        """Close the connections."""
        with self._writing_lock:
            self._drop_idle()
            if self._writing is not None:
                self._writing.close()
                self._writing = None

    def connect(self, *, reading: bool) -> PostgresConnection:
        """A connection of one's own.

        Raises:
            Lost: nobody answers now.
            Unavailable: whoever answers does not let us in.
        """
        made = PostgresConnection(self.place, reading=reading)
        self._answered = True
        return made

    def is_prepared(self, connection: PostgresConnection) -> bool:
        """Whether it can be written down whose turn it is: not while the schema is made."""
        if not self._prepared:
            self._prepared = bool(connection.rows(_POSTGRES["is_prepared"], {})[0]["prepared"])
            if self._prepared:
                connection.change(_POSTGRES["forget_turns"], {"before_us": now_us() - _DAY_US})
        return self._prepared

    def patience(self, longest_s: float = 2.0) -> Patience:
        """How long to wait for a server that is away: one that has never answered may not be there at all.

        Args:
            longest_s: between two tries.
        """
        return Patience(PATIENCE_S if self._answered else FIRST_S, self.place, longest_s)

    def _take(self) -> PostgresConnection | None:
        with self._idle_lock:
            return self._idle.pop() if self._idle else None

    def _drop_idle(self) -> None:
        with self._idle_lock:
            dropped, self._idle = self._idle, []
        for connection in dropped:
            connection.close()

    def _schema_number(self, source: PostgresDatabase | PostgresTransaction, latest: int) -> int:
        """How many migrations the schema has seen; Incompatible when it is more than `latest`."""
        if not source.read(_POSTGRES["is_migrated"])[0]["migrated"]:
            return 0
        present = int(source.read(_POSTGRES["schema_number"])[0]["number"] or 0)
        if present > latest:
            raise Incompatible(
                f"this workspace was written by a newer mlwright (schema {present}, this one knows {latest})",
                where=self.place.url,
                hint="update mlwright, or use another workspace: it was not touched",
            )
        return present


class PostgresTransaction:
    """A unit of change that outlives its connection: it remembers what it did, and what was answered."""

    def __init__(
        self, database: PostgresDatabase, connection: PostgresConnection | None, number: int
    ) -> None:
        self._database = database
        self._connection = connection
        self._number = number
        self._done: list[tuple[Step, Any]] | None = []
        self._rows = 0
        self._in_doubt = False  # a commit was sent, and what became of it is not known

    def read(self, sql: str, **parameters: Any) -> list[Row]:
        """Rows as dictionaries by column name, this transaction's own changes included."""
        rows: list[Row] = self._do(lambda connection: connection.rows(sql, parameters), 1)
        self._count(len(rows))
        return rows

    def execute(self, sql: str, **parameters: Any) -> int:
        """Change rows; returns how many changed."""
        changed: int = self._do(lambda connection: connection.change(sql, parameters), 1)
        return changed

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each row of parameters."""
        if kept := [dict(row) for row in rows]:
            self._do(lambda connection: connection.change_many(sql, kept), len(kept))

    def together(self, work: Callable[[Steps], None]) -> None:
        """Change what hangs on what is read; done again, it may read something else."""
        self._do(lambda connection: work(_Direct(connection)), 1)

    def run(self, script: str) -> list[Row]:
        """Run statements that have no parameters."""
        rows: list[Row] = self._do(lambda connection: connection.run(script), 1)
        return rows

    def begin(self) -> None:
        """Wait for one's turn, as long as the server is away too.

        Of all that a server cuts off when it goes, one at most was in its turn: the others let it come first.
        """
        patience = self._database.patience()
        lost = False
        while True:
            fresh = self._connection is None
            try:
                if lost:
                    self._connection = self._connection or self._database.connect(reading=False)
                    time.sleep(_GRACE_S)
                self._begin()
            except Lost as error:
                self._connection, lost = None, True
                if fresh:
                    patience.wait(error.__cause__ or error)
            else:
                return

    def commit(self) -> None:
        """Make it durable; when the answer is lost, the server is asked what became of it.

        Raises:
            FateUnknown: it does not answer that either.
            Unavailable: it was lost, and could not be done again.
        """
        while True:
            assert self._connection is not None
            assert not self._connection.failed, "what has failed cannot be committed: let it raise"
            try:
                self._connection.run("COMMIT")
            except Lost as error:
                if self._is_committed(error):
                    return
            else:
                return

    def _is_committed(self, lost: Lost) -> bool:
        self._in_doubt = True
        try:
            return self._again(lost)
        except Cancelled:
            raise
        except Exception as error:
            if not self._in_doubt:
                raise
            raise FateUnknown(
                "the metadata database went away during a commit: the fate of the change is not known",
                where=self._database.place.url,
                hint="when it is back, look whether the change is there before it is made again",
            ) from error

    def roll_back(self) -> None:
        """Let nothing of it be there."""
        connection = self._connection
        if connection is not None and connection.broken_off:  # by a signal; the server rolls it back
            connection.close()
            self._connection = None
        elif connection is not None and connection.in_transaction:
            try:
                connection.run("ROLLBACK")
            except Lost:  # the server does it for who is gone
                self._connection = None
            except BaseException:
                connection.close()
                self._connection = None
                raise

    def given_back(self) -> PostgresConnection | None:
        """The connection, for the next one."""
        return self._connection

    def _begin(self) -> bool:
        """Take the turn; returns whether this very transaction has been committed already.

        Whoever has the turn knows what became of all before: a commit that goes on holds it.
        """
        connection = self._connection = self._connection or self._database.connect(reading=False)
        connection.run(_BEGIN)
        if not self._database.is_prepared(connection):
            return False
        who = {"writer": self._database.writer, "number": self._number}
        if connection.rows(_POSTGRES["committed"], who):
            connection.run("ROLLBACK")
            return True
        connection.change(_POSTGRES["take_turn"], {**who, "at_us": now_us()})
        return False

    def _do(self, step: Step, rows: int) -> Any:
        while True:
            assert self._connection is not None
            try:
                answer = step(self._connection)
            except Lost as error:
                self._again(error)
            else:
                if self._done is not None:
                    self._done.append((step, answer))
                    self._count(rows)
                return answer

    def _count(self, rows: int) -> None:
        self._rows += rows
        if self._rows > _MOST_REMEMBERED:
            self._done = None

    def _again(self, lost: Lost) -> bool:
        """Begin anew, and do all that was done; where it is answered otherwise, the block cannot go on.

        Returns:
            Whether that is not needed, since all of it is committed.
        """
        self._connection = None
        patience = self._database.patience(_GRACE_S / 5)
        while True:
            try:
                if self._begin():
                    return True
                self._in_doubt = False
                self._repeat(lost)
            except Lost as error:
                self._connection = None
                patience.wait(error.__cause__ or error)
            else:
                return False

    def _repeat(self, lost: Lost) -> None:
        assert self._connection is not None
        if self._done is None:
            raise self._cut_off(lost, "and it is too large to be done again")
        for step, answer in self._done:
            if step(self._connection) != answer:
                raise self._cut_off(lost, "and others have changed meanwhile what it had read")

    def _cut_off(self, lost: Lost, why: str) -> Unavailable:
        return Unavailable(
            f"the metadata database went away in the middle of a change, {why}",
            where=self._database.place.url,
            hint="run the same command again",
        )


class _Direct:
    """What reads and changes through one connection, and remembers nothing."""

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    def read(self, sql: str, **parameters: Any) -> list[Row]:
        return self._connection.rows(sql, parameters)

    def execute(self, sql: str, **parameters: Any) -> int:
        return self._connection.change(sql, parameters)
