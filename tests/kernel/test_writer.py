"""The writer: order, durability, one bad change among good ones, a process that is killed, many threads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.errors import Busy, Conflict, DiskFull, FateUnknown
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.kernel.writer import Writer
from tests.processes import run_python, start_python, until

ADD = "INSERT INTO thing (number) VALUES (:number)"
NUMBERS = "SELECT number FROM thing ORDER BY rowid"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one table."""
    made = SqliteDatabase(tmp_path / "metadata.db")
    with made.transaction() as tx:
        tx.execute("CREATE TABLE thing (number INTEGER UNIQUE) STRICT")
    made.close()
    return tmp_path / "metadata.db"


@pytest.fixture
def database(path: Path) -> Iterator[SqliteDatabase]:
    """The database that the writer writes to."""
    opened = SqliteDatabase(path)
    yield opened
    opened.close()


def add(number: int) -> Callable[[Transaction], object]:
    """The change that adds a number."""
    return lambda tx: tx.execute(ADD, number=number)


def numbers(database: Database) -> list[int]:
    """What was added, in the order it was."""
    return [row["number"] for row in database.read(NUMBERS)]


def elsewhere(path: Path) -> list[int]:
    """What a process of its own reads."""
    code = f"""
        import sys
        from pathlib import Path
        from mlwright.kernel.sqlite import SqliteDatabase

        for row in SqliteDatabase(Path(sys.argv[1])).read({NUMBERS!r}):
            print(row["number"])
    """
    return [int(line) for line in run_python(code, path).stdout.split()]


class Held:
    """A change that waits inside of its transaction until it is let go; what comes meanwhile is one batch."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def __call__(self, tx: Transaction) -> None:
        self.inside.set()
        assert self.go.wait(30)


def hold(writer: Writer) -> Held:
    """Keep the writer busy with its first change."""
    held = Held()
    writer.write(held)
    assert held.inside.wait(30)
    return held


def test_what_is_flushed_is_durable_and_in_order(database: SqliteDatabase, path: Path) -> None:
    """After a flush, another process reads every change, in the order they were written."""
    writer = Writer(database)

    told = [writer.write(add(number)) for number in range(500)]
    writer.flush()

    assert elsewhere(path) == list(range(500))
    assert told == list(range(1, 501))
    assert writer.written == writer.durable == 500
    writer.close()


def test_what_waits_is_one_transaction(database: SqliteDatabase) -> None:
    """What arrives while a batch is written becomes visible at once, as one; nothing is counted before."""
    writer = Writer(database)
    held = hold(writer)
    seen = []
    for number in range(3):
        writer.write(add(number))
    writer.write(lambda tx: seen.append(numbers(database)))
    before = (writer.written, writer.durable)

    held.go.set()
    writer.flush()

    assert before == (5, 0)
    assert seen == [[]]
    assert numbers(database) == [0, 1, 2]
    assert writer.durable == 5
    writer.close()


def test_the_counters_tell_without_waiting(database: SqliteDatabase) -> None:
    """A change is on disk when as many are durable as its number says."""
    writer = Writer(database)
    number = writer.write(add(7))

    until(lambda: writer.durable >= number)

    assert numbers(database) == [7]
    writer.close()


def test_a_change_that_fails_fails_alone_and_is_told(database: SqliteDatabase) -> None:
    """Of a batch with one bad change, what stands before it is kept and nothing after it is written."""
    writer = Writer(database)
    held = hold(writer)
    for number in (1, 2, 2, 3):
        writer.write(add(number))
    held.go.set()

    for refuse in (writer.flush, lambda: writer.write(add(4)), writer.flush, writer.close, writer.close):
        with pytest.raises(Conflict, match="contradicts"):
            refuse()

    assert numbers(database) == [1, 2]
    assert (writer.durable, writer.written) == (3, 5)


def test_half_a_change_is_not_kept(database: SqliteDatabase) -> None:
    """What a change did before it raised is undone, and the error is the one that it raised."""
    writer = Writer(database)

    def half(tx: Transaction) -> None:
        tx.execute(ADD, number=1)
        raise LookupError("halfway")

    writer.write(half)

    with pytest.raises(LookupError, match="halfway"):
        writer.close()
    assert numbers(database) == []


def test_a_kill_leaves_a_prefix(path: Path) -> None:
    """`kill -9` while changes of two rows are written leaves the first so many of them, each whole."""
    code = """
        import sys
        from pathlib import Path
        from mlwright.kernel.sqlite import SqliteDatabase
        from mlwright.kernel.writer import Writer

        def pair(number):
            def change(tx):
                tx.execute("INSERT INTO thing (number) VALUES (:number)", number=2 * number)
                tx.execute("INSERT INTO thing (number) VALUES (:number)", number=2 * number + 1)
            return change

        writer = Writer(SqliteDatabase(Path(sys.argv[1])))
        number = told = 0
        while True:
            writer.write(pair(number))
            number += 1
            if writer.durable > told + 100:
                told = writer.durable
                print(told, flush=True)
    """
    killed = start_python(code, path)
    assert killed.stdout is not None
    told = [int(killed.stdout.readline()) for _ in range(3)][-1]

    killed.kill()
    told = int(([told, *killed.communicate()[0].split()])[-1])

    assert killed.returncode == -signal.SIGKILL
    left = elsewhere(path)
    assert left == list(range(len(left)))
    assert len(left) % 2 == 0
    assert len(left) >= 2 * told


def test_many_threads_write_and_flush(database: SqliteDatabase) -> None:
    """Each thread's changes keep their order, and each finds its own on disk after its flush."""
    writer = Writer(database)
    missed: list[int] = []

    def work(first: int) -> None:
        for number in range(first, first + 200):
            writer.write(add(number))
            if number % 50 == 49:
                writer.flush()
                there = {each for each in numbers(database) if first <= each <= number}
                missed.extend(set(range(first, number + 1)) - there)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 1000, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()

    assert missed == []
    found = numbers(database)
    for first in range(0, 1000, 200):
        assert [each for each in found if first <= each < first + 200] == list(range(first, first + 200))


