"""Filters of runs: words become SQL in which none of them stands, and mean what they say."""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlwright.kernel.clock import now_us, parse_moment
from mlwright.kernel.database import Database
from mlwright.kernel.errors import Invalid
from mlwright.kernel.ids import RunId
from mlwright.kernel.search import plan
from mlwright.tracking import Metric, RunFilter, Runs, RunState, record_metrics
from mlwright.tracking.fields import RUNS
from mlwright.tracking.filters import asked
from tests.tracking.conftest import begin

NOW_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def scored(database: Database, pipeline: str = "p", /, **metrics: float) -> RunId:
    """A run with metrics."""
    run, _ = begin(database, pipeline=pipeline)
    with database.transaction() as tx:
        record_metrics(tx, run.id, [Metric(name, value, 0, 0) for name, value in metrics.items()])
    return run.id


def with_params(database: Database, **parameters: Any) -> RunId:
    return begin(database, **parameters)[0].id


def fits(database: Database, run: RunId, **nouns: Any) -> bool:
    """Whether a run is in the list for a filter."""
    return run in {each.id for each in Runs(database).list(limit=100_000, **nouns)}


@pytest.mark.parametrize(
    ("value", "text", "fit"),
    [
        (200, "200", True),
        (200, "200.0", True),
        (200.0, "200", True),
        (200, "2e2", True),
        ("200", "200", True),
        (200, '"200"', False),
        ("200", '"200"', True),
        (201, "200", False),
        (True, "true", True),
        (True, "1", False),
        (1, "true", False),
        ("true", "true", True),
        (None, "null", True),
        ("a b", "a b", True),
        ("a=b", "a=b", True),
        ("", "", True),
        (None, "", False),
        ([1, "x"], '[1,  "x"]', True),
        ({"a": [1]}, '{"a":[1]}', True),
        (2**53 + 1, str(2**53 + 1), True),
        (2**53 + 1, str(2**53), False),
        (-3, "-3", True),
        (math.nan, "NaN", True),
        (math.inf, "Infinity", True),
        (-math.inf, "0", False),
        ("größe", "größe", True),
        ("a", "=a", True),  # `==` is `=`
    ],
)
def test_what_a_parameter_was_is_compared_with_its_type(
    shared: Database, value: Any, text: str, fit: bool
) -> None:
    """A number means the number and the text that is spelled so, `true` the truth; other types differ."""
    run = with_params(shared, x=value)

    found = fits(shared, run, params=[f"x={text}"])

    assert found is fit


numbers = st.one_of(
    st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3)
)


@given(value=numbers, wanted=numbers, sign=st.sampled_from([*SIGNS]))
def test_numbers_compare_as_in_python(
    shared: Database, value: int | float, wanted: int | float, sign: str
) -> None:
    """A parameter passes a comparison with a number when Python says so."""
    run = with_params(shared, x=value)

    found = fits(shared, run, params=[f"x{sign}{wanted!r}"])

    assert found is SIGNS[sign](value, wanted)


