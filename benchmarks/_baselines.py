"""What the same work costs at the least, each in a process of its own: `_baselines.py NAME COUNT`.

It works in the folder it is started in, and prints the seconds that the work itself took. Imports stand in
the functions: a process costs what its own work needs.
"""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False  # what a type checker takes for true; `typing` would double the least process
if TYPE_CHECKING:
    from collections.abc import Callable

    from apsw import Connection

_ROW = "INSERT INTO attempts VALUES (?, ?)"


def one(x: int) -> int:
    return x + 1


def calls(count: int) -> float:
    """Plain calls of the step's function."""
    began = time.perf_counter()
    x = 0
    for _ in range(count):
        x = one(x)
    return time.perf_counter() - began


def pool(count: int) -> float:
    """A task for each element in two forked processes, one by one, and the sum; the pool is made for it."""
    import multiprocessing

    began = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(2) as workers:
        total = sum(workers.map(one, range(count), chunksize=1))
    seconds = time.perf_counter() - began
    assert total == count * (count + 1) // 2
    return seconds


def commits(count: int) -> float:
    """A durable transaction of one row for each step: write-ahead log, synchronous = FULL."""
    database = _database()
    began = time.perf_counter()
    for number in range(count):
        database.execute("BEGIN IMMEDIATE")
        database.execute(_ROW, (f"{number:064}", b"x" * 200))
        database.execute("COMMIT")
    return time.perf_counter() - began


def lookups(count: int) -> float:
    """A look-up through an index for each step, then one durable transaction with a row for each."""
    database = _database()
    database.execute("BEGIN")
    for number in range(count):
        database.execute(_ROW, (f"{number:064}", b"x" * 200))
    database.execute("COMMIT")
    began = time.perf_counter()
    found = [
        database.execute("SELECT row FROM attempts WHERE id = ?", (f"{number:064}",)).fetchall()
        for number in range(count)
    ]
    database.execute("BEGIN IMMEDIATE")
    for number, rows in enumerate(found):
        database.execute(_ROW, (f"again {number:058}", rows[0][0]))
    database.execute("COMMIT")
    return time.perf_counter() - began


def write_and_hash(mebibytes: int) -> float:
    """Random bytes written to a file once, flushed to the disk, and hashed once on every core, mapped."""
    import os
    import random
    from pathlib import Path

    from blake3 import blake3

    # In place, so that no memory is let go of before it is written: on a virtual machine the page cache takes
    # several times longer for pages that nobody had before.
    data = bytearray(mebibytes * 2**20)
    for at in range(0, len(data), 2**20):
        data[at : at + 2**20] = random.randbytes(2**20)
    path = Path("written.bin")
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
    return time.perf_counter() - began


def _database() -> Connection:
    import apsw

    connection = apsw.Connection("baseline.db")
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE attempts (id TEXT PRIMARY KEY, row BLOB) STRICT")
    return connection


KINDS: dict[str, Callable[[int], float]] = {
    each.__name__: each for each in (calls, pool, commits, lookups, write_and_hash)
}

if __name__ == "__main__":
    print(KINDS[sys.argv[1]](int(sys.argv[2])))
