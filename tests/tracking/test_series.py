"""Series: every point is kept once, however they come, and found again in order."""

from __future__ import annotations

import math
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlwright.kernel.database import Database, all_migrations
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Cursor, Point, Points, Runs
from mlwright.tracking.chunks import from_plain, pack, plain, unpack
from mlwright.tracking.series import CHUNK, append, history, sample
from tests.tracking.conftest import begin

whole = st.integers(-(2**63), 2**63 - 1)
number = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, -5e-324]))
bits = st.one_of(st.integers(0, 2**64 - 1), st.integers(0x7FF0_0000_0000_0001, 0x7FFF_FFFF_FFFF_FFFF)).map(
    lambda found: struct.unpack("<d", struct.pack("<Q", found))[0]
)


def told(points: Points) -> list[tuple[int, int, bytes]]:
    """Points as what tells all of them apart."""
    return [(step, at_us, exact(value)) for step, at_us, value in points]


def exact(value: float) -> bytes:
    """The bits of a value; every NaN is the same one."""
    return struct.pack("<d", math.nan if math.isnan(value) else value)


def keep(database: Database, run: RunId, **series: Points) -> int:
    """Keep points of a run, in a transaction of their own."""
    with database.transaction() as tx:
        return append(tx, run, series)


def whole_history(database: Database, run: RunId, name: str, limit: int = 10**9) -> list[Point]:
    """All points of a metric, page by page."""
    found, after = history(database, run, name, limit=limit)
    while after is not None:
        more, after = history(database, run, name, after=after, limit=limit)
        found += more
    return found


def told_of(found: list[Point]) -> list[tuple[int, int, bytes]]:
    """Points of a history as what tells all of them apart."""
    return [(point.step, point.at_us, exact(point.value)) for point in found]


def by_moment(points: Points) -> list[tuple[int, int, bytes]]:
    """What a history of points is: each once, by moment, step and value, NaN first."""

    def key(point: tuple[int, int, float]) -> tuple[int, int, bool, float, float]:
        step, at_us, value = point
        value, nan = (0.0, True) if math.isnan(value) else (value, False)
        return at_us, step, not nan, value, math.copysign(1.0, value)

    found = dict(zip(told(points), points, strict=True))
    return [(step, at_us, exact(value)) for step, at_us, value in sorted(found.values(), key=key)]


def line(count: int, *, start: int = 0) -> Points:
    """A curve of one point in each step and millisecond."""
    steps = range(start, start + count)
    return Points(steps, (step * 1000 for step in steps), (math.sin(step / 7) for step in steps))


@given(st.lists(st.tuples(whole, whole, st.one_of(number, bits)), max_size=50))
def test_what_is_packed_is_unpacked(points: list[tuple[int, int, float]]) -> None:
    """Any steps and moments of 64 bits, in any order, and every bit of a value; a NaN is a NaN."""
    given_points = Points.of(points)

    found = unpack(pack(given_points))

    assert told(found) == told(from_plain(plain(given_points))) == told(given_points)
    quiet = {bits for bits, value in zip(found.bits, found.values, strict=True) if math.isnan(value)}
    assert quiet <= {0x7FF8_0000_0000_0000}


def test_a_regular_curve_is_packed_small() -> None:
    """Steps and moments of a regular series take next to nothing."""
    flat = Points(range(1000), range(0, 10_000_000, 10_000), [0.5] * 1000)

    packed = pack(flat)

    assert len(packed) < 400


@given(st.binary(max_size=300))
def test_what_is_no_chunk_is_called_corrupt(data: bytes) -> None:
    """Bytes that were not packed raise Corrupt, and nothing else."""
    try:
        found = unpack(data)
    except Corrupt:
        return
    assert told(unpack(pack(found))) == told(found)


