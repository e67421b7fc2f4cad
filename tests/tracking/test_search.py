"""Searches: what they find, in which order, page by page, and that an index leads to it."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlwright.kernel import search as searching
from mlwright.kernel.database import Database, Query, all_migrations
from mlwright.kernel.errors import Invalid
from mlwright.kernel.grammar import parse_filter, parse_order
from mlwright.kernel.ids import RunId
from mlwright.kernel.search import Wanted, plan
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Experiments, Input, Point, Reports, Runs, RunState, Search
from mlwright.tracking.fields import EXPERIMENTS, LOGGED_MODELS, RUN_COLUMNS, RUNS
from mlwright.tracking.search import search, search_experiments, search_logged_models, tagged
from tests.postgres import Postgres, open_database
from tests.tracking.conftest import begin

NOW_US = 1_800_000_000_000_000
STATUSES = {
    RunState.RUNNING: "RUNNING",
    RunState.SCHEDULED: "SCHEDULED",
    RunState.SUCCEEDED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
}
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


@dataclass
class Known:
    """A run, as this test knows it without asking."""

    experiment: int
    start_ms: int
    end_ms: int | None
    status: str
    name: str
    metric: dict[str, float]
    param: dict[str, str]
    tag: dict[str, str]
    deleted: bool
    id: RunId = field(default=RunId(""))

    def attribute(self, key: str) -> Any:
        return {
            "run_id": self.id,
            "run_name": self.name,
            "start_time": self.start_ms,
            "end_time": self.end_ms,
            "status": self.status,
        }[key]

    def value(self, entity: str, key: str) -> Any:
        return self.attribute(key) if entity == "attribute" else getattr(self, entity).get(key)


NUMBERS = (0.0, -0.0, 1.0, -1.5, 2.0, 1e300, 5e-324, math.inf, -math.inf, math.nan)
TEXTS = (
    "a",
    "A",
    "ab",
    "b",
    "",
    "10",
    "9",
    "a%b",
    "a_b",
    "a!b",
    "é",
    "É",
    "a" * 150,
    "a" * 150 + "b",
    "it's",
)


@pytest.fixture(scope="module")
def world(shared: Database) -> tuple[Database, list[Known]]:
    """Runs of three experiments whose values are often equal, missing, or odd."""
    database = shared
    experiments, reports = Experiments(), Reports()
    with database.transaction() as tx:
        ids = [experiments.create(tx, name).id for name in ("one", "two", "three")]
    made = []
    for number in range(90):
        known = Known(
            experiment=ids[number % 7 % 3],
            start_ms=1_700_000_000_000 + number % 11,
            end_ms=None if number % 4 == 0 else 1_700_000_001_000 + number % 5,
            status=[*STATUSES.values()][number % 5],
            name=TEXTS[number % len(TEXTS)] or "c",
            metric={"m": NUMBERS[number % len(NUMBERS)]} if number % 3 else {},
            param={"p": TEXTS[number * 7 % len(TEXTS)]} if number % 5 else {},
            tag={"t": TEXTS[number * 4 % len(TEXTS)], **({"rare": "x"} if number == 50 else {})},
            deleted=number % 13 == 0,
        )
        if number % 2:
            known.metric["n"] = float(number // 9)
        state = next(state for state, status in STATUSES.items() if status == known.status)
        with database.transaction() as tx:
            run = reports.begin(
                tx,
                experiment=known.experiment,
                name=known.name,
                started_us=known.start_ms * 1000,
                tags=known.tag,
            )
            known.id = run.id
            reports.log(
                tx,
                run.id,
                points=[Point(name, value, 0, 0) for name, value in known.metric.items()],
                params=[*known.param.items()],
            )
            end_us = None if known.end_ms is None else known.end_ms * 1000
            reports.update(tx, run.id, state=state, finished_us=end_us)
            if known.deleted:
                reports.delete(tx, run.id)
        made.append(known)
    return database, made


def like(text: str, pattern: str) -> bool:
    """What LIKE means."""
    parts = {"%": ".*", "_": "."}
    return bool(re.fullmatch("".join(parts.get(each, re.escape(each)) for each in pattern), text, re.DOTALL))


def lowered(text: str) -> str:
    """Without regard to case, of ASCII letters."""
    return "".join(each.lower() if each.isascii() else each for each in text)


def passes(known: Known, entity: str, key: str, sign: str, value: Any) -> bool:
    """What MLflow's searches mean by a comparison."""
    there = known.value(entity, key)
    if sign in ("IS NULL", "IS NOT NULL"):
        return (there is None) is (sign == "IS NULL")
    if there is None:
        return False
    if sign in SIGNS:
        return SIGNS[sign](there, value)
    if sign in ("IN", "NOT IN"):
        return (there in value) is (sign == "IN")
    if sign == "LIKE":
        return like(there, value)
    return like(lowered(there), lowered(value))


