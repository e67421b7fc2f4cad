"""SQLite in a file and in memory: the exam, processes that race and die, files that are no database."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.errors import Busy, Corrupt, Unavailable
from mlwright.kernel.sqlite import SqliteDatabase, file_system
from mlwright.kernel.turnstile import Turnstile
from tests.exams.database import ADD, DatabaseExam, Opener, names
from tests.processes import run_python, start_python

DANGLING = "INSERT INTO thing (name, of) VALUES ('two', 'nobody')"


class TestSqliteInAFile(DatabaseExam):
    """What a workspace uses."""

    @pytest.fixture
    def open_database(self, tmp_path: Path) -> Iterator[Opener]:
        """Another connection to the same file."""
        opened: list[SqliteDatabase] = []

        def open_one() -> Database:
            opened.append(SqliteDatabase(tmp_path / "metadata.db"))
            return opened[-1]

        yield open_one
        for each in opened:
            each.close()

    @pytest.fixture
    def break_reference(self, tmp_path: Path) -> Callable[[Database], None]:
        """Through a connection that does not look at references."""

        def break_it(database: Database) -> None:
            other = apsw.Connection(str(tmp_path / "metadata.db"))
            other.execute(DANGLING)
            other.close()

        return break_it


class TestSqliteInMemory(DatabaseExam):
    """What tests use: nobody else can open it."""

    has_moments = False

    @pytest.fixture
    def open_database(self) -> Iterator[Opener]:
        """The same object again: there is no other way in."""
        opened = SqliteDatabase(":memory:")
        yield lambda: opened
        opened.close()

    @pytest.fixture
    def break_reference(self) -> Callable[[Database], None]:
        """The one connection stops looking at references."""

        def break_it(database: Database) -> None:
            database.read("PRAGMA foreign_keys = off")
            with database.transaction() as tx:
                tx.execute(DANGLING)

        return break_it

    # Laws 5 and 7 have no sense here: there is no second reader, and no second connection.
    test_another_reader_sees_what_was_committed_and_nothing_else = None
    test_a_read_does_not_wait_for_a_transaction_of_another_thread = None


@pytest.mark.parametrize(("moment", "left"), [("inside", []), ("after", ["one"])])
def test_a_kill_keeps_what_was_committed_and_nothing_else(
    tmp_path: Path, moment: str, left: list[str]
) -> None:
    """Law 1: `kill -9` inside a transaction leaves nothing of it; right after it, all of it is there."""
    code = """
        import os, signal, sys
        from pathlib import Path
        from mlwright.kernel.sqlite import SqliteDatabase

        database = SqliteDatabase(Path(sys.argv[1]))
        with database.transaction() as tx:
            tx.execute("CREATE TABLE thing (name TEXT)")
        with database.transaction() as tx:
            tx.execute("INSERT INTO thing (name) VALUES ('one')")
            if sys.argv[2] == "inside":
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    """

    killed = run_python(code, tmp_path / "metadata.db", moment)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    database = SqliteDatabase(tmp_path / "metadata.db")
    assert names(database) == left
    database.close()


WRITERS, EACH = (32, 200) if os.environ.get("MLWRIGHT_SOAK") else (8, 40)


@pytest.mark.soak
def test_processes_open_migrate_and_write_at_once(tmp_path: Path) -> None:
    """Eight processes, or 32, that open a new file, migrate it and write never meet a locked database."""
    code = """
        import sys, time
        from pathlib import Path
        from mlwright.kernel.database import all_migrations
        from mlwright.kernel.sqlite import SqliteDatabase

        path, go, name, times = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
        migrations = all_migrations()
        print("ready", flush=True)
        while not go.exists():
            time.sleep(0.001)
        database = SqliteDatabase(path)
        database.migrate(migrations)
        for number in range(times):
            with database.transaction() as tx:
                seen = tx.read("SELECT COUNT(*) AS rows FROM event")[0]["rows"]
                tx.execute(
                    "INSERT INTO event (at_us, verb, subject_kind, subject_id, actor, detail)"
                    " VALUES (:seen, 'counted', 'test', :name, 'me', '{}')",
                    seen=seen, name=name,
                )
        database.close()
    """
    path, go = tmp_path / "metadata.db", tmp_path / "go"
    writers = [start_python(code, path, go, number, EACH) for number in range(WRITERS)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"

    go.touch()
    said = [writer.communicate(timeout=300)[0] for writer in writers]

    assert said == [""] * WRITERS
    database = SqliteDatabase(path)
    rows = database.read("SELECT at_us, id FROM event ORDER BY id")
    assert [row["at_us"] for row in rows] == list(range(WRITERS * EACH))
    assert len(database.read("SELECT number FROM migration")) == len(all_migrations())
    database.close()


def test_a_writer_that_keeps_the_lock_is_named_after_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another transaction does not end within the busy time, Busy says what to do."""
    monkeypatch.setattr("mlwright.kernel.sqlite._BUSY_MS", 50)
    one, two = SqliteDatabase(tmp_path / "metadata.db"), SqliteDatabase(tmp_path / "metadata.db")

    waits = pytest.raises(Busy, match="another process has been writing")
    with one.transaction(), waits as raised, two.transaction():
        pass

    assert raised.value.hint
    one.close()
    two.close()


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 20])
def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path, content: bytes) -> None:
    """Another file in the database's place is named and left as it is."""
    path = tmp_path / "metadata.db"
    path.write_bytes(content)

    with pytest.raises(Corrupt) as raised:
        SqliteDatabase(path).read("SELECT 1")

    assert raised.value.where == str(path)
    assert path.read_bytes() == content


