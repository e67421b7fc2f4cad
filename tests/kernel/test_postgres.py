"""PostgreSQL: the exam, restarts in the middle of everything, addresses without a password."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest

from mlwright.kernel.chain import verify
from mlwright.kernel.database import Database, Transaction, all_migrations
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Busy, Cancelled, Conflict, DiskFull, FateUnknown, Invalid, Unavailable
from mlwright.kernel.events import record
from mlwright.kernel.leases import take
from mlwright.kernel.postgres import PostgresDatabase
from mlwright.kernel.postgres_connection import FIRST_S, Lost, PostgresConnection
from mlwright.kernel.postgres_copy import filling
from mlwright.kernel.postgres_place import parse_place
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.kernel.writer import Writer
from tests.exams.database import DatabaseExam, Opener
from tests.postgres import Postgres, open_database
from tests.processes import until

DANGLING = "INSERT INTO thing (name, of) VALUES ('two', 'nobody')"


class TestPostgres(DatabaseExam):
    """What many machines share."""

    holds_nul = False

    @pytest.fixture
    def url(self, postgres: Postgres) -> str:
        """An empty database."""
        return postgres.make(schema=False)

    @pytest.fixture
    def open_database(self, url: str) -> Iterator[Opener]:
        """Other connections to the same database."""
        opened: list[PostgresDatabase] = []

        def open_one() -> Database:
            opened.append(PostgresDatabase(parse_place(url)))
            return opened[-1]

        yield open_one
        for each in opened:
            each.close()

    @pytest.fixture
    def break_reference(self, url: str) -> Callable[[Database], None]:
        """As one who replicates, for whom references are not looked at."""

        def break_it(database: Database) -> None:
            with psycopg.connect(url) as connection:
                connection.execute("SET session_replication_role = replica")
                connection.execute(DANGLING)

        return break_it


TIMES = 20 if os.environ.get("MLWRIGHT_SOAK") else 2


@pytest.fixture
def database(postgres: Postgres) -> Iterator[PostgresDatabase]:
    """A database at the newest schema."""
    opened = open_database(postgres.make())
    yield opened
    opened.close()


def event(database: PostgresDatabase, name: str) -> None:
    """One more event, in a transaction of its own."""
    with database.transaction() as tx:
        record(tx, name, End("test", name))


def verbs(database: PostgresDatabase) -> list[str]:
    """What happened, in its order."""
    return [row["verb"] for row in database.read("SELECT verb FROM event ORDER BY id")]


def end_connections(url: str) -> None:
    """Let the server end whoever is connected to a database."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.soak
def test_restarts_of_the_server_lose_and_double_nothing(
    postgres: Postgres, database: PostgresDatabase
) -> None:
    """Who writes and reads while the server is stopped, or crashes, and comes back notices a pause only."""
    if postgres.server is None:
        pytest.skip("the server is not ours to restart")
    stop, failed, acknowledged = threading.Event(), [], [0] * 4

    def write(writer: int) -> None:
        own = open_database(database.place.url)
        try:
            while not stop.is_set():
                with own.transaction() as tx:
                    seen = tx.read("SELECT count(*) AS events FROM event")[0]["events"]
                    record(tx, f"{writer}", End("test", str(acknowledged[writer])), seen=seen)
                    take(tx, f"turn of {writer}")
                acknowledged[writer] += 1
        except BaseException as error:
            failed.append(error)
        finally:
            own.close()

    def look() -> None:
        try:
            while not stop.is_set():
                database.read("SELECT count(*) AS events FROM event")
        except BaseException as error:
            failed.append(error)

    def wait_for_more() -> None:
        wanted = [done + 2 for done in acknowledged]
        until(lambda: failed or all(done > least for done, least in zip(acknowledged, wanted, strict=True)))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    threads.append(threading.Thread(target=look))
    for thread in threads:
        thread.start()
    try:
        for number in range(TIMES):
            wait_for_more()
            postgres.server.restart(signal.SIGQUIT if number % 2 else signal.SIGINT)
        wait_for_more()
    finally:
        stop.set()
        for thread in threads:
            thread.join(90)

    assert failed == []
    rows = database.read("SELECT id, verb, subject_id, detail FROM event ORDER BY id")
    assert [json.loads(row["detail"])["seen"] for row in rows] == list(range(len(rows)))
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    for writer in range(4):
        mine = [int(row["subject_id"]) for row in rows if row["verb"] == str(writer)]
        assert mine == list(range(acknowledged[writer]))
    assert max(row["token"] for row in database.read("SELECT token FROM lease")) == len(rows)
    assert (verify(database).covered, verify(database).fault) == (len(rows), "")