def in_order(found: list[Known], order: list[tuple[str, str, bool]]) -> list[Known]:
    """MLflow's order: what is missing last, NaN before it, then the newest, then by id."""
    found = sorted(found, key=lambda each: (-each.start_ms, each.id))
    for entity, key, descending in reversed(order):
        values = {each.id: each.value(entity, key) for each in found}
        missing = [each for each in found if values[each.id] is None]
        nan = [each for each in found if values[each.id] is not None and values[each.id] != values[each.id]]
        rest = [each for each in found if each not in missing and each not in nan]
        found = [*sorted(rest, key=lambda each: values[each.id], reverse=descending), *nan, *missing]
    return found


def quoted(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(quoted, value))})"
    if isinstance(value, float):
        return "1e999" if value == math.inf else "-1e999" if value == -math.inf else repr(value)
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


numbers = st.sampled_from([value for value in NUMBERS if value == value] + [0.5, 3.0])
texts = st.sampled_from([*TEXTS, "c", "a%", "%b", "_", "%", "A%", "a!%", "%é", "a" * 120 + "%", "9%"])
text_tests = st.one_of(
    st.tuples(st.sampled_from(["=", "!=", "LIKE", "ILIKE"]), texts),
    st.tuples(st.sampled_from(["IN", "NOT IN"]), st.lists(texts, min_size=1, max_size=3).map(tuple)),
)
nothing = st.tuples(st.sampled_from(["IS NULL", "IS NOT NULL"]), st.none())
starts = st.integers(1_700_000_000_000, 1_700_000_000_011)
comparisons = st.one_of(
    st.tuples(
        st.just("metric"),
        st.sampled_from("mno"),
        st.one_of(st.tuples(st.sampled_from([*SIGNS]), numbers), nothing),
    ),
    st.tuples(st.just("param"), st.sampled_from("pq"), st.one_of(text_tests, nothing)),
    st.tuples(st.just("tag"), st.sampled_from(["t", "rare"]), st.one_of(text_tests, nothing)),
    st.tuples(st.just("attribute"), st.just("run_name"), text_tests),
    st.tuples(st.just("attribute"), st.just("start_time"), st.tuples(st.sampled_from([*SIGNS]), starts)),
    st.tuples(
        st.just("attribute"),
        st.just("status"),
        st.one_of(
            st.tuples(
                st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
                st.sampled_from(["FINISHED", "F%", "f%", "odd"]),
            ),
            st.just(("IN", ("FAILED", "KILLED"))),
        ),
    ),
)
orders = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(("metric", name) for name in "mno"),
                *(("param", "p"), ("tag", "t"), ("attribute", "end_time"), ("attribute", "start_time")),
                *(("attribute", "status"), ("attribute", "run_name")),
            ]
        ),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda each: each[0],
)


