"""One connection to PostgreSQL: values as SQLite gives them, failures in our words."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg import errors, pq
from psycopg.adapt import AdaptersMap, Dumper, Loader
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8BinaryDumper, NumericBinaryLoader

from mlwright.kernel.database import Query
from mlwright.kernel.dialect import placed
from mlwright.kernel.errors import (
    Conflict,
    Corrupt,
    DiskFull,
    Incompatible,
    Invalid,
    MlwrightError,
    Unavailable,
)
from mlwright.kernel.postgres_place import PostgresPlace

OLDEST = 150_000
"""The oldest server that is spoken to: 15."""
FIRST_S, PATIENCE_S = 10.0, 60.0
"""How long a server is waited for that has not answered yet, and one that has."""
BUSY_S = 30
"""How long a transaction waits for another one to end."""
_PAUSE_S = 0.02
_FOREIGN_S = 15
"""After so long without a word from whoever writes, the server lets others write, who still wait."""

_GONE = ("08", "57P01", "57P02", "57P03", "57P05", "25P03", "53300")
"""States that say: this connection, or this moment, was the wrong one. The same again may work."""
_HOPELESS = (
    "authentication failed",
    "does not exist",
    "no password",
    "pg_hba.conf",
    "invalid",
    "not supported",
)

_USUAL: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "mlwright",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
"""What libpq is told where the address says nothing: one that vanishes is noticed in half a minute."""

_SETTINGS = f"""
SET synchronous_commit = on; SET lock_timeout = '{BUSY_S}s'; SET statement_timeout = 0; SET TimeZone = 'UTC';
SET client_min_messages = warning; SET standard_conforming_strings = on; SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
"""

Row = dict[str, Any]
T = TypeVar("T")


class Lost(Exception):
    """The connection is gone, and nobody knows what became of what was asked last."""


class _TruthDumper(Dumper):
    """True and false are 1 and 0, as in SQLite."""

    format = pq.Format.BINARY
    oid = psycopg.postgres.types["int8"].oid

    def dump(self, obj: bool) -> bytes:
        return int(obj).to_bytes(8, "big")


class _TruthLoader(Loader):
    """True and false are 1 and 0."""

    format = pq.Format.BINARY

    def load(self, data: Any) -> int:
        return int(bytes(data) != b"\x00")


class _SumLoader(NumericBinaryLoader):
    """What counts without a limit: sums of integers are integers."""

    def load(self, data: Any) -> Any:
        number = super().load(data)
        return int(number) if number.is_finite() and number == number.to_integral_value() else float(number)


def _adapt(adapters: AdaptersMap) -> None:
    """Values as SQLite has them; every integer has 64 bits, so that a query is prepared once."""
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(bool, _TruthDumper)
    adapters.register_loader("bool", _TruthLoader)
    adapters.register_loader("numeric", _SumLoader)


class Patience:
    """Growing pauses between tries, and an end to them."""

    def __init__(self, limit_s: float, place: PostgresPlace, longest_s: float) -> None:
        self._until = time.monotonic() + limit_s
        self._pause_s, self._longest_s = _PAUSE_S, longest_s
        self._place = place

    def wait(self, error: BaseException) -> None:
        """Wait a little, each time longer.

        Raises:
            Unavailable: it was long enough.
        """
        if time.monotonic() + self._pause_s > self._until:
            raise unreachable(error, self._place) from error
        time.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - so that not all come at once
        self._pause_s = min(2 * self._pause_s, self._longest_s)


class PostgresConnection:
    """One connection, used by one thread at a time.

    Args:
        place: where to.
        reading: it reads only; what it keeps open may stay so.

    Raises:
        Lost: nobody answers there now.
        Unavailable: whoever answers does not let us in.
        Incompatible: the server is too old, or holds text in another encoding.
    """

    def __init__(self, place: PostgresPlace, *, reading: bool) -> None:
        self._place = place
        options = {name: value for name, value in _USUAL.items() if name not in place.options}
        if (secret := place.secret()) is not None:
            options["password"] = secret
        try:
            self._connection = psycopg.connect(
                place.url,
                autocommit=True,
                cursor_factory=psycopg.RawCursor,
                row_factory=dict_row,
                **options,
            )
        except psycopg.OperationalError as error:
            if any(word in str(error) for word in _HOPELESS):
                raise unreachable(error, place) from None
            raise Lost(_told(error)) from error
        except psycopg.ProgrammingError as error:  # what libpq cannot read
            raise Invalid(f"the setting `database` is no address: {error}", where=place.url) from None
        try:
            self._greet(reading)
        except BaseException:
            self._connection.close()
            raise

    def _greet(self, reading: bool) -> None:
        info = self._connection.info
        if info.server_version < OLDEST:
            raise Incompatible(
                f"PostgreSQL {info.server_version // 10_000} is too old",
                where=self._place.url,
                hint=f"{OLDEST // 10_000} is the oldest that will do",
            )
        if (encoding := info.parameter_status("server_encoding")) != "UTF8":
            raise Incompatible(
                f"the database holds text as {encoding}",
                where=self._place.url,
                hint="make one with ENCODING 'UTF8' TEMPLATE template0",
            )
        self._connection.prepare_threshold = 2
        self._connection.prepared_max = 256
        _adapt(self._connection.adapters)
        self._cursor = self._connection.cursor(binary=True)
        idle_s = 0 if reading else _FOREIGN_S
        told = f"SET idle_in_transaction_session_timeout = '{idle_s}s';"
        self.run(f"{_SETTINGS}{told}{' SET default_transaction_read_only = on;' if reading else ''}")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and not ended, as far as is known here."""
        return self._connection.info.transaction_status in {
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
        }

    @property
    def broken_off(self) -> bool:
        """Whether something is under way still that nobody waits for: it can be asked nothing more."""
        return self._connection.info.transaction_status not in {
            pq.TransactionStatus.IDLE,
            pq.TransactionStatus.INTRANS,
            pq.TransactionStatus.INERROR,
        }

    @property
    def failed(self) -> bool:
        """Whether a statement of the transaction has failed: the server would roll back what is committed."""
        return self._connection.info.transaction_status == pq.TransactionStatus.INERROR

    def rows(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        """Rows of a query, as dictionaries by column name."""
        text, names = _placed(sql)
        with _Said(self):
            self._cursor.execute(text, [parameters[name] for name in names])
            return self._cursor.fetchall() if self._cursor.description is not None else []

    def change(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """Change rows; how many changed."""
        text, names = _placed(sql)
        with _Said(self):
            self._cursor.execute(text, [parameters[name] for name in names])
            return max(0, self._cursor.rowcount)

    def change_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run one statement for each row of parameters."""
        text, names = _placed(sql)
        with _Said(self):
            self._cursor.executemany(text, [[row[name] for name in names] for row in rows])

    def run(self, script: str) -> list[Row]:
        """Run statements that have no parameters, in one message; the rows of the last."""
        with _Said(self):
            cursor = self._connection.execute(script, binary=False)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description is not None else []

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The library's own, for what only it can do."""
        return self._connection

    def said(self) -> _Said:
        """Within, failures are told in our words."""
        return _Said(self)

    def raise_said(self, error: psycopg.Error) -> None:
        """Raise a failure in our words; returns when it is a mistake of ours, which has none."""
        state = error.sqlstate or ""
        if self._connection.closed or state.startswith(_GONE):
            self.close()
            raise Lost(_told(error)) from error
        if (named := _in_our_words(error, state, self._place)) is not None:
            raise named from error

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()


class _Said:
    """What fails within is raised as `Lost`, as one of our errors or, being our mistake, as it is."""

    __slots__ = ("_connection",)

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        match error:
            case psycopg.Error():
                self._connection.raise_said(error)
            case UnicodeEncodeError():
                raise Invalid("PostgreSQL holds no text with half a surrogate pair") from error
            case OverflowError():
                raise Invalid("PostgreSQL holds no integer beyond 64 bits") from error


@lru_cache(maxsize=2048)
def _cached(sql: str) -> tuple[str, tuple[str, ...]]:
    return placed(sql)


def _placed(sql: str) -> tuple[Any, tuple[str, ...]]:
    return _cached(sql.postgres if isinstance(sql, Query) else sql)


def _in_our_words(error: psycopg.Error, state: str, place: PostgresPlace) -> MlwrightError | None:
    where = place.url
    match error:
        case psycopg.DataError() if not state and "NUL" in str(error):
            return Invalid("PostgreSQL holds no text with the character NUL")
        case psycopg.IntegrityError() | psycopg.DataError():
            return Conflict(f"the record contradicts one that is there: {_told(error)}", where=where)
        case errors.LockNotAvailable():
            return Conflict(
                f"another process has been writing to the workspace for {BUSY_S} s",
                where=where,
                hint="wait for it to finish, then try again",
            )
        case errors.DiskFull():
            return DiskFull(
                "the disk of the database server is full",
                where=where,
                hint="free some space there, then run the same command again: nothing half-written was kept",
            )
        case errors.ProgramLimitExceeded():
            return Invalid(f"PostgreSQL cannot hold it: {_told(error)}", where=where)
        case errors.InsufficientPrivilege() | errors.ReadOnlySqlTransaction():
            return Unavailable(
                f"the database does not let us write: {_told(error)}",
                where=where,
                hint="the user needs CREATE in the schema, on a server that is no stand-by",
            )
    if state in {"XX001", "XX002"}:
        return Corrupt(
            f"the metadata database is damaged: {_told(error)}",
            where=where,
            hint="bring a backup back: mlwright workspace restore BACKUP",
        )
    return None


def unreachable(error: BaseException, place: PostgresPlace) -> Unavailable:
    """The one message for a server that cannot be had."""
    return Unavailable(
        f"the metadata database cannot be reached: {_told(error)}",
        where=place.url,
        hint="look whether PostgreSQL runs there and lets this user in: psql with the same address",
    )


def _told(error: BaseException) -> str:
    """The first line of what was said."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