def test_a_transaction_that_is_cut_off_goes_on(database: PostgresDatabase) -> None:
    """What it had done is done again, with the same numbers, and it ends as if nothing had been."""
    event(database, "before")
    with database.transaction() as tx:
        record(tx, "one", End("test", "1"))
        token = take(tx, "it").token
        end_connections(database.place.url)
        seen = len(tx.read("SELECT id FROM event"))
        tx.execute_many(
            "INSERT INTO project (name, created_us) VALUES (:name, 1)", [{"name": "a"}, {"name": "b"}]
        )
        end_connections(database.place.url)

    assert seen == 2
    assert verbs(database) == ["before", "one"]
    assert database.read("SELECT token FROM lease") == [{"token": token}]
    assert database.read("SELECT name FROM project ORDER BY name") == [{"name": "a"}, {"name": "b"}]


def test_an_event_that_is_recorded_again_goes_on_from_what_others_recorded(
    database: PostgresDatabase,
) -> None:
    """Others may record something before a transaction that was cut off is done again: the chain fits."""
    other = open_database(database.place.url)

    with database.transaction() as tx:
        record(tx, "mine", End("test", "1"))
        end_connections(database.place.url)
        event(other, "theirs")
        record(tx, "mine", End("test", "2"))

    assert verbs(database) == ["theirs", "mine", "mine"]
    assert (verify(database).covered, verify(database).fault) == (3, "")
    other.close()