@given(
    asked=st.lists(comparisons, max_size=3),
    order=orders,
    scopes=st.sampled_from([(0, 1, 2), (0,), (1, 2), None]),
    view=st.sampled_from(["active", "deleted", "all"]),
    limit=st.sampled_from([1, 2, 7, 100]),
    few=st.sampled_from([0, 300]),
)
@example([], [(("metric", "m"), True)], (0, 1), "active", 2, 0)
@example([("metric", "m", ("!=", 1.0))], [(("metric", "m"), False)], (0,), "all", 3, 0)
@example([("metric", "m", ("IS NOT NULL", None))], [(("metric", "m"), False)], (0, 1), "all", 2, 0)
@example([("metric", "m", ("IS NULL", None))], [(("metric", "m"), False)], (0, 1), "all", 2, 0)
@example([("attribute", "run_name", ("ILIKE", "É"))], [], (0, 1), "all", 2, 0)
def test_a_search_finds_what_mlflow_would(
    world: tuple[Database, list[Known]],
    asked: list[Any],
    order: list[Any],
    scopes: tuple[int, ...] | None,
    view: Any,
    limit: int,
    few: int,
) -> None:
    """Any filter, order, view and page size gives the runs that the words mean, each once, in their order,
    whether an order's index is followed or the rows of a comparison are sorted."""
    database, made = world
    ids = sorted({each.experiment for each in made})
    experiments = None if scopes is None else tuple(ids[at] for at in scopes)
    shown = {"active": [False], "deleted": [True], "all": [False, True]}[view]
    expected = [
        known
        for known in made
        if (experiments is None or known.experiment in experiments)
        and known.deleted in shown
        and all(passes(known, entity, key, sign, value) for entity, key, (sign, value) in asked)
    ]
    expected = in_order(expected, [(entity, key, descending) for (entity, key), descending in order])

    found: list[str] = []
    token = ""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(searching, "_FEW", few)
        while True:
            page = search(
                database,
                Search(
                    experiments=experiments,
                    filter=" and ".join(
                        f"{entity}.{key} {sign} {'' if value is None else quoted(value)}"
                        for entity, key, (sign, value) in asked
                    ),
                    order_by=tuple(f"{entity}.{key} {'DESC' * down}" for (entity, key), down in order),
                    view=view,
                    limit=limit,
                    token=token,
                ),
            )
            found += [run.id for run in page.found]
            token = page.token
            if not token:
                break
            assert len(page.found) == limit
            assert len(found) < len(made)

    assert found == [known.id for known in expected]


SCANS = re.compile(r"SCAN (run|o\d+|d|s|t|metric|param|tag|input)\b(?! USING INDEX run_newest)")
ONE = (1,)


@pytest.fixture(scope="module")
def schema() -> Iterator[SqliteDatabase]:
    """A database of the newest schema, with nothing in it."""
    made = SqliteDatabase(":memory:")
    made.migrate(all_migrations())
    yield made
    made.close()


