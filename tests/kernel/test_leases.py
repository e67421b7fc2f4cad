"""Leases: who owns a running thing, whether the owner lives, and that an old owner is told from a new one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlwright.app import Project
from mlwright.kernel import leases
from mlwright.kernel.clock import awake_us, boot_id
from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.errors import Conflict
from mlwright.kernel.leases import Lease, process_space, process_start
from mlwright.kernel.sqlite import SqliteDatabase
from tests.postgres import open_database, postgres
from tests.processes import command, environment, start_python, until

__all__ = ["postgres"]

RUN = "run 01JD8"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database at the newest schema."""
    if request.param == "postgres":
        opened: Database = open_database(request.getfixturevalue("postgres").lend())
    else:
        opened = SqliteDatabase(":memory:")
        opened.migrate(all_migrations())
    yield opened
    opened.close()


def alive(database: Database, lease: Lease) -> bool:
    """Whether its owner counts as living, by what is recorded."""
    now = leases.owner(database, lease.subject)
    assert now is not None
    return now.alive


def take(database: Database, subject: str = RUN) -> Lease:
    """Own it."""
    with database.transaction() as tx:
        return leases.take(tx, subject)


def release(database: Database, lease: Lease) -> None:
    """Give it back."""
    with database.transaction() as tx:
        leases.release(tx, lease)


def test_the_owner_is_this_process_and_lives(database: Database) -> None:
    """A lease names host, boot, process and its start."""
    taken = take(database)

    assert leases.owner(database, RUN) == taken
    assert (taken.host, taken.boot, taken.pid) == (socket.gethostname(), boot_id(), os.getpid())
    assert taken.started == process_start(os.getpid()) != ""
    assert taken.here and taken.alive


def test_nobody_owns_what_was_given_back(database: Database) -> None:
    """Released is free, and other subjects are not touched."""
    taken, other = take(database), take(database, "run other")

    release(database, taken)

    assert leases.owner(database, RUN) is None
    assert leases.owner(database, "run other") == other


def test_every_owner_has_a_larger_token(database: Database) -> None:
    """The fencing token grows with each new owner, after a release too."""
    tokens = []
    for _ in range(3):
        tokens += [take(database).token, take(database).token]
        release(database, take(database))

    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("given_back", [True, False])
def test_an_old_owner_cannot_give_back_what_another_has(database: Database, given_back: bool) -> None:
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
    lease = Lease(
        RUN,
        "any",
        boot_id(),
        child.pid,
        process_start(child.pid),
        1,
        process_space(),
        awake_us(),
        expired=True,
    )
    alive = lease.alive

    child.kill()
    until(lambda: not lease.alive)
    zombie = lease.alive
    child.wait()
    assert child.stdin is not None
    child.stdin.close()

    assert (alive, zombie, lease.alive) == (True, False, False)


def test_a_reused_process_id_is_not_taken_for_the_owner(database: Database) -> None:
    """The same number with another start is another process."""
    taken = take(database)

    assert not replace(taken, started=str(int(taken.started) - 1)).alive


@pytest.mark.parametrize("place", [{"boot": "of another machine"}, {"space": "of another container"}])
def test_an_owner_that_cannot_be_looked_at_is_believed_as_long_as_it_is_heard(
    database: Database, place: dict[str, str]
) -> None:
    """Whatever process has its number here, and whatever its host is called; after two minutes it is dead."""
    taken = take(database)
    where = ", ".join(f"{name} = :{name}" for name in place)
    with database.transaction() as tx:
        tx.execute(f"UPDATE lease SET {where}, pid = 1, started = 'never'", **place)

    seen = [alive(database, taken)]
    for late_s in (100, 19, 2):
        with database.transaction() as tx:
            tx.execute(
                "UPDATE lease SET beat_us = beat_us - :late, awake_us = awake_us - :late", late=late_s * 10**6
            )
        seen.append(alive(database, taken))
    with database.transaction() as tx:
        leases.beat(tx, taken)
    seen.append(alive(database, taken))

    assert seen == [True, True, True, False, True]


def test_in_another_container_of_a_machine_its_own_clock_counts(database: Database) -> None:
    """A clock that was put forward ends nothing there, as it would for an owner on another machine."""
    taken = take(database)
    with database.transaction() as tx:
        tx.execute("UPDATE lease SET beat_us = 0, space = 'another'")
    beside = alive(database, taken)
    with database.transaction() as tx:
        tx.execute("UPDATE lease SET boot = 'another'")

    assert (beside, alive(database, taken)) == (True, False)


