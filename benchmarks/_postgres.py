"""A PostgreSQL of its own for a benchmark, as tests start one; and projects that have their records there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from _filled import fill_ours
from _processes import MLWRIGHT
from _servers import Served, make_project, ours

sys.path.append(str(Path(__file__).resolve().parents[1]))

from tests.postgres import Server

_BARE = """
SELECT run.*, metric.value FROM metric JOIN run ON run.id = metric.run_id
WHERE metric.name = 'm4' AND metric.experiment_id = 0 AND metric.value > 0.1 AND run.deleted_us IS NULL
ORDER BY metric.value DESC LIMIT 100
"""


@contextmanager
def postgres() -> Iterator[Callable[[str], str]]:
    """A server; called with a name, it makes a database and answers with its address."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # the path of a socket is short
    try:
        folder.chmod(0o755)
        server = Server(folder)
        server.start()

        def make(name: str) -> str:
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
            return server.url.replace("/postgres?", f"/{name}?")

        try:
            yield make
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ours_in(url: str, runs: int) -> Iterator[Served]:
    """`mlwright up` with so many runs in a database: they are written into a file, and restored from there.

    Statistics are brought up to date, which a server does by itself within minutes.
    """
    with tempfile.TemporaryDirectory(prefix="mlwright-benchmark-") as name:
        root, backup = Path(name, "project"), Path(name, "backup")
        root.mkdir()
        make_project(root)
        fill_ours(root, runs)
        _do(root, "workspace", "backup", str(backup))
        shutil.rmtree(root / ".mlwright")
        with (root / "pyproject.toml").open("a") as settings:
            settings.write(f'database = "{url}"\n')
        _do(root, "workspace", "restore", str(backup))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")
        with ours(root) as served:
            yield served


@contextmanager
def bare(url: str) -> Iterator[Callable[[], int]]:
    """The best 100 of the runs in a database, by one prepared query without anything around it."""
    with psycopg.connect(url, autocommit=True) as connection:

        def ask() -> int:
            return len(connection.execute(_BARE, prepare=True, binary=True).fetchall())

        yield ask


def _do(root: Path, *arguments: str) -> None:
    done = subprocess.run([MLWRIGHT, *arguments], check=False, cwd=root, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