@pytest.mark.parametrize("few", [0, 300], ids=["ordered", "sorted"])
@pytest.mark.parametrize(
    ("text", "order", "scope"),
    [
        ("", "", ONE),
        ("", "", None),
        ("", "metrics.auc DESC", ONE),
        ("", "metrics.auc DESC", (1, 2, 3)),
        ("", "metrics.auc DESC", None),
        ("metrics.auc > 0.9", "metrics.auc DESC", ONE),
        ("metrics.auc > 0.9", "metrics.auc DESC", (1, 2, 3)),
        ("metrics.auc > 0.9", "metrics.auc DESC", tuple(range(1, 100))),
        ("metrics.auc > 0.9", "", ONE),
        ("metrics.auc != 0.9", "", ONE),
        ("metrics.auc <= 0.9 and metrics.loss < 1", "metrics.f1 ASC", ONE),
        ("params.lr = '0.1'", "metrics.auc DESC", ONE),
        ("params.lr = 0.1", "", None),
        ("params.lr > 0.1", "", ONE),
        ("params.lr IN ('0.1', '0.2')", "params.lr", ONE),
        ("params.lr LIKE '0.%'", "tags.team DESC", ONE),
        ("params.lr ILIKE '%x%'", "", ONE),
        ("tags.team = 'a'", "", ONE),
        ("tags.team IS NULL", "", ONE),
        ("tags.team IS NOT NULL", "", ONE),
        ("tags.team NOT IN ('a')", "metrics.auc", ONE),
        ("run_id IN ('a', 'b')", "", ONE),
        ("run_name = 'a'", "", None),
        ("run_name LIKE 'a%'", "end_time DESC", ONE),
        ("status = 'FAILED' and start_time > 17", "", ONE),
        ("took > '2h'", "took DESC", ONE),
        ("datasets.name = 'a'", "", ONE),
        ("datasets.name = 'a' and datasets.context = 'train'", "metrics.auc DESC", ONE),
        ("attributes.user_id = 'a'", "", ONE),
    ],
)
def test_an_index_leads_to_what_is_found(
    schema: SqliteDatabase, text: str, order: str, scope: tuple[int, ...] | None, few: int
) -> None:
    """For no kind of filter or order are all runs, metrics, parameters, tags or inputs read."""
    wanted = Wanted(parse_filter(text), (parse_order(order),) if order else (), scope)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(searching, "_FEW", few)
        statements = list(plan(schema, RUNS, wanted, RUN_COLUMNS, NOW_US))

    assert statements
    for statement in statements:
        steps = schema.read(f"EXPLAIN QUERY PLAN {statement.sql}", **statement.parameters)
        assert not [step["detail"] for step in steps if SCANS.search(step["detail"])], statement.sql


def test_a_plan_that_reads_all_is_seen(schema: SqliteDatabase) -> None:
    """What the test above looks for is there when no index helps."""
    wanted = Wanted(parse_filter("project = 'a'"), (parse_order("seed"),))

    (statement,) = plan(schema, RUNS, wanted, RUN_COLUMNS, NOW_US)

    steps = schema.read(f"EXPLAIN QUERY PLAN {statement.sql}", **statement.parameters)
    assert any(SCANS.search(step["detail"]) for step in steps)


MANY = """
INSERT INTO run SELECT (jsonb_populate_record(run, jsonb_build_object(
    'id', lpad(n::text, 26, '0'), 'created_us', n))).* FROM run, generate_series(1, 4000) AS n;
INSERT INTO metric SELECT (jsonb_populate_record(metric, jsonb_build_object(
    'run_id', lpad(n::text, 26, '0'), 'value', (n * 7919 % 4001) / 4001.0))).*
    FROM metric, generate_series(1, 4000) AS n;
ANALYZE run; ANALYZE metric
"""
"""One run becomes many, which differ in a metric; and the server has counted them."""


@pytest.mark.parametrize("text", ["metrics.auc > 0.1", "metrics.auc <= 0.5 and metrics.auc != 0.25", ""])
def test_postgresql_follows_the_order_of_a_metric_too(postgres: Postgres, text: str) -> None:
    """The best 100 of many runs are read in their order from the index, and no others."""
    database = open_database(postgres.make())
    with database.transaction() as tx:
        run = Reports().begin(tx, experiment=0, name="a", started_us=1, tags={}).id
        Reports().log(tx, run, points=[Point("auc", 0.5, 0, 1)])
        tx.run(MANY)
    order = (parse_order("metrics.auc DESC"),)
    wanted = Wanted(parse_filter(text), order, (0,), limit=100)

    best = next(plan(database, RUNS, wanted, RUN_COLUMNS, NOW_US))
    assert isinstance(best.sql, Query)
    explain = f"EXPLAIN (ANALYZE, FORMAT TEXT) {best.sql.postgres}"
    steps = [str(row["QUERY PLAN"]) for row in database.read(explain, **best.parameters)]
    database.close()

    assert any("Index Scan Backward using metric_best" in step for step in steps), steps
    assert not any("Seq Scan" in step for step in steps), steps
    assert max(int(rows) for rows in re.findall(r"rows=([0-9]+)\.", "\n".join(steps))) < 300, steps