def test_a_transaction_whose_ground_is_gone_is_given_up(database: PostgresDatabase) -> None:
    """When others changed what it had read before it was cut off, it raises and leaves nothing."""
    other = open_database(database.place.url)

    with pytest.raises(Unavailable, match="others have changed") as raised, database.transaction() as tx:
        assert tx.read("SELECT count(*) AS events FROM event") == [{"events": 0}]
        record(tx, "mine", End("test", "1"))
        end_connections(database.place.url)
        event(other, "theirs")
        record(tx, "mine", End("test", "2"))

    assert raised.value.hint
    assert verbs(database) == ["theirs"]
    event(database, "next")
    assert verbs(database) == ["theirs", "next"]
    other.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_whose_answer_is_lost_counts_once(
    database: PostgresDatabase, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it reached the server or not: afterwards it is there, and not twice."""
    run = PostgresConnection.run
    lost: list[str] = []

    def run_and_lose(connection: PostgresConnection, script: str) -> list[dict[str, object]]:
        if script != "COMMIT" or lost:
            return run(connection, script)
        lost.append(script)
        if moment == "after":
            run(connection, script)
        connection.close()
        raise Lost("the line was cut")

    monkeypatch.setattr(PostgresConnection, "run", run_and_lose)

    event(database, "one")

    assert lost
    assert verbs(database) == ["one"]


def test_a_batch_whose_fate_is_unknown_is_not_written_again(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed, the answer lost, and the server away for long: the writer ends, and each is there once."""
    run, connect = PostgresConnection.run, database.connect
    inside, go, away = threading.Event(), threading.Event(), threading.Event()

    def run_and_lose(connection: PostgresConnection, script: str) -> list[dict[str, object]]:
        done = run(connection, script)
        if script == "COMMIT" and not away.is_set() and go.is_set() and len(verbs(database)) > 1:
            away.set()
            connection.close()
            raise Lost("the line was cut")
        return done

    def connect_or_not(*, reading: bool) -> PostgresConnection:
        if away.is_set():
            raise Lost("nobody answers")
        return connect(reading=reading)

    def hold(tx: Transaction) -> None:
        record(tx, "first", End("test", "0"))
        inside.set()
        assert go.wait(30)

    monkeypatch.setattr(PostgresConnection, "run", run_and_lose)
    monkeypatch.setattr(database, "connect", connect_or_not)
    monkeypatch.setattr("mlwright.kernel.postgres.PATIENCE_S", 0.1)
    writer = Writer(database)
    writer.write(hold)
    assert inside.wait(30)
    for verb in ("one", "two"):
        writer.write(lambda tx, verb=verb: record(tx, verb, End("test", "1")))
    go.set()

    with pytest.raises(FateUnknown, match="not known") as raised:
        writer.close()

    assert raised.value.hint
    monkeypatch.undo()
    assert verbs(database) == ["first", "one", "two"]


def test_who_is_silent_in_the_middle_holds_up_nobody(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that stops within a transaction loses its turn after a time; it goes on when it wakes."""
    monkeypatch.setattr("mlwright.kernel.postgres_connection._FOREIGN_S", 1)
    slow = open_database(database.place.url)

    with slow.transaction() as tx:
        record(tx, "slow", End("test", "1"))
        event(database, "fast")
        record(tx, "slow", End("test", "2"))

    assert verbs(database) == ["fast", "slow", "slow"]
    slow.close()


def test_who_is_silent_loses_the_turn_before_others_give_up(database: PostgresDatabase) -> None:
    """The server ends a silent transaction well before the others' wait for its lock ends."""
    with database.transaction() as tx:
        asked = "SELECT setting::int AS ms FROM pg_settings WHERE name = '{}'"
        silent, patient = (
            tx.run(asked.format(name))[0]["ms"]
            for name in ("idle_in_transaction_session_timeout", "lock_timeout")
        )

    assert 0 < silent <= patient / 2


def test_a_writer_that_keeps_the_lock_is_named_after_the_wait(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When another transaction does not end within the busy time, Busy says what to do."""
    other = open_database(database.place.url)
    with other.transaction() as tx:
        tx.run("SET lock_timeout = '50ms'")

    waits = pytest.raises(Busy, match="another process has been writing")
    with database.transaction(), waits as raised, other.transaction():
        pass

    assert raised.value.hint
    event(other, "after")
    other.close()


@pytest.mark.parametrize("how", ["transaction", "view"])
def test_what_a_signal_broke_off_is_not_gone_on_with(database: PostgresDatabase, how: str) -> None:
    """A signal in the middle of a statement is raised; nothing is left, and the next one works."""

    def stop(number: int, frame: object) -> None:
        raise Cancelled("stopped", signal_number=number)

    before = signal.signal(signal.SIGTERM, stop)
    view = database.view()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
    try:
        with pytest.raises(Cancelled):
            if how == "view":
                timer.start()
                view.read("SELECT pg_sleep(2)")
            with database.transaction() as tx:
                record(tx, "one", End("test", "1"))
                timer.start()
                tx.read("SELECT pg_sleep(2)")
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)

    event(database, "two")
    assert verbs(database) == ["two"]
    assert view.read("SELECT verb FROM event") == [{"verb": "two"}]
    view.close()


def test_a_failure_that_is_swallowed_is_not_committed(database: PostgresDatabase) -> None:
    """A transaction that goes on after a broken constraint would be rolled back in silence: it is refused."""
    with pytest.raises(AssertionError, match="failed"), database.transaction() as tx:
        tx.execute("INSERT INTO project (name, created_us) VALUES ('a', 1)")
        with suppress(Conflict):
            tx.execute("INSERT INTO project (name, created_us) VALUES ('a', 1)")

    assert database.read("SELECT name FROM project") == []


def test_a_full_disk_of_the_server_is_told_as_such(database: PostgresDatabase) -> None:
    """What PostgreSQL says with 53100 is DiskFull, with what helps."""
    with pytest.raises(DiskFull, match="of the database server") as raised, database.transaction() as tx:
        tx.run("DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$")

    assert raised.value.hint


def test_two_that_migrate_at_once_migrate_once(postgres: Postgres) -> None:
    """Four processes' worth of openers meet at an empty database: the schema is made once, nobody fails."""
    place = parse_place(postgres.make(schema=False))
    opened = [PostgresDatabase(place) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: each.migrate(all_migrations()), opened))

    recorded = opened[0].read("SELECT number FROM migration ORDER BY number")
    assert [row["number"] for row in recorded] == [each.number for each in all_migrations()]
    for each in opened:
        each.close()


def test_one_by_one_is_the_same_schema(postgres: Postgres) -> None:
    """All migrations at once, or one after the other: the columns and indexes are the same."""
    at_once, one_by_one = (PostgresDatabase(parse_place(postgres.make(schema=False))) for _ in range(2))
    at_once.migrate(all_migrations())
    for end in range(1, len(all_migrations()) + 1):
        one_by_one.migrate(all_migrations()[:end])

    columns = "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
    for asked in (
        f"{columns} FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    ):
        assert at_once.read(asked) == one_by_one.read(asked)
    texts = at_once.read(f"{columns} FROM information_schema.columns WHERE table_schema = 'public'")
    loose = [row for row in texts if row["data_type"] == "text" and row["collation_name"] != "C"]
    assert {row["table_name"] for row in loose} <= {"search"}
    at_once.close()
    one_by_one.close()


def test_the_tables_are_those_of_sqlite(database: PostgresDatabase) -> None:
    """Both engines have the same tables with the same columns, but for what each keeps for itself."""
    file = SqliteDatabase(":memory:")
    file.migrate(all_migrations())
    there: dict[str, set[str]] = {}
    for row in database.read(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    ):
        there.setdefault(row["table_name"], set()).add(row["column_name"])
    here = {
        row["name"]: {each["name"] for each in file.read(f"PRAGMA table_info({row['name']})")}
        for row in file.read("PRAGMA table_list")
        if row["schema"] == "main"
        and row["type"] in {"table", "virtual"}
        and not row["name"].startswith("sqlite_")
    }

    assert there.pop("counter") == {"name", "last"}
    assert there.pop("turn") == {"writer", "number", "at_us"}
    assert there["search"] - here["search"] == {"words"}
    there["search"].remove("words")
    assert there == here
    file.close()


def test_a_copy_fills_another_database(
    database: PostgresDatabase, postgres: Postgres, tmp_path: Path
) -> None:
    """All rows come back from a copy, and numbers go on where they were."""
    event(database, "größe")
    with database.transaction() as tx:
        take(tx, "it")
        tx.execute("INSERT INTO experiment (name, created_us, updated_us) VALUES ('mine', 1, 1)")
        tx.execute("INSERT INTO inline (digest, data) VALUES ('d', :data)", data=bytes(range(256)))
        tx.execute("DELETE FROM lease")
    database.copy(tmp_path / "copy.db")
    other = open_database(postgres.make())

    with filling(other, tmp_path / "copy.db"):
        pass

    for sql in ("SELECT * FROM event", "SELECT * FROM inline", "SELECT * FROM experiment ORDER BY id"):
        assert other.read(sql) == database.read(sql) != []
    with other.transaction() as tx:
        assert take(tx, "it").token == 2
        tx.execute("INSERT INTO experiment (name, created_us, updated_us) VALUES ('next', 1, 1)")
    assert other.read("SELECT max(id) AS last FROM experiment") == [{"last": 2}]
    with pytest.raises(Conflict, match="records already"), filling(other, tmp_path / "copy.db"):
        pass
    other.close()


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has never answered is waited for a short time only; the message has the address and a hint."""
    monkeypatch.setattr("mlwright.kernel.postgres.FIRST_S", 0.05)
    database = PostgresDatabase(parse_place(f"postgresql://me@/mine?host={tmp_path}"))

    for attempt in (lambda: database.read("SELECT 1"), lambda: event(database, "one")):
        with pytest.raises(Unavailable, match="cannot be reached") as raised:
            attempt()
        assert raised.value.hint
        assert raised.value.exit_code == 6
        assert str(tmp_path) in str(raised.value.where)


def test_a_database_that_is_not_there_is_told_at_once(postgres: Postgres) -> None:
    """Whom the server does not know, or what it has not, is no reason to wait."""
    begun = time.monotonic()

    with pytest.raises(Unavailable, match="does not exist"):
        PostgresDatabase(parse_place(postgres.url("nothing_here"))).read("SELECT 1")

    assert time.monotonic() - begun < FIRST_S


SECRET = "swordfish"


def test_an_option_is_known_by_its_name(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password reaches the server whatever else the address says; what this says is left as it is."""
    monkeypatch.setenv("MINE", SECRET)
    url = f"{postgres.make()}&application_name=password&password=env:MINE"

    made = PostgresConnection(parse_place(url), reading=True)

    assert made.raw.info.password == SECRET
    assert made.raw.info.get_parameters()["application_name"] == "password"
    made.close()


def test_a_server_that_vanishes_is_noticed(postgres: Postgres) -> None:
    """Whether we wait for it or send to it: within a minute, but for an address that says otherwise."""
    made = PostgresConnection(parse_place(f"{postgres.make()}&keepalives_count=4"), reading=True)

    told = {name: int(value) for name, value in made.raw.info.get_parameters().items() if value.isdigit()}
    made.close()

    assert told["keepalives_count"] == 4
    assert told["keepalives_idle"] + told["keepalives_interval"] * 4 < 60
    assert told["tcp_user_timeout"] < 60_000


@pytest.mark.parametrize(
    "setting",
    [
        f"postgresql://me:{SECRET}@host/mine",
        f"postgresql://me:@host/mine?user={SECRET}",
        f"postgresql://me@host/mine?password={SECRET}",
        f"postgresql://me@host/mine?password=env:A&password={SECRET}",
        f"postgresql://me@host/mine?password=env:#{SECRET}",
        f"postgresql://me@[host/mine?{SECRET}",
        f"postgresql://me:pass/{SECRET}@host/mine",
        f"postgresql://me:{SECRET}/word@host/mine",
        f"postgresql://me:12/{SECRET}@host/mine",
        f"postgresql://me:12?a={SECRET}@host/mine",
        f"postgresql://me@host:{SECRET}/mine",
        f"postgresql://me@one:1,two:{SECRET}/mine",
        f"postgresql://me@host/mine?sslpassword={SECRET}",
        f"postgresql://me@host/mine?Password={SECRET}",
        f"postgresql://me@host/mine?oauth_client_secret={SECRET}",
        f"mysql://{SECRET}@host/mine",
        f"postgresql://me@host/mine?{SECRET}",
        f"sslmode=require password={SECRET}",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(setting: str) -> None:
    """Whatever cannot be taken as an address without a password is refused, and stands in no message."""
    with pytest.raises(Invalid) as raised:
        parse_place(setting)

    told = f"{raised.value.message} {raised.value.where} {raised.value.hint}"
    assert SECRET not in told
    assert "env:NAME" in told or "%23" in told


@pytest.mark.parametrize(
    "setting",
    [
        "postgresql://me@one:1,two:2/mine",
        "postgresql://me@[::1]:5432/mine",
        "postgresql://me@[::1]/mine",
        "postgresql://host:5432/mine?user=me%40work&passfile=/etc/pgpass",
        "postgresql://me@host/mine?user=me@work",
    ],
)
def test_what_only_looks_like_a_password_is_let_in(setting: str) -> None:
    """Ports, several hosts, addresses of IPv6, names with `@` and files of passwords are told as they are."""
    assert unquote(parse_place(setting).url) == unquote(setting)


def test_a_password_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a variable or a file beside the project; the address that is shown says neither."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    monkeypatch.setenv("MINE", SECRET)
    by_file = parse_place("postgres://me@host:1/mine?password=file:secret&sslmode=require", tmp_path)
    by_name = parse_place("postgresql:///mine?host=/run/x&password=env:MINE")
    by_none = parse_place("postgresql://me@host/mine")

    assert [place.secret() for place in (by_file, by_name, by_none)] == [SECRET, SECRET, None]
    assert by_file.url == "postgresql://me@host:1/mine?sslmode=require"
    assert by_name.url == "postgresql:///mine?host=/run/x"
    monkeypatch.delenv("MINE")
    (tmp_path / "secret").unlink()
    for place in (by_file, by_name):
        with pytest.raises(Unavailable, match="password"):
            place.secret()