@pytest.mark.parametrize("place", [0, 1, 2, 6, 20, -1])
def test_a_damaged_chunk_is_called_corrupt(place: int) -> None:
    """A byte that is another one is noticed."""
    data = bytearray(pack(line(1000)))
    data[place] ^= 0x55

    with pytest.raises(Corrupt, match="a chunk of a metric"):
        unpack(bytes(data))
    with pytest.raises(Corrupt, match="open points of a metric are cut off"):
        from_plain(plain(line(2))[:-1])


few = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 5e-324])
small = st.tuples(st.integers(-1, 4), st.integers(0, 2), few)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(small, max_size=12), max_size=8),
    st.integers(1, 7),
    st.integers(3, 9),
)
def test_any_order_and_repeats_make_one_series(
    batches: list[list[tuple[int, int, float]]], chunk: int, limit: int
) -> None:
    """A series is the set of the points it was given, by moment; its last value is the highest by step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlwright.tracking.series.CHUNK", chunk)
        database = SqliteDatabase(":memory:")
        database.migrate(all_migrations())
        run, _ = begin(database)
        every = Points.of([point for batch in batches for point in batch])

        new = sum(keep(database, run.id, loss=Points.of(batch)) for batch in batches)

        expected = by_moment(every)
        assert new == len(expected)
        assert told_of(whole_history(database, run.id, "loss", limit)) == expected
        assert told_of(whole_history(database, run.id, "loss")) == expected
        if expected:
            last = max(Points.sorted(every.keys()).keys(), key=lambda key: key.in_training)
            (metric,) = Runs(database).metrics(run.id)
            assert (metric.step, metric.at_us, exact(metric.value)) == (
                last.step,
                last.at_us,
                exact(last.value),
            )
        database.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(small, min_size=1, max_size=200), st.integers(3, 40), st.integers(1, 30))
def test_a_sample_has_the_extremes(points: list[tuple[int, int, float]], wanted: int, chunk: int) -> None:
    """The lowest, the highest and the last value are in every sample, and nothing that was not reported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlwright.tracking.series.CHUNK", chunk)
        database = SqliteDatabase(":memory:")
        database.migrate(all_migrations())
        run, _ = begin(database)
        for begins in range(0, len(points), 50):
            keep(database, run.id, loss=Points.of(points[begins : begins + 50]))

        found = sample(database, run.id, "loss", wanted)

        every = whole_history(database, run.id, "loss")
        known = {
            (point.step, point.at_us, abs(point.value), point.value == 0 or exact(point.value))
            for point in every
        }
        assert 1 <= len(found) <= wanted
        assert {(each.step, each.at_us) for each in found} <= {(each.step, each.at_us) for each in every}
        assert known
        numbers = [point.value for point in every if not math.isnan(point.value)]
        if numbers:
            shown = [point.value for point in found if not math.isnan(point.value)]
            assert (min(shown), max(shown)) == (min(numbers), max(numbers))
        (last,) = Runs(database).metrics(run.id)
        assert (last.step, last.at_us) in {(point.step, point.at_us) for point in found}
        database.close()


def test_a_long_series_is_sealed_at_once(database: Database) -> None:
    """Of many points at once none becomes a row of its own."""
    run, _ = begin(database)

    new = keep(database, run.id, loss=line(2500))

    rows = database.read("SELECT points FROM chunk ORDER BY number")
    assert [row["points"] for row in rows] == [1250, 1250]
    assert not database.read("SELECT number FROM point")
    assert new == 2500
    assert told_of(whole_history(database, run.id, "loss", 999)) == told(line(2500))


def test_points_that_come_one_by_one_are_sealed_when_they_are_enough(database: Database) -> None:
    """At the thousandth, the rows become a chunk."""
    run, _ = begin(database)
    with database.transaction() as tx:
        for step in range(CHUNK + 1):
            append(tx, run.id, {"loss": Points([step], [step], [step])})

    (head,) = database.read("SELECT sealed, open FROM metric")

    assert (head["sealed"], head["open"]) == (1, 1)
    assert [point.value for point in whole_history(database, run.id, "loss")] == list(range(CHUNK + 1))