def test_datasets_are_found_by_name_digest_and_context(database: Database) -> None:
    """A run is found by what it has read, once however often it fits; one that has read nothing is not."""
    reports = Reports()
    with database.transaction() as tx:
        read, other, none = (
            reports.begin(tx, experiment=0, name=name, started_us=1, tags={}).id for name in ("a", "b", "c")
        )
        tags = {"mlflow.data.context": "training"}
        reports.log_inputs(tx, read, [Input("iris", f"d{at}", "local", "{}", tags=tags) for at in range(2)])
        reports.log_inputs(tx, other, [Input("wine", "d0", "local", "{}")])

    def found(text: str) -> set[str]:
        return {run.id for run in search(database, Search((0,), text, ("metrics.auc",))).found}

    assert found("datasets.name = 'iris'") == found("datasets.name LIKE 'ir%'") == {read}
    assert found("datasets.digest IN ('d0')") == {read, other}
    assert found("datasets.context = 'training' and datasets.name != 'wine'") == {read}
    assert found("datasets.context != 'training'") == set()
    assert found("datasets.name IS NULL") == {none}


def test_our_own_words_are_understood(database: Database) -> None:
    """Pipelines, seeds, kinds, states, durations and times as people write them are in filters too."""
    mine = begin(database, pipeline="fit", trees=200)[0].id
    old = begin(database, pipeline="other", trees="many")[0].id
    with database.transaction() as tx:
        tx.execute("UPDATE run SET created_us = created_us - 7200000000, seed = 7 WHERE id = :id", id=old)

    def found(text: str) -> set[str]:
        return {run.id for run in Runs(database).list(filter=text)}

    assert found("pipeline = 'fit' and project LIKE 'sm%'") == {mine}
    assert found("seed = 7") == found("seed IN (7, 8)") == {old}
    assert found("state = 'running' and kind != 'script'") == {mine, old}
    assert found("started >= '1h'") == found("took < '1h'") == found("took < 3600") == {mine}
    assert found("created < '2026-01-01' and took >= 0") == set()
    assert (
        found("params.trees = 200") == found("params.trees >= 200") == found("params.trees = '200'") == {mine}
    )


def test_a_number_too_long_to_be_compared_is_passed_over(database: Database) -> None:
    """No database casts a text of any length: such a parameter neither is found nor fails a search."""
    long, short = begin(database, trees=1)[0].id, begin(database, trees=1e300)[0].id
    with database.transaction() as tx:
        digits = "1" * 140_000
        tx.execute("UPDATE param SET value = :digits WHERE run_id = :run_id", digits=digits, run_id=long)

    found = {run.id for run in Runs(database).list(filter="params.trees > 1")}

    assert found == {short}


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Search(filter="metrics.auc LIKE 'a'"), "metrics.auc is a number, and compared with 'a'"),
        (Search(filter="metrics.auc > '0.9'"), "metrics.auc is a number, and compared with '0.9'"),
        (Search(filter="params.lr < '0.9'"), "params.lr is not compared by <"),
        (Search(filter="tags.a = 1"), "tags.a is compared with 1, which is no text"),
        (Search(filter="status > 'RUNNING'"), "status is not compared by >"),
        (Search(filter="state = 'ended'"), "there is no state 'ended'"),
        (Search(filter="start_time LIKE '1%'"), "start_time is not compared by LIKE"),
        (Search(filter="start_time > 'noon'"), "'noon' is no point in time"),
        (Search(filter="took > 'long'"), "'long' is no length of time"),
        (Search(filter="seed = 'x'"), "seed is a number, and compared with 'x'"),
        (Search(filter="end_time IS NULL"), "end_time is not compared by IS NULL"),
        (Search(filter="colour = 'x'"), "a run has no attribute 'colour'"),
        (Search(filter="datasets.colour = 'x'"), "a dataset has no 'colour'"),
        (Search(filter=f"tags.a LIKE '{'%a' * 21}'"), "the pattern for tags.a is too long"),
        (Search(filter=f"tags.a ILIKE '{'_' * 501}'"), "the pattern for tags.a is too long"),
        (Search(order_by=("datasets.name",)), "a run is not ordered by its datasets"),
        (Search(order_by=("metrics.a", "metrics.a DESC")), "metrics.a is in the order twice"),
        (Search(order_by=tuple(f"metrics.a{at}" for at in range(21))), "at most 20 orders"),
        (Search(limit=0), "a page has 1 to 50000 rows, not 0"),
        (Search(limit=10**9), "a page has 1 to 50000 rows, not 1000000000"),
        (Search(experiments=tuple(range(10_001))), "at most 10000 experiments"),
        (Search(token="garbage"), "the page token does not belong to this search"),
        (Search(token="\ud800é"), "the page token does not belong to this search"),
        (Search(token="A" * 2_000_000), "the page token does not belong to this search"),
    ],
)
def test_what_means_nothing_is_refused(database: Database, wanted: Search, told: str) -> None:
    """Each mistake has one message, whatever is in the database."""
    with pytest.raises(Invalid, match=re.escape(told)):
        search(database, wanted)


