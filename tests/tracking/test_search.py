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
from mlwright.kernel.database import all_migrations
from mlwright.kernel.ids import RunId
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.tracking import Experiments, Point, Reports, RunState, Search
from mlwright.tracking.search import search

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
def world() -> Iterator[tuple[SqliteDatabase, list[Known]]]:
    """Runs of three experiments whose values are often equal, missing, or odd."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    experiments, reports = Experiments(database), Reports(database)
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
    yield database, made
    database.close()


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
    return like(there, value) if sign == "LIKE" else like(lowered(there), lowered(value))


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
def test_a_search_finds_what_mlflow_would(
    world: tuple[SqliteDatabase, list[Known]],
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
