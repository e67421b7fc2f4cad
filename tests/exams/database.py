"""The laws of `mlwright.kernel.database.Database`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright.kernel.database import Database, Migration, Steps
from mlwright.kernel.errors import Conflict, Incompatible, Invalid, MlwrightError
from mlwright.kernel.sqlite import SqliteDatabase

THING = """
CREATE TABLE thing (
    name TEXT PRIMARY KEY,
    whole INTEGER,
    part REAL,
    raw BLOB,
    of TEXT REFERENCES thing (name)
) STRICT;
"""
ADD = "INSERT INTO thing (name) VALUES (:name)"
NAMES = "SELECT name FROM thing ORDER BY name"

Opener = Callable[[], Database]


def names(database: Database) -> list[str]:
    """What is in the table."""
    return [row["name"] for row in database.read(NAMES)]


class DatabaseExam:
    """Subclass, give the fixture `open_database`, and you are examined.

    `open_database()` opens the one database of the test once more, as another process would.
    """

    holds_nul = True
    """Whether text may have NUL in it."""

    has_moments = True
    """Whether what a view sees stays as it is. One connection alone has nothing but now."""

    @pytest.fixture
    def break_reference(self) -> Callable[[Database], None]:
        """Puts a row into `thing` whose `of` names nothing, behind the database's back."""
        raise NotImplementedError

    @pytest.fixture
    def schema(self, tmp_path: Path) -> list[Migration]:
        """The kernel's own tables, and one more."""
        house = Path(__file__).parents[2] / "src" / "mlwright"
        (tmp_path / "0002_thing.sql").write_text(THING)
        return [
            Migration(house / "kernel" / "migrations" / "0001_kernel.sql"),
            Migration(tmp_path / "0002_thing.sql"),
        ]

    @pytest.fixture
    def database(self, open_database: Opener, schema: list[Migration]) -> Database:
        """The database at that schema."""
        opened = open_database()
        opened.migrate(schema)
        return opened

    def test_what_is_done_together_is_in_the_transaction(self, database: Database) -> None:
        """Law 11: it reads what was changed before in the transaction, and goes with it when that fails."""

        def count(steps: Steps) -> None:
            steps.execute(ADD, name=f"{len(steps.read(NAMES))} before")

        with database.transaction() as tx:
            tx.execute(ADD, name="one")
            tx.together(count)
        with pytest.raises(RuntimeError), database.transaction() as tx:
            tx.execute(ADD, name="two")
            tx.together(count)
            raise RuntimeError

        assert names(database) == ["1 before", "one"]

    def test_a_transaction_that_ends_is_there(self, database: Database) -> None:
        """Law 1: all that a transaction changed is read after it, and by itself before."""
        with database.transaction() as tx:
            assert tx.execute(ADD, name="one") == 1
            tx.execute_many(ADD, [{"name": "two"}, {"name": "three"}])
            seen = [row["name"] for row in tx.read(NAMES)]

        assert seen == names(database) == ["one", "three", "two"]

    @pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt, Conflict])
    def test_a_transaction_that_raises_leaves_nothing(
        self, database: Database, raised: type[BaseException]
    ) -> None:
        """Law 1: whatever is raised inside, none of its changes is visible, and the next one works."""
        with pytest.raises(raised), database.transaction() as tx:
            tx.execute(ADD, name="one")
            raise raised("inside")

        assert names(database) == []
        with database.transaction() as tx:
            tx.execute(ADD, name="two")
        assert names(database) == ["two"]

    def test_a_change_says_how_many_it_changed(self, database: Database) -> None:
        """Law 1: execute answers the number of changed rows, nought where nothing fitted."""
        with database.transaction() as tx:
            tx.execute_many(ADD, [{"name": "one"}, {"name": "two"}])
            unmoved = tx.execute("UPDATE thing SET whole = 1 WHERE name = :name", name="nobody")
            moved = tx.execute("UPDATE thing SET whole = 1")
            kept = tx.execute(f"{ADD} ON CONFLICT DO NOTHING", name="one")

        assert (unmoved, moved, kept) == (0, 2, 0)

    def test_threads_take_turns(self, database: Database) -> None:
        """Law 2: what a transaction reads does not change under it, so that no increment is lost."""
        with database.transaction() as tx:
            tx.execute("INSERT INTO thing (name, whole) VALUES ('count', 0)")

        def count() -> None:
            for _ in range(25):
                with database.transaction() as tx:
                    whole = tx.read("SELECT whole FROM thing")[0]["whole"]
                    tx.execute("UPDATE thing SET whole = :whole", whole=whole + 1)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert database.read("SELECT whole FROM thing") == [{"whole": 100}]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])
    @given(
        name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
        whole=st.none() | st.integers(-(2**63), 2**63 - 1),
        part=st.none() | st.floats(allow_nan=False),  # SQL has no NaN: who keeps one writes NULL
        raw=st.none() | st.binary(),
    )
    def test_a_value_comes_back_as_it_went_in(
        self, database: Database, name: str, whole: int | None, part: float | None, raw: bytes | None
    ) -> None:
        """Law 3: text with any other character, 64-bit integers, floats with both infinities, bytes, None."""
        row = {"name": name, "whole": whole, "part": part, "raw": raw}

        with database.transaction() as tx:
            tx.execute("DELETE FROM thing")
            tx.execute(
                "INSERT INTO thing (name, whole, part, raw) VALUES (:name, :whole, :part, :raw)", **row
            )
        read = database.read("SELECT name, whole, part, raw FROM thing")

        assert read == [row]
        assert [type(value) for value in read[0].values()] == [type(value) for value in row.values()]

    def test_text_with_nul_is_kept_or_refused(self, database: Database) -> None:
        """Law 3: an engine whose text ends at NUL says so, and keeps no half of it."""
        if self.holds_nul:
            with database.transaction() as tx:
                tx.execute(ADD, name="a\0b")
            assert names(database) == ["a\0b"]
            return

        with pytest.raises(Invalid, match="NUL"), database.transaction() as tx:
            tx.execute(ADD, name="a\0b")

        assert names(database) == []

    @pytest.mark.parametrize(
        ("sql", "parameters"),
        [
            (ADD, {"name": "one"}),
            ("INSERT INTO thing (name, of) VALUES ('two', 'nobody')", {}),
            ("INSERT INTO thing (name, whole) VALUES ('two', 'no number')", {}),
        ],
    )
    def test_a_broken_constraint_is_a_conflict(
        self, database: Database, sql: str, parameters: dict[str, Any]
    ) -> None:
        """Law 4: a second of what is unique, a reference to nothing, a wrong type: Conflict, nothing kept."""
        with database.transaction() as tx:
            tx.execute(ADD, name="one")

        with pytest.raises(Conflict), database.transaction() as tx:
            tx.execute(ADD, name="before")
            tx.execute(sql, **parameters)

        assert names(database) == ["one"]

    @pytest.mark.parametrize("sql", ["SELEC 1", "SELECT nothing FROM thing", "SELECT :missing"])
    def test_wrong_sql_is_our_own_mistake(self, database: Database, sql: str) -> None:
        """Law 4: SQL that cannot run raises the engine's own error, none that a user is shown."""
        with pytest.raises(Exception) as raised:
            database.read(sql)

        assert not isinstance(raised.value, MlwrightError)

    def test_thousands_of_parameters_go_to_their_places(self, database: Database) -> None:
        """Each by its name, in any order and as often as it stands there; text in quotes is no place."""
        with database.transaction() as tx:
            tx.execute_many(ADD, [{"name": name} for name in ("5", ":value_5", "nobody")])
        values = {f"value_{at}": str(at) for at in reversed(range(3000))}
        places = ", ".join(f":value_{at}" for at in range(3000))

        found = database.read(
            f"SELECT name FROM thing WHERE name IN ({places}) OR name = ':value_5' AND :value_7 = '7'"
            " OR name = :value_7 ORDER BY name",
            **values,
        )

        assert [row["name"] for row in found] == ["5", ":value_5"]

    def test_no_rows_are_an_empty_list(self, database: Database) -> None:
        """Law 5: a query that finds nothing answers so."""
        assert database.read(NAMES) == []

    def test_another_reader_sees_what_was_committed_and_nothing_else(
        self, database: Database, open_database: Opener
    ) -> None:
        """Law 5: a second connection does not see an open transaction; it sees a committed one."""
        other = open_database()

        with database.transaction() as tx:
            tx.execute(ADD, name="one")
            before = names(other)

        assert before == []
        assert names(other) == ["one"]

    def test_a_read_does_not_wait_for_a_transaction_of_another_thread(self, database: Database) -> None:
        """Law 7: while one thread is inside a transaction, a read of another sees what was before."""
        inside, over = threading.Event(), threading.Event()

        def write() -> None:
            with database.transaction() as tx:
                tx.execute(ADD, name="one")
                inside.set()
                over.wait(30)

        writer = threading.Thread(target=write)
        writer.start()
        assert inside.wait(30)
        read: list[list[str]] = []
        reader = threading.Thread(target=lambda: read.append(names(database)), daemon=True)
        reader.start()
        reader.join(10)
        meanwhile = list(read)
        over.set()
        writer.join()

        assert meanwhile == [[]]
        assert names(database) == ["one"]

    def test_a_view_sees_one_moment(self, database: Database) -> None:
        """Law 8: what is committed meanwhile is seen after a renewal, and committing does not wait for it."""
        view = database.view()
        before = view.read(NAMES)
        with database.transaction() as tx:
            tx.execute(ADD, name="one")

        meanwhile = view.read(NAMES)
        view.renew()
        after = view.read(NAMES)
        view.close()

        assert before == []
        assert meanwhile == ([] if self.has_moments else after)
        assert after == [{"name": "one"}]

    def test_a_newer_schema_is_refused(
        self, database: Database, open_database: Opener, schema: list[Migration]
    ) -> None:
        """Law 6: code that knows fewer migrations raises Incompatible with both numbers and a hint."""
        with pytest.raises(Incompatible, match=r"schema 2, this one knows 1") as raised:
            open_database().migrate(schema[:1])

        assert raised.value.hint
        assert names(database) == []

    def test_migrating_twice_is_migrating_once(
        self, database: Database, open_database: Opener, schema: list[Migration]
    ) -> None:
        """Law 6: a database at the newest schema stays as it is."""
        with database.transaction() as tx:
            tx.execute(ADD, name="one")

        open_database().migrate(schema)

        assert names(database) == ["one"]

    def test_sound_records_have_no_faults(self, database: Database) -> None:
        """Law 9: where nothing is wrong, nothing is named; also inside of what is being written."""
        with database.transaction() as tx:
            tx.execute(ADD, name="one")
            tx.execute("INSERT INTO thing (name, of) VALUES ('two', 'one')")

        assert database.check() == []

    def test_a_reference_to_nothing_is_a_fault(
        self, database: Database, break_reference: Callable[[Database], None]
    ) -> None:
        """Law 9: a row that refers to one which is not there is named with its table, each time."""
        break_reference(database)

        for _ in range(2):
            (fault,) = database.check()

            assert "`thing`" in fault

    def test_a_copy_is_one_moment_while_others_write(self, database: Database, tmp_path: Path) -> None:
        """Law 10: of pairs that a thread goes on committing a copy has only whole ones; it stands alone."""
        stop, began = threading.Event(), threading.Event()
        (tmp_path / "copies").mkdir()

        def write() -> None:
            number = 0
            while not stop.is_set():
                with database.transaction() as tx:
                    tx.execute(ADD, name=f"{number} left")
                    tx.execute(ADD, name=f"{number} right")
                number += 1
                began.set()

        writer = threading.Thread(target=write)
        writer.start()
        assert began.wait(30)
        try:
            for number in range(5):
                database.copy(tmp_path / "copies" / f"{number}.db")
        finally:
            stop.set()
            writer.join()

        assert sorted(path.name for path in (tmp_path / "copies").iterdir()) == [f"{n}.db" for n in range(5)]
        sizes = []
        for number in range(5):
            copy = SqliteDatabase(tmp_path / "copies" / f"{number}.db")
            found = names(copy)
            assert copy.check() == []
            copy.close()
            assert {name.split()[0] for name in found} == {str(each) for each in range(len(found) // 2)}
            assert len(found) == 2 * (len(found) // 2) > 0
            sizes.append(len(found))
        assert sizes == sorted(sizes)

    def test_a_copy_takes_the_place_of_an_older_one_or_leaves_it(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Law 10: a second copy replaces the first as a whole; one that cannot be made leaves nothing."""
        target = tmp_path / "copy" / "metadata.db"
        with pytest.raises(MlwrightError):
            database.copy(target)
        target.parent.mkdir()
        database.copy(target)
        with database.transaction() as tx:
            tx.execute(ADD, name="one")

        database.copy(target)

        assert [path.name for path in target.parent.iterdir()] == ["metadata.db"]
        copy = SqliteDatabase(target)
        assert names(copy) == ["one"]
        copy.close()
