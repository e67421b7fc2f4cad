"""Leases: each running thing has one owner, and whoever looks can tell whether that owner lives.

On one host an owner is judged by boot id, process id and the process's start time, so that a reused
process id is not taken for the old owner. A lease of another host is believed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from mlwright.kernel.clock import boot_id
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.errors import Conflict

_SQL = Queries.beside(__file__)


class Lease(Struct, frozen=True):
    """An owner of a subject; `token` is the fencing token, larger for every new owner."""

    subject: str
    host: str
    boot: str
    pid: int
    started: str
    token: int

    @property
    def alive(self) -> bool:
        """Whether the owner can still be running."""
        if self.host != socket.gethostname():
            return True
        return self.boot == boot_id() and process_start(self.pid) == self.started


def process_start(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty when there is none.

    Source: proc_pid_stat(5), field 22; the name in field 2 may hold any bytes, spaces and brackets too.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in {b"Z", b"X"} else fields[19].decode()


def take(tx: Transaction, subject: str) -> Lease:
    """Own `subject` from now on, whoever had it: look with `owner` first, in the same transaction."""
    pid = os.getpid()
    mine = {"host": socket.gethostname(), "boot": boot_id(), "pid": pid, "started": process_start(pid)}
    tx.execute(_SQL["end_lease"], subject=subject)
    token = tx.read(_SQL["take_lease"], subject=subject, **mine)[0]["token"]
    return Lease(subject, mine["host"], mine["boot"], pid, mine["started"], token)  # type: ignore[arg-type]


def owner(database: Database | Transaction, subject: str) -> Lease | None:
    """Who owns `subject`, alive or not."""
    rows = database.read(_SQL["lease_of"], subject=subject)
    return Lease(**rows[0]) if rows else None


def owners(source: Source) -> dict[str, Lease]:
    """Who owns what, by subject, alive or not."""
    return {row["subject"]: Lease(**row) for row in source.read(_SQL["all_leases"])}


def living(source: Source) -> list[Lease]:
    """The leases whose owners can still be running."""
    return [lease for lease in owners(source).values() if lease.alive]


def forget_all(tx: Transaction) -> None:
    """Let nobody own anything: for a copy of records, which no process of the original works on."""
    tx.execute(_SQL["end_all_leases"])


@contextmanager
def held(database: Database, subject: str, doing: str) -> Iterator[Lease]:
    """Own `subject` while the block runs; the lease of an owner that is gone is taken over.

    Args:
        doing: what an owner does, as the message of a conflict begins: `the workspace is being backed up`.

    Raises:
        Conflict: its owner lives.
    """
    with database.transaction() as tx:
        before = owner(tx, subject)
        if before is not None and before.alive:
            raise Conflict(
                f"{doing}, by process {before.pid} on {before.host}",
                hint="wait until it has ended, then try again",
            )
        mine = take(tx, subject)
    try:
        yield mine
    finally:
        with database.transaction() as tx:
            release(tx, mine)


def release(tx: Transaction, lease: Lease) -> None:
    """Give a lease back; nothing happens when another owner has it by now."""
    tx.execute(_SQL["release_lease"], subject=lease.subject, token=lease.token)
