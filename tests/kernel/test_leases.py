"""Leases: who owns a running thing, whether the owner lives, and that an old owner is told from a new one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from mlwright.kernel import leases
from mlwright.kernel.clock import boot_id
from mlwright.kernel.database import all_migrations
from mlwright.kernel.errors import Conflict
from mlwright.kernel.leases import Lease, process_start
from mlwright.kernel.sqlite import SqliteDatabase
from tests.processes import start_python, until

RUN = "run 01JD8"


@pytest.fixture
def database() -> Iterator[SqliteDatabase]:
    """A database at the newest schema."""
    opened = SqliteDatabase(":memory:")
    opened.migrate(all_migrations())
    yield opened
    opened.close()


def take(database: SqliteDatabase, subject: str = RUN) -> Lease:
    """Own it."""
    with database.transaction() as tx:
        return leases.take(tx, subject)


def release(database: SqliteDatabase, lease: Lease) -> None:
    """Give it back."""
    with database.transaction() as tx:
        leases.release(tx, lease)


def test_the_owner_is_this_process_and_lives(database: SqliteDatabase) -> None:
    """A lease names host, boot, process and its start."""
    taken = take(database)

    assert leases.owner(database, RUN) == taken
    assert (taken.host, taken.boot, taken.pid) == (socket.gethostname(), boot_id(), os.getpid())
    assert taken.started == process_start(os.getpid()) != ""
    assert taken.alive


def test_nobody_owns_what_was_given_back(database: SqliteDatabase) -> None:
    """Released is free, and other subjects are not touched."""
    taken, other = take(database), take(database, "run other")

    release(database, taken)

    assert leases.owner(database, RUN) is None
    assert leases.owner(database, "run other") == other


def test_every_owner_has_a_larger_token(database: SqliteDatabase) -> None:
    """The fencing token grows with each new owner, after a release too."""
    tokens = []
    for _ in range(3):
        tokens += [take(database).token, take(database).token]
        release(database, take(database))

    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("given_back", [True, False])
def test_an_old_owner_cannot_give_back_what_another_has(database: SqliteDatabase, given_back: bool) -> None:
    """A release with an old token does nothing, even when the subject was free in between."""
    old = take(database)
    if given_back:
        release(database, old)
    new = take(database)

    release(database, old)

    assert leases.owner(database, RUN) == new


def test_a_dead_process_is_no_owner() -> None:
    """Once its process is gone, and while it is a zombie, a lease is not alive."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lease = Lease(RUN, socket.gethostname(), boot_id(), child.pid, process_start(child.pid), 1)
    alive = lease.alive

    child.kill()
    until(lambda: not lease.alive)
    zombie = lease.alive
    child.wait()
    assert child.stdin is not None
    child.stdin.close()

    assert (alive, zombie, lease.alive) == (True, False, False)


def test_a_reused_process_id_is_not_taken_for_the_owner(database: SqliteDatabase) -> None:
    """The same number with another start is another process."""
    taken = take(database)

    assert not replace(taken, started=str(int(taken.started) - 1)).alive


def test_a_process_of_another_boot_is_dead(database: SqliteDatabase) -> None:
    """After a restart of the machine nobody from before can run."""
    assert not replace(take(database), boot="another").alive


def test_a_lease_of_another_host_is_believed(database: SqliteDatabase) -> None:
    """From here it cannot be seen whether its process runs."""
    assert replace(take(database), host="elsewhere", boot="another", pid=1, started="1").alive


def test_a_process_may_have_any_name() -> None:
    """Brackets, blanks and bytes that are no text in a process's name do not hide its start."""
    child = start_python(
        """
        import ctypes
        ctypes.CDLL(None).prctl(15, b"odd) R 1 \\xff")
        print("named", flush=True)
        input()
        """
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "named\n"

    started = process_start(child.pid)
    child.kill()
    child.communicate()

    assert started.isdigit()
    assert int(started) >= int(process_start(os.getpid()))


def test_no_process_has_no_start() -> None:
    """A number that no process has gives an empty text."""
    assert process_start(2**22 + 1) == ""


def test_what_is_held_is_refused_to_others_and_given_back(database: SqliteDatabase) -> None:
    """While a block holds a subject, another one is refused and told by whom; afterwards it is free."""
    with leases.held(database, "collect", "objects are being collected") as mine:
        with (
            pytest.raises(Conflict, match=f"objects are being collected, by process {os.getpid()}"),
            leases.held(database, "collect", "objects are being collected"),
        ):
            pass
        assert leases.living(database) == [mine]

    assert leases.owner(database, "collect") is None
    with pytest.raises(RuntimeError), leases.held(database, "collect", "objects are being collected"):
        raise RuntimeError
    assert leases.owner(database, "collect") is None


def test_what_a_dead_process_held_is_taken_over(database: SqliteDatabase) -> None:
    """An owner that is gone does not keep anybody out, and is no living one."""
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO lease (subject, host, boot, pid, started)"
            " VALUES ('collect', :host, :boot, 1, 'never')",
            host=socket.gethostname(),
            boot=boot_id(),
        )
    before = leases.living(database)

    with leases.held(database, "collect", "objects are being collected") as mine:
        assert leases.owner(database, "collect") == mine

    assert before == []


def test_a_copy_forgets_every_owner(database: SqliteDatabase) -> None:
    """After `forget_all` nobody owns anything, and the next token is still a new one."""
    first = take(database)

    with database.transaction() as tx:
        leases.forget_all(tx)

    assert leases.owner(database, RUN) is None
    assert take(database).token > first.token