@pytest.mark.parametrize("value", ["5", True, None, [5], {"x": 5}, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("sign", [">", "<", ">=", "<="])
def test_what_is_no_number_is_neither_more_nor_less(shared: Database, value: Any, sign: str) -> None:
    """Text, truth, lists and what is not finite pass no comparison but equality."""
    run = with_params(shared, x=value)

    assert not fits(shared, run, params=[f"x{sign}5"])


@given(
    value=st.floats(), wanted=st.floats(allow_nan=False, allow_infinity=False), sign=st.sampled_from([*SIGNS])
)
def test_metrics_compare_by_their_last_value(
    shared: Database, value: float, wanted: float, sign: str
) -> None:
    """A metric passes when Python says so; one that is NaN passes nothing."""
    run = scored(shared, auc=value)

    found = fits(shared, run, metrics=[f"auc{sign}{wanted!r}"])

    assert found is SIGNS[sign](value, wanted)


def test_all_that_is_asked_for_must_fit(database: Database, runs: Runs) -> None:
    """Several filters narrow the list down together; a parameter or metric a run lacks does not fit."""
    both = with_params(database, trees=200, rate=0.1)
    with_params(database, trees=200)
    with_params(database, rate=0.1)

    found = runs.list(params=["trees = 200", "rate < 0.5"])

    assert [run.id for run in found] == [both]
    assert runs.list(params="trees=200", metrics="auc>0") == []


def test_kind_and_time_narrow_the_list(database: Database, runs: Runs) -> None:
    """Runs are found by their kind, and by when they began: `since` counts in, `until` does not."""
    ids = [with_params(database) for _ in range(3)]
    with database.transaction() as tx:
        for hours, identity in enumerate(ids):
            tx.execute(
                "UPDATE run SET created_us = :at, kind = :kind WHERE id = :id",
                at=NOW_US + hours * HOUR_US,
                kind="script" if hours == 1 else "pipeline",
                id=identity,
            )
    moments = [datetime.fromtimestamp(NOW_US / 1e6 + hours * 3600, UTC) for hours in range(3)]

    found = {
        "scripts": runs.list(kind="script"),
        "since": runs.list(since=moments[1]),
        "until": runs.list(until=moments[1].isoformat()),
        "between": runs.list(since=moments[1], until=moments[2]),
    }

    assert {name: [ids.index(run.id) for run in listed] for name, listed in found.items()} == {
        "scripts": [1],
        "since": [2, 1],
        "until": [0],
        "between": [1],
    }


def test_the_order_is_by_metric_by_duration_or_by_age(database: Database, runs: Runs) -> None:
    """Most comes first; runs without the metric, or with NaN, are left out; `reverse` turns it round."""
    ids = [scored(database, auc=value) for value in (0.5, 0.9, math.nan, 0.7)]
    scored(database, loss=1.0)
    with database.transaction() as tx:
        for place, identity in enumerate(ids):
            tx.execute(
                "UPDATE run SET created_us = :at, finished_us = :end, state = 'succeeded' WHERE id = :id",
                at=NOW_US + place,
                end=NOW_US + place + [5, 7, 6, 4][place],
                id=identity,
            )

    found = {
        "auc": runs.list(sort="metric:auc"),
        "worst": runs.list(sort="metric:auc", reverse=True, limit=1),
        "took": runs.list(sort="took", state="succeeded"),
        "oldest": runs.list(reverse=True, state=RunState.SUCCEEDED),
    }

    assert {name: [ids.index(run.id) for run in listed] for name, listed in found.items()} == {
        "auc": [1, 3, 0],
        "worst": [0],
        "took": [1, 2, 0, 3],
        "oldest": [0, 1, 2, 3],
    }


def test_keywords_change_a_filter(database: Database, runs: Runs) -> None:
    """A filter is a value; keywords say what is to be different."""
    made = [begin(database, pipeline=name)[0].id for name in ("a", "b", "a")]
    mine = RunFilter(pipeline="a")

    found = [[run.id for run in runs.list(mine, **more)] for more in ({}, {"limit": 1}, {"pipeline": "b"})]

    assert found == [[made[2], made[0]], [made[2]], [made[1]]]
    assert mine == RunFilter(pipeline="a")


@pytest.mark.parametrize(
    ("text", "before_us"),
    [
        ("90s", 90_000_000),
        ("15m", 900_000_000),
        ("15min", 900_000_000),
        ("2h", 2 * HOUR_US),
        ("1.5h", 3 * HOUR_US // 2),
        ("3 d", 72 * HOUR_US),
        ("1w", 168 * HOUR_US),
        ("999999999999w", NOW_US),
    ],
)
def test_how_long_ago_is_a_moment(text: str, before_us: int) -> None:
    """A number with a unit is that long before now, and never before all time."""
    assert parse_moment(text, NOW_US) == NOW_US - before_us


def test_a_date_is_its_beginning_where_the_reader_is() -> None:
    """Without an offset a date means the reader's own; with one it is that moment."""
    local = datetime(2026, 11, 20).astimezone()
    there = datetime(2026, 11, 20, 15, 30, tzinfo=timezone(timedelta(hours=9)))

    assert parse_moment("2026-11-20", NOW_US) == int(local.timestamp()) * 1_000_000
    assert parse_moment("2026-11-20T15:30+09:00", NOW_US) == int(there.timestamp()) * 1_000_000
    assert parse_moment(there, NOW_US) == int(there.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("nouns", "told", "hint"),
    [
        ({"params": ["trees"]}, "'trees' compares no parameter", "NAME=VALUE"),
        ({"params": ["=3"]}, "'=3' compares no parameter", "NAME=VALUE"),
        ({"params": ["trees>many"]}, "'many', which is no number", None),
        ({"params": ["trees>1e999"]}, "'1e999', which is no number", None),
        ({"metrics": ["auc=high"]}, "'high', which is no number", None),
        ({"metrics": ["auc>nan"]}, "'nan', which is no number", None),
        ({"metrics": ["auc!0.9"]}, "compares no metric", "NAME>NUMBER"),
        ({"since": "yesterday"}, "'yesterday' is no point in time", "2026-11-20"),
        ({"until": "2026-13-01"}, "'2026-13-01' is no point in time", "2h"),
        ({"kind": "job"}, "no kind of run 'job'", "one of pipeline, script, notebook"),
        ({"sort": "name"}, "cannot be sorted by 'name'", "created, took, metric:NAME"),
        ({"sort": "metric:"}, "cannot be sorted by 'metric:'", "created, took, metric:NAME"),
        ({"limit": 0}, "cannot have 0 runs", None),
        ({"pipeline": "a\0"}, "the pipeline has a NUL in it, at letter 2", None),
        ({"params": ["x=\ud800"]}, "half a letter in it, at letter 3", None),
        ({"filter": "auc >"}, "a value is missing", None),
        ({"order_by": "auc", "sort": "took"}, "sorted by one order", "order_by"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    runs: Runs, nouns: dict[str, Any], told: str, hint: str | None
) -> None:
    """What cannot be understood is named, with what could be written."""
    with pytest.raises(Invalid, match=re.escape(told)) as refusal:
        runs.list(**nouns)

    assert hint is None or hint in (refusal.value.hint or "")


hostile = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.sampled_from(["'; DROP TABLE run; --", "x' OR '1'='1", ":limit", "\\", "%", "x) OR (1", '"', "`"]),
)


@given(text=hostile, name=hostile.filter(lambda text: not set(text) & set("<>=")), number=numbers)
def test_no_word_of_the_user_stands_in_the_sql(
    shared: Database, text: str, name: str, number: int | float
) -> None:
    """Whatever is asked for, the SQL is the same as for tame words; the words are its parameters."""

    def wanted(name: str, text: str, number: int | float) -> RunFilter:
        return RunFilter(
            pipeline=text,
            params=[f"{name}={json.dumps(text)}", f"{name}>{number!r}"],
            metrics=[f"{name}<={number!r}"],
            sort=f"metric:{name}",
        )

    if not name.strip():
        return

    (statement,), (tame,) = (
        plan(shared, RUNS, asked(wanted(*words)), ("id",), NOW_US)
        for words in ((name, text, number), ("n", "t", 1))
    )

    assert statement.sql == tame.sql
    assert text in statement.parameters.values()
    assert set(re.findall(r":(\w+)", statement.sql)) == set(statement.parameters)


@given(texts=st.lists(hostile, min_size=1, max_size=3))
def test_hostile_words_are_only_words(shared: Database, texts: list[str]) -> None:
    """A list that is asked for with any text answers, and changes nothing."""
    run = with_params(shared, x=texts[0])
    before = shared.read("SELECT count(*) AS runs FROM run")

    found = fits(shared, run, params=[f"x={json.dumps(texts[0])}"])

    assert found
    assert not fits(shared, run, pipeline=f"no{texts[0]}")
    assert shared.read("SELECT count(*) AS runs FROM run") == before


def test_runs_that_are_running_are_as_old_as_they_are(database: Database, runs: Runs) -> None:
    """A run that has not ended has taken until now."""
    old, new = with_params(database), with_params(database)
    with database.transaction() as tx:
        tx.execute("UPDATE run SET created_us = :at WHERE id = :id", at=now_us() - HOUR_US, id=old)

    assert [run.id for run in runs.list(sort="took")] == [old, new]
