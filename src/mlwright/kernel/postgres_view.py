"""A look at one moment of a PostgreSQL database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlwright.kernel.postgres_connection import Lost, PostgresConnection, Row

if TYPE_CHECKING:
    from mlwright.kernel.postgres import PostgresDatabase

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresView:
    """Reads of one moment, through a connection of its own; after a restart of the server, of a new one."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._connection: PostgresConnection | None = None

    def read(self, sql: str, **parameters: Any) -> list[Row]:
        """Rows of a query; the first read after a renewal sets the moment."""
        patience = self._database.patience()
        while True:
            fresh = self._connection is None
            try:
                self._connection = self._connection or self._database.connect(reading=True)
                if not self._connection.in_transaction:
                    self._connection.run(_BEGIN)
                return self._connection.rows(sql, parameters)
            except Lost as error:
                self._connection = None
                if fresh:
                    patience.wait(error.__cause__ or error)
            except BaseException:
                if self._connection is not None and self._connection.broken_off:
                    self.close()
                raise

    def renew(self) -> None:
        """Let go of the moment."""
        if self._connection is not None and self._connection.in_transaction:
            with suppress(Lost):
                self._connection.run("COMMIT")
                return
            self._connection = None

    def close(self) -> None:
        """Let go of the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