def test_a_token_goes_on_where_the_page_ended(database: Database) -> None:
    """Runs that are added between pages shift nothing; the token of another search is refused."""
    reports = Reports()

    def add(name: str, started_us: int) -> None:
        with database.transaction() as tx:
            reports.begin(tx, experiment=0, name=name, started_us=started_us, tags={})

    for number in range(4):
        add(f"r{number}", number * 1000)
    first = search(database, Search((0,), limit=2))
    add("newer", 9000)

    second = search(database, Search((0,), limit=2, token=first.token))

    assert [run.name for run in first.found + second.found] == ["r3", "r2", "r1", "r0"]
    assert second.token == ""
    for other in (Search((0, 1)), Search((0,), view="all"), Search((0,), order_by=("end_time",))):
        with pytest.raises(Invalid, match="does not belong to this search"):
            search(database, Search(**{**_fields(other), "token": first.token}))


def _fields(wanted: Search) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in wanted.__struct_fields__}


def test_experiments_are_searched(database: Database) -> None:
    """Experiments are found by name, id, time and tags, with all their tags; the newest is first."""
    experiments = Experiments()
    with database.transaction() as tx:
        ids = [experiments.create(tx, name, {"team": name[0]}).id for name in ("apple", "Apricot", "bean")]
        experiments.delete(tx, ids[2])

    def found(text: str = "", **more: Any) -> list[int]:
        page = search_experiments(database, Search(filter=text, **more))
        told = tagged(database, page.found)
        assert told == [experiments.get(database, each.id) for each in page.found]
        return [each.id for each in page.found]

    assert found() == [ids[1], ids[0], 0]
    assert found(view="deleted") == [ids[2]]
    assert found("name LIKE 'a%'") == [ids[0]]
    assert found("name ILIKE 'a%'", order_by=("name DESC",)) == [ids[0], ids[1]]
    assert found(f"experiment_id IN ('{ids[0]}', '0')", order_by=("experiment_id",)) == [0, ids[0]]
    assert found("tags.team = 'A' and creation_time > 1000") == [ids[1]]
    assert found("tags.team IS NULL") == [0]
    with pytest.raises(Invalid, match="an experiment is not searched by its metrics"):
        found("metrics.auc > 1")


def test_no_scope_is_nothing(database: Database) -> None:
    """Within no experiment there is nothing to find; within none that is named, all is searched."""
    begin(database)

    assert search(database, Search(())).found == []
    assert len(search(database, Search(None)).found) == 1
    assert search_logged_models(database, Search(())).found == []
    assert {space.noun for space in (RUNS, EXPERIMENTS, LOGGED_MODELS)} == {
        "run",
        "experiment",
        "logged model",
    }