def test_a_database_with_a_damaged_page_is_corrupt(tmp_path: Path) -> None:
    """Overwritten pages raise Corrupt where they are read, not wrong rows."""
    path = tmp_path / "metadata.db"
    database = SqliteDatabase(path)
    with database.transaction() as tx:
        tx.execute("CREATE TABLE thing (name TEXT PRIMARY KEY) STRICT")
        tx.execute_many(ADD, [{"name": f"name {number:06}"} for number in range(2000)])
    database.close()
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 6] = b"\x5a" * 4096 * 4
    path.write_bytes(data)

    damaged = SqliteDatabase(path)

    with pytest.raises(Corrupt, match="damaged"):
        damaged.read("SELECT name FROM thing ORDER BY name")
    damaged.close()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """A path that cannot be opened is named with a hint."""
    with pytest.raises(Unavailable) as raised:
        SqliteDatabase(tmp_path / "nowhere" / "metadata.db")

    assert raised.value.hint
    assert raised.value.exit_code == 6


def test_sqlite_is_ours_and_newer_than_the_wal_bug() -> None:
    """Every process runs the SQLite that apsw brings, which is past the corruption of WAL databases."""
    assert tuple(map(int, apsw.sqlitelibversion().split("."))) >= (3, 51, 3)


def test_the_durable_settings_are_on(tmp_path: Path) -> None:
    """Write-ahead log, full flushes, foreign keys, for the connection that reads and that which writes."""
    database = SqliteDatabase(tmp_path / "metadata.db")
    settings = ("journal_mode", "synchronous", "foreign_keys")

    reading = {name: database.read(f"PRAGMA {name}")[0][name] for name in settings}
    with database.transaction() as tx:
        writing = {name: tx.read(f"PRAGMA {name}")[0][name] for name in settings}

    assert reading == writing == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    database.close()


def test_a_database_that_only_reads_opens_one_connection(tmp_path: Path) -> None:
    """The connection that writes is opened at the first transaction, also when nothing is to be migrated."""
    path = tmp_path / "metadata.db"
    made = SqliteDatabase(path)
    made.migrate(all_migrations())
    made.close()
    database = SqliteDatabase(path)

    def files() -> int:
        return sum(each.resolve() == path for each in Path("/proc/self/fd").iterdir())

    database.migrate(all_migrations())
    database.read("SELECT id FROM event")
    before = files()
    with database.transaction():
        during = files()

    assert (before, during) == (1, 2)
    database.close()


def test_a_column_that_came_later_is_read(tmp_path: Path) -> None:
    """What is kept of a query does not outlive the schema: `*` answers a new column too."""
    one, two = SqliteDatabase(tmp_path / "metadata.db"), SqliteDatabase(tmp_path / "metadata.db")
    with one.transaction() as tx:
        tx.execute("CREATE TABLE thing (name TEXT)")
        tx.execute(ADD, name="one")
    before = two.read("SELECT * FROM thing")

    with one.transaction() as tx:
        tx.execute("ALTER TABLE thing ADD COLUMN whole INTEGER")

    assert before == [{"name": "one"}]
    assert two.read("SELECT * FROM thing") == [{"name": "one", "whole": None}]
    one.close()
    two.close()