def test_new_points_do_not_open_what_is_sealed(database: Database) -> None:
    """What lies beyond the last value is new: no chunk is read for it, nor for a repeat elsewhere."""
    run, _ = begin(database)
    keep(database, run.id, loss=line(5000))
    with database.transaction() as tx:
        counted = _Counting(tx)

        new = append(counted, run.id, {"loss": line(500, start=5000)})

        assert (new, counted.opened) == (500, 0)
        assert append(counted, run.id, {"loss": line(10, start=1005)}) == 0
        assert counted.opened == 1


class _Counting:
    """A transaction that counts the chunks that were opened."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.opened = 0

    def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        self.opened += "FROM chunk_data" in sql
        return self._tx.read(sql, **parameters)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def test_a_shuffled_long_series_is_kept_whole(database: Database) -> None:
    """Thousands of points in any order, and half of them again, are the series."""
    run, _ = begin(database)
    points = list(line(6000))
    random.Random(1).shuffle(points)

    first = keep(database, run.id, loss=Points.of(points[:4000]))
    again = keep(database, run.id, loss=Points.of(points[2000:]))

    assert (first, again) == (4000, 2000)
    assert told_of(whole_history(database, run.id, "loss", 700)) == told(line(6000))


def test_a_clock_that_goes_back_while_steps_rise_is_no_order(database: Database) -> None:
    """The points are found again by moment, and the same again are not new."""
    run, _ = begin(database)
    back = Points(range(2000), range(2000, 0, -1), [0.5] * 2000)

    first, again = keep(database, run.id, loss=back), keep(database, run.id, loss=back)

    assert (first, again) == (2000, 0)
    assert [point.at_us for point in whole_history(database, run.id, "loss", 300)] == list(range(1, 2001))


def test_a_sample_of_many_chunks_opens_none(database: Database) -> None:
    """The extremes that are kept beside each chunk suffice."""
    run, _ = begin(database)
    keep(database, run.id, loss=line(100_000))
    counted = _Counting(database)

    found = sample(counted, run.id, "loss", 100)

    assert counted.opened == 0
    assert 90 <= len(found) <= 100
    assert found[-1].step == 99_999


def test_a_value_that_was_kept_alone_is_a_history(database: Database) -> None:
    """A metric of an older workspace has its last value only; what comes later joins it."""
    run, _ = begin(database)
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO metric (run_id, name, value, step, at_us) VALUES (:run, 'loss', 0.5, 7, 9)",
            run=run.id,
        )
    before = whole_history(database, run.id, "loss")

    new = keep(database, run.id, loss=Points([7, 8], [9, 10], [0.5, 0.25]))

    assert before == sample(database, run.id, "loss")[:1] == [Point("loss", 0.5, 7, 9)]
    assert new == 1
    assert [point.value for point in whole_history(database, run.id, "loss")] == [0.5, 0.25]


def test_a_cursor_is_where_the_last_page_ended(database: Database) -> None:
    """A page tells where to go on; the last one that there is nothing more."""
    run, _ = begin(database)
    keep(database, run.id, loss=line(3))

    first, after = history(database, run.id, "loss", limit=2)
    second, end = history(database, run.id, "loss", after=Cursor(*after or ()), limit=2)

    assert [point.step for point in first + second] == [0, 1, 2]
    assert end is None


@pytest.mark.parametrize("moments", [[7], [7, 8], [8, 7]])
def test_chunks_of_one_moment_are_opened_when_their_steps_come(
    database: Database, moments: list[int]
) -> None:
    """A page opens the chunks that it tells and one more, not all that have its moment."""
    run, _ = begin(database)
    for at_us in moments:
        for start in range(0, 4 * CHUNK, CHUNK):
            keep(database, run.id, loss=Points(range(start, start + CHUNK), [at_us] * CHUNK, [1.0] * CHUNK))
    reads: list[str] = []

    class Counted:
        def read(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
            reads.extend(["chunk"] * ("chunk_data" in sql))
            return database.read(sql, **parameters)

    first, after = history(Counted(), run.id, "loss", limit=CHUNK // 2)
    second, _ = history(Counted(), run.id, "loss", after=after, limit=CHUNK // 2)

    assert [point.step for point in first + second] == list(range(CHUNK))
    assert len(reads) <= 4
    found = whole_history(database, run.id, "loss", CHUNK // 2)
    assert [(p.at_us, p.step) for p in found] == [
        (at_us, step) for at_us in sorted(moments) for step in range(4 * CHUNK)
    ]


def test_a_metric_that_is_not_there_has_no_points(database: Database) -> None:
    """Neither a history nor a sample."""
    run, _ = begin(database)

    assert history(database, run.id, "loss", limit=5) == ([], None)
    assert sample(database, run.id, "loss") == []


def test_points_of_no_run_are_refused(database: Database) -> None:
    """There is nothing they could belong to."""
    with pytest.raises(NotFound, match="there is no run 'none'"):
        keep(database, RunId("none"), loss=line(1))


@pytest.mark.parametrize(("step", "at_us"), [(2**63, 0), (0, 2**63), (-(2**63) - 1, 0)])
def test_more_than_64_bits_are_refused(step: int, at_us: int) -> None:
    """A number that no database holds is not taken, one by one or many."""
    with pytest.raises(Invalid, match="more than 64 bits"):
        Points([step], [at_us], [0.0])
    with pytest.raises(Invalid, match="more than 64 bits"):
        Points().add(step, at_us, 0.0)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_a_name_that_no_database_holds_is_refused(name: str, database: Database) -> None:
    """NUL and half of a surrogate pair are named in the message."""
    run, _ = begin(database)

    with pytest.raises(Invalid, match="the name of a metric has"):
        keep(database, run.id, **{name: line(1)})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(small, min_size=1, max_size=200),
    st.integers(3, 40),
    st.integers(1, 30),
    st.integers(-5, 12),
    st.integers(1, 12),
)
def test_a_sample_of_some_steps_is_as_if_there_were_no_others(
    points: list[tuple[int, int, float]], wanted: int, chunk: int, first: int, count: int
) -> None:
    """All points of these steps when they are few; else their extremes and the last of them."""
    steps = range(first, first + count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlwright.tracking.series.CHUNK", chunk)
        database = SqliteDatabase(":memory:")
        database.migrate(all_migrations())
        run, _ = begin(database)
        for begins in range(0, len(points), 50):
            keep(database, run.id, loss=Points.of(points[begins : begins + 50]))

        found = sample(database, run.id, "loss", wanted, steps=steps)

        every = [point for point in whole_history(database, run.id, "loss") if point.step in steps]
        numbers = [point.value for point in every if not math.isnan(point.value)]
        assert len(found) <= wanted
        if len(every) <= wanted:
            assert told_of(found) == told_of(every)
        else:
            places, of_all = ([(each.step, each.at_us) for each in these] for these in (found, every))
            assert set(places) <= set(of_all)
            assert max(places) == max(of_all)
            assert {min(numbers), max(numbers)} <= {each.value for each in found} or not numbers
        database.close()


def test_of_some_steps_only_the_chunks_at_their_ends_are_opened(database: Database) -> None:
    """What lies between is told by what is kept beside each chunk."""
    run, _ = begin(database)
    keep(database, run.id, loss=line(100_000))
    counted = _Counting(database)

    found = sample(counted, run.id, "loss", 50, steps=range(20_500, 80_500))

    assert counted.opened <= 6
    assert 40 <= len(found) <= 50
    assert found[-1].step == 80_499
    assert min(each.step for each in found) >= 20_500