def test_a_writer_that_is_behind_is_waited_for(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too many changes wait, the next one is taken when there is room, and none is lost."""
    monkeypatch.setattr("mlwright.kernel.writer._MOST_WAITING", 10)
    writer = Writer(database)
    held = hold(writer)

    def produce() -> None:
        for number in range(100):
            writer.write(add(number))

    producer = threading.Thread(target=produce)
    producer.start()
    until(lambda: writer.written == 11)
    producer.join(0.05)
    stood = (producer.is_alive(), writer.written)
    held.go.set()
    producer.join(30)
    writer.close()

    assert stood == (True, 11)
    assert numbers(database) == list(range(100))


@pytest.mark.parametrize("waits", ["write", "flush"])
def test_whoever_waits_hears_of_a_failure(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    """A failure ends the wait for room and the wait for the disk, with the error."""
    monkeypatch.setattr("mlwright.kernel.writer._MOST_WAITING", 2)
    writer = Writer(database)
    held = hold(writer)
    writer.write(add(1))
    writer.write(add(1))
    heard: list[Exception] = []

    def wait() -> None:
        try:
            while waits == "write":
                writer.write(add(2))
            writer.flush()
        except Conflict as error:
            heard.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    held.go.set()
    waiting.join(30)

    assert len(heard) == 1
    with pytest.raises(Conflict):
        writer.close()


def test_an_interrupted_flush_leaves_the_writer_sound(path: Path) -> None:
    """Ctrl-C during a flush is raised there; the writer goes on, takes more, and closes with all on disk."""
    code = """
        import os, signal, sys, threading
        from pathlib import Path
        from mlwright.kernel.sqlite import SqliteDatabase
        from mlwright.kernel.writer import Writer

        def add(number):
            return lambda tx: tx.execute("INSERT INTO thing (number) VALUES (:number)", number=number)

        go = threading.Event()
        writer = Writer(SqliteDatabase(Path(sys.argv[1])))
        writer.write(lambda tx: go.wait(30))
        writer.write(add(0))
        try:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            writer.flush()
        except KeyboardInterrupt:
            print("interrupted")
        writer.write(add(1))
        go.set()
        writer.flush()
        writer.write(add(2))
        writer.close()
        print(writer.durable)
    """

    done = run_python(code, path)

    assert done.stdout == "interrupted\n4\n", done.stderr
    assert elsewhere(path) == [0, 1, 2]


def test_another_process_that_writes_is_waited_for(database: SqliteDatabase, path: Path) -> None:
    """While another connection is inside a transaction, changes wait; then they are written."""
    writer, other = Writer(database), SqliteDatabase(path)

    with other.transaction() as tx:
        writer.write(add(2))
        writer.write(add(3))
        tx.execute(ADD, number=1)
        before = writer.durable
    writer.flush()

    assert before == 0
    assert numbers(database) == [1, 2, 3]
    writer.close()
    other.close()


def test_a_busy_database_is_said_after_the_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the other does not end in time, the writer says so, and what it counted is there."""
    monkeypatch.setattr("mlwright.kernel.sqlite._BUSY_MS", 50)
    database, other = SqliteDatabase(path), SqliteDatabase(path)
    writer = Writer(database)
    writer.write(add(1))
    writer.flush()

    with other.transaction():
        writer.write(add(2))
        with pytest.raises(Busy, match="another process has been writing"):
            writer.flush()

    assert writer.durable == 1
    assert numbers(database) == [1]
    other.close()
    database.close()


def test_closing_ends_the_thread_and_is_done_once(database: SqliteDatabase) -> None:
    """Close writes what waits and ends the thread; again, or without a single change, it does nothing."""
    threads = threading.active_count()
    writer, unused = Writer(database), Writer(database)
    lazy = threading.active_count() - threads
    writer.write(add(1))

    for each in (writer, writer, unused, unused):
        each.close()

    assert lazy == 0
    assert threading.active_count() == threads
    assert numbers(database) == [1]
    with pytest.raises(AssertionError):
        writer.write(add(2))


class Pulses:
    """A pulse that counts, and raises what it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.count = 0
        self._errors = list(errors)

    def __call__(self, tx: Transaction) -> None:
        self.count += 1
        if self._errors:
            raise self._errors.pop(0)


def test_a_pulse_goes_on_while_nothing_is_written(database: SqliteDatabase) -> None:
    """It begins with the first change, is no change itself, and ends with the writer."""
    pulses = Pulses()
    writer = Writer(database, pulses, every_s=0.001)

    writer.write(add(1))
    until(lambda: pulses.count >= 3)
    written, durable = writer.written, writer.durable
    writer.write(add(2))
    writer.close()
    at_end = pulses.count

    assert (written, durable) == (1, 1)
    assert numbers(database) == [1, 2]
    assert pulses.count == at_end


def test_a_pulse_is_made_between_changes_too(database: SqliteDatabase) -> None:
    """A writer that is never idle has one."""
    pulses = Pulses()
    writer = Writer(database, pulses, every_s=0.001)

    number = 0
    while pulses.count < 3:
        number += 1
        writer.write(add(number))
    writer.close()

    assert numbers(database) == list(range(1, number + 1))


def test_a_pulse_that_cannot_be_made_now_is_made_again(database: SqliteDatabase) -> None:
    """A full disk, or others that write, break no writer which has nothing to write."""
    pulses = Pulses(Busy("others write"), DiskFull("no room"), FateUnknown("away"))
    writer = Writer(database, pulses, every_s=0.001)

    writer.write(add(1))
    until(lambda: pulses.count >= 5)
    writer.write(add(2))
    writer.close()

    assert numbers(database) == [1, 2]


def test_a_pulse_that_is_refused_breaks_the_writer(database: SqliteDatabase) -> None:
    """Who is told that the lease is another's writes nothing more."""
    writer = Writer(database, Pulses(Conflict("declared lost")), every_s=0.001)

    writer.write(add(1))
    until(lambda: writer.broken)

    for refused in (writer.check, writer.flush, lambda: writer.write(add(2))):
        with pytest.raises(Conflict, match="declared lost"):
            refused()
    assert numbers(database) == [1]
