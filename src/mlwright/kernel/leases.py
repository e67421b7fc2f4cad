"""Leases: each running thing has one owner, and whoever looks can tell whether that owner lives.

An owner whose process can be looked at from here is judged by its process id and start, so that a reused id
is not taken for the old owner: one of this boot of this machine, in this namespace of process ids. A host's
name says neither: two machines may have the same, and a container gets a new one each time.

Any other owner is judged by its heartbeat, which it writes every ten seconds: on the same machine, in another
container, by the clock of its kernel; on another one by the clock of the database. One that was not heard of
for two minutes has lost what it owned: that is longer than a database server may stay away.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from mlwright.kernel.clock import awake_us, boot_id
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.errors import Conflict, MlwrightError

_SQL = Queries.beside(__file__)
BEAT_S = 10.0
"""How often an owner says that it lives."""
EXPIRES_US = 120_000_000
"""After so long without a word an owner is taken for dead by who cannot look at it."""


class Lease(Struct, frozen=True):
    """An owner of a subject.

    Args:
        host: the name of its machine, for people.
        boot: names the boot of that machine: no other machine has it, and no other boot.
        space: the namespace of process ids in which `pid` is one.
        token: the fencing token, larger for every new owner.
        awake_us: when it was heard of last, by the clock of its kernel.
        expired: by the clock of the database that is too long ago.
    """

    subject: str
    host: str
    boot: str
    pid: int
    started: str
    token: int
    space: str
    awake_us: int
    expired: bool = False

    @property
    def here(self) -> bool:
        """Whether its process can be looked at from this one."""
        return self.boot == boot_id() and self.space == process_space()

    @property
    def alive(self) -> bool:
        """Whether the owner can still be running."""
        if self.here:
            return process_start(self.pid) == self.started
        if self.boot == boot_id():
            return awake_us() - self.awake_us < EXPIRES_US
        return not self.expired


@cache
def process_space() -> str:
    """The namespace of this process's id: each container has its own. Source: pid_namespaces(7)."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return f"unknown of {socket.gethostname()}"


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
    mine = Lease(
        subject, socket.gethostname(), boot_id(), pid, process_start(pid), 0, process_space(), awake_us()
    )
    tx.execute(_SQL["end_lease"], subject=subject)
    given = {name: value for name, value in asdict(mine).items() if name not in {"token", "expired"}}
    return replace(mine, token=tx.read(_SQL["take_lease"], **given)[0]["token"])


def beat(tx: Transaction, lease: Lease) -> bool:
    """Say that its owner lives; whether it still is the owner."""
    return bool(tx.execute(_SQL["beat"], subject=lease.subject, token=lease.token, awake_us=awake_us()))


def owner(database: Source, subject: str) -> Lease | None:
    """Who owns `subject`, alive or not."""
    rows = database.read(_SQL["lease_of"], subject=subject, expires_us=EXPIRES_US)
    return _lease(rows[0]) if rows else None


def owners(source: Source) -> dict[str, Lease]:
    """Who owns what, by subject, alive or not."""
    return {row["subject"]: _lease(row) for row in source.read(_SQL["all_leases"], expires_us=EXPIRES_US)}


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
        with kept(database, mine):
            yield mine
    finally:
        with database.transaction() as tx:
            release(tx, mine)


@contextmanager
def kept(database: Database, lease: Lease) -> Iterator[None]:
    """Say every now and then that the owner of a lease lives, while the block runs."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(database, lease, over), name="mlwright-lease", daemon=True)
    try:
        keeper.start()
        yield
    finally:
        over.set()
        if keeper.ident is not None:
            keeper.join()


def release(tx: Transaction, lease: Lease) -> bool:
    """Give a lease back; whether it was still its owner's. Nothing happens when another has it by now."""
    return bool(tx.execute(_SQL["release_lease"], subject=lease.subject, token=lease.token))


def _keep(database: Database, lease: Lease, over: threading.Event) -> None:
    """Say every now and then that the owner lives, whatever it does meanwhile."""
    while not over.wait(BEAT_S):
        with suppress(MlwrightError), database.transaction() as tx:  # the next one may be heard
            beat(tx, lease)


def _lease(row: dict[str, Any]) -> Lease:
    return Lease(**{**row, "expired": bool(row["expired"])})