def test_only_the_owner_is_heard(database: Database) -> None:
    """The heartbeat of one that has lost its lease changes nothing."""
    old = take(database)
    new = take(database)
    with database.transaction() as tx:
        heard = leases.beat(tx, old)

    assert not heard
    assert leases.owner(database, RUN) == new


def test_who_holds_something_is_heard_meanwhile(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a block takes and whatever it does."""
    monkeypatch.setattr(leases, "BEAT_S", 0.01)

    def beat_us() -> int:
        return int(database.read("SELECT beat_us FROM lease")[0]["beat_us"])

    with leases.held(database, "collect", "objects are being collected"):
        first = beat_us()
        until(lambda: beat_us() > first)

    assert leases.owner(database, "collect") is None
    assert not [each for each in threading.enumerate() if each.name == "mlwright-lease"]


APART = """
    import sys
    from pathlib import Path
    from mlwright.app import Project
    from mlwright.tracking import RunState

    with Project.open(Path(sys.argv[1])) as project:
        (theirs,) = project.runs.list()
        with project.rooms.database.transaction() as tx:
            run, _ = project.runs.begin(tx, project="p", pipeline="p", seed=0, parameters={}, pins={})
        print(theirs.state, run.id, flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_two_containers_with_one_name_do_not_bury_each_others_runs(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Each sees the other's run go on, though no such process is there; and lost, once it is silent."""
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces of process ids can be made here")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\nversion = "0"\n[tool.mlwright]\n')
    if engine == "postgres":
        with (tmp_path / "pyproject.toml").open("a") as settings:
            settings.write(f'database = "{request.getfixturevalue("postgres").make(schema=False)}"\n')
    with Project.open(tmp_path) as project:
        database = project.rooms.database
        with database.transaction() as tx:
            mine, _ = project.runs.begin(tx, project="p", pipeline="p", seed=0, parameters={}, pins={})
        other = subprocess.Popen(
            [*apart, *command(APART, tmp_path)],
            env=environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None
        seen, theirs = other.stdout.readline().split()

        states = [seen, project.runs.get(theirs).state.value]
        other.kill()
        other.communicate()
        states.append(project.runs.get(theirs).state.value)
        with database.transaction() as tx:
            tx.execute(
                "UPDATE lease SET awake_us = awake_us - 120000000 WHERE subject = :it", it=f"run {theirs}"
            )
        states.append(project.runs.get(theirs).state.value)

        assert states == ["running", "running", "running", "lost"]
        assert project.runs.get(mine.id).state.value == "running"


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


def test_what_is_held_is_refused_to_others_and_given_back(database: Database) -> None:
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


def test_what_a_dead_process_held_is_taken_over(database: Database) -> None:
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


def test_who_lost_what_it_held_is_told_at_the_end(database: Database) -> None:
    """A block whose subject another took meanwhile does not end well; its own error is told before that."""
    with (
        pytest.raises(Conflict, match=f"`collect` was taken over by process {os.getpid()}"),
        leases.held(database, "collect", "objects are being collected") as mine,
    ):
        leases.refuse_taken(database, mine)
        other = take(database, "collect")
        with pytest.raises(Conflict, match="taken over"):
            leases.refuse_taken(database, mine)
    after = leases.owner(database, "collect")
    release(database, other)

    assert after == other
    with pytest.raises(RuntimeError), leases.held(database, "collect", "objects are being collected"):
        release(database, take(database, "collect"))
        raise RuntimeError


def test_nobody_is_heard_for_what_another_has(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a heartbeat is refused no more are sent, however long the block still takes."""
    monkeypatch.setattr(leases, "BEAT_S", 0.01)

    def keepers() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "mlwright-lease"]

    with leases.kept(database, take(database)):
        before = len(keepers())
        take(database)
        until(lambda: not keepers())

    assert before == 1


def test_a_copy_forgets_every_owner(database: Database) -> None:
    """After `forget_all` nobody owns anything, and the next token is still a new one."""
    first = take(database)

    with database.transaction() as tx:
        leases.forget_all(tx)

    assert leases.owner(database, RUN) is None
    assert take(database).token > first.token
