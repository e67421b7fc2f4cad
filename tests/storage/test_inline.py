"""Small values as rows, and the store beneath, behind one port."""

from __future__ import annotations

import pytest

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.sdk import session
from mlwright.storage import InlineObjects, LocalObjects
from mlwright.storage.inline import INLINE_BYTES, put_all_inline, put_inline
from tests.exams.objects import Age, Damage, ObjectsExam, digests_in
from tests.storage.conftest import file_of, over, overwrite, two_days_old

VALUE = b'{"auc":0.97}'


@pytest.fixture
def inline(store: LocalObjects, database: SqliteDatabase) -> InlineObjects:
    """A store whose database holds no rows yet."""
    return over(store, database)


def keep(database: SqliteDatabase, data: bytes) -> Digest:
    """Make a small value a row."""
    with database.transaction() as tx:
        return put_inline(tx, data).digest


class TestInlineObjects(ObjectsExam):
    """Rows over files; what is put through the port lies beneath."""

    @pytest.fixture
    def objects(self, inline: InlineObjects) -> InlineObjects:
        """An empty store."""
        return inline

    @pytest.fixture
    def damage(self, store: LocalObjects) -> Damage:
        """Other bytes in the object's own file."""

        def write(objects: InlineObjects, digest: Digest, data: bytes) -> None:
            overwrite(file_of(store, digest), data)

        return write

    @pytest.fixture
    def age(self, store: LocalObjects) -> Age:
        """An old object's file."""

        def touch(objects: InlineObjects, digest: Digest) -> None:
            two_days_old(file_of(store, digest))

        return touch


def test_a_row_is_read_like_an_object(inline: InlineObjects, database: SqliteDatabase) -> None:
    """get, path, `in` and iteration answer for a row; only `path` makes a file of it."""
    digest = keep(database, VALUE)

    assert digest == digest_of(VALUE)
    assert inline.inline(digest) == inline.get(digest) == VALUE
    assert digest in inline
    assert digests_in(inline) == [digest]
    assert inline.path(digest).read_bytes() == VALUE
    assert digests_in(inline) == [digest]


def test_the_same_value_is_one_row(inline: InlineObjects, database: SqliteDatabase) -> None:
    """Two attempts that make the same small value share its row."""
    assert keep(database, VALUE) == keep(database, VALUE)

    assert digests_in(inline) == [digest_of(VALUE)]


def test_many_values_are_kept_at_once(inline: InlineObjects, database: SqliteDatabase) -> None:
    """Each under its own digest, whether it was there before or not; none is nothing to do."""
    values = {digest_of(data): data for data in (VALUE, b"", b"x" * INLINE_BYTES)}
    keep(database, VALUE)

    with database.transaction() as tx:
        put_all_inline(tx, {})
        put_all_inline(tx, values)

    assert {digest: inline.get(digest) for digest in digests_in(inline)} == values


def test_a_row_of_a_transaction_that_fails_is_not_there(
    inline: InlineObjects, database: SqliteDatabase
) -> None:
    """A small value lives and dies with the transaction that names it."""
    with pytest.raises(RuntimeError), database.transaction() as tx:
        digest = put_inline(tx, VALUE).digest
        raise RuntimeError

    assert digest not in inline
    with pytest.raises(NotFound):
        inline.get(digest)


def test_a_damaged_row_is_named_not_served(inline: InlineObjects, database: SqliteDatabase) -> None:
    """A row is hashed at each reading, like a file."""
    digest = keep(database, VALUE)
    with database.transaction() as tx:
        tx.execute("UPDATE inline SET data = :data", data=VALUE[:-1])

    for read in (inline.get, inline.path, inline.inline):
        with pytest.raises(Corrupt, match=digest[:12]):
            read(digest)


def test_what_is_removed_is_gone_as_row_and_as_object(
    inline: InlineObjects, database: SqliteDatabase
) -> None:
    """Removing forgets both places a value can lie in."""
    digest = keep(database, VALUE)
    inline.path(digest)

    inline.remove(digest)

    assert digest not in inline
    assert digests_in(inline) == []


def test_worker_and_store_agree_on_what_is_small() -> None:
    """The worker, which cannot import the store, has the same bound in its own words."""
    assert session.INLINE_BYTES == INLINE_BYTES