def test_an_interrupted_read_keeps_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that is broken off halfway lets go of its snapshot: the log can be folded in behind it."""
    database = SqliteDatabase(tmp_path / "metadata.db")
    with database.transaction() as tx:
        tx.execute("CREATE TABLE thing (name TEXT PRIMARY KEY)")
        tx.execute_many(ADD, [{"name": "one"}, {"name": "two"}])
    assert len(names(database)) == 2

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("mlwright.kernel.sqlite.zip", interrupted, raising=False)
        with pytest.raises(KeyboardInterrupt) as kept:
            names(database)
    with database.transaction() as tx:
        tx.execute(ADD, name="three")
    other = apsw.Connection(str(tmp_path / "metadata.db"))
    other.execute("SELECT * FROM thing").fetchall()
    logged, folded = other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    assert logged == folded > 0
    assert kept.traceback, "it holds the frames, and what they hold"
    assert names(database) == ["one", "three", "two"]
    other.close()
    database.close()


def test_a_transaction_inside_a_transaction_is_our_own_mistake(tmp_path: Path) -> None:
    """The inner one is refused before it touches the outer, which goes on."""
    database = SqliteDatabase(tmp_path / "metadata.db")

    with database.transaction() as tx:
        tx.execute("CREATE TABLE thing (name TEXT)")
        with pytest.raises(AssertionError), database.transaction():
            pass
        tx.execute(ADD, name="one")

    assert names(database) == ["one"]
    database.close()


MOUNTS = [
    "/dev/vda / ext4 rw 0 0",
    "tmpfs /tmp tmpfs rw 0 0",
    "server:/home /home nfs4 rw 0 0",
    "/dev/vdb /home/local ext4 rw 0 0",
    r"server:/x /mnt/my\040disk cifs rw 0 0",
    r"odd /mnt/back\134slash 9p rw 0 0",
    "server:/over /srv nfs rw 0 0",
    "/dev/vdc /srv xfs rw 0 0",
]


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/work", "ext4"),
        ("/tmp", "tmpfs"),
        ("/tmp/deep/er", "tmpfs"),
        ("/tmpfoo", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/project", "nfs4"),
        ("/home/local/project", "ext4"),
        ("/home/localfoo", "nfs4"),
        ("/mnt/my disk/project", "cifs"),
        ("/mnt/back\\slash", "9p"),
        ("/srv/x", "xfs"),
    ],
)
def test_the_file_system_of_a_folder_is_found(folder: str, kind: str) -> None:
    """The innermost mount counts, of two at one place the later, and blanks in its name are no hindrance."""
    assert file_system(Path(folder), MOUNTS) == kind


@pytest.mark.parametrize("damage", ["a page of zeros", "truncated"])
def test_damage_of_the_file_is_named(tmp_path: Path, damage: str) -> None:
    """A page with other bytes is a fault that `check` names; a file that ends early is not even opened."""
    path = tmp_path / "metadata.db"
    database = SqliteDatabase(path)
    with database.transaction() as tx:
        tx.execute("CREATE TABLE thing (name TEXT PRIMARY KEY)")
        tx.execute_many(ADD, [{"name": f"a name of some length {number}"} for number in range(2000)])
    database.close()
    data = path.read_bytes()
    middle = len(data) // 2 // 4096 * 4096

    if damage == "truncated":
        path.write_bytes(data[:middle])
        with pytest.raises(Corrupt, match="damaged") as raised:
            SqliteDatabase(path).check()
        assert "workspace restore" in str(raised.value.hint)
        return

    path.write_bytes(data[:middle] + bytes(4096) + data[middle + 4096 :])
    damaged = SqliteDatabase(path)
    found = damaged.check()
    damaged.close()
    assert found
    assert all(found)


def test_who_waits_for_the_turnstile_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When somebody else stays the next, whoever comes after raises the same, and works later."""
    monkeypatch.setattr("mlwright.kernel.sqlite._BUSY_MS", 50)
    database = SqliteDatabase(tmp_path / "metadata.db")

    with Turnstile(tmp_path / "metadata.db").passing(1) as mine:
        assert mine
        with pytest.raises(Busy, match="another process has been writing"), database.transaction():
            pass

    with database.transaction() as tx:
        tx.execute("CREATE TABLE thing (name TEXT)")
    database.close()
