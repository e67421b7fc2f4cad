"""Searches of this room: runs, experiments, logged models, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source
from mlwright.kernel.errors import Invalid
from mlwright.kernel.fields import Space
from mlwright.kernel.grammar import Among, Comparison, parse_filter, parse_order
from mlwright.kernel.pages import Found
from mlwright.kernel.search import Row, View, Wanted, find
from mlwright.tracking.experiments import Experiment
from mlwright.tracking.fields import EXPERIMENTS, LOGGED_MODELS, RUN_COLUMNS, RUNS
from mlwright.tracking.run import Run, run_of

MOST_ROWS = 50_000

_SQL = Queries.beside(__file__)
_EXPERIMENT_COLUMNS = ("id", "name", "created_us", "updated_us", "deleted_us")
_DIGITS = 20


class Search(Struct, frozen=True):
    """What is searched for.

    Args:
        experiments: within which, by id; None is all.
        filter: what must hold: `metrics.auc > 0.9 and tags.team = 'a'`.
        order_by: `metrics.auc DESC`; the first counts most. What has no such value comes last.
        view: `active`, `deleted` or `all`.
        limit: at most so many on a page.
        token: of the page before; empty for the first.
    """

    experiments: tuple[int, ...] | None = None
    filter: str = ""
    order_by: tuple[str, ...] = ()
    view: View = "active"
    limit: int = 1000
    token: str = ""


def search(source: Source, wanted: Search) -> Found[Run]:
    """Search runs; among equals the newest comes first.

    Raises:
        Invalid: a word of it cannot be understood, the limit is not from 1 to 50,000, or the token belongs to
            another search.
    """
    page = _find(source, RUNS, wanted, RUN_COLUMNS)
    return Found([run_of(row) for row in page.found], page.token, ending=page.ending)


def search_experiments(source: Source, wanted: Search) -> Found[Experiment]:
    """Search experiments; without an order the newest come first.

    Returns:
        Experiments without their tags, which `tagged` adds.

    Raises:
        Invalid: as for runs.
    """
    page = _find(source, EXPERIMENTS, wanted, _EXPERIMENT_COLUMNS)
    return Found([Experiment(**row, tags={}) for row in page.found], page.token, ending=page.ending)


def tagged(source: Source, experiments: Sequence[Experiment]) -> list[Experiment]:
    """Experiments with their tags, in one query."""
    tags: dict[int, dict[str, str]] = {each.id: {} for each in experiments}
    # Ids of one length, one behind the other.
    ids = "".join(f"{identity:0{_DIGITS}}" for identity in tags)
    if ids:
        for row in source.read(_SQL["tags_of_experiments"], ids=ids):
            tags[row["experiment_id"]][row["name"]] = row["value"]
    return [replace(each, tags=tags[each.id]) for each in experiments]


def search_logged_models(
    source: Source, wanted: Search, *, datasets: Among = (), ordered_on: Sequence[Among] = ()
) -> Found[str]:
    """Search logged models; among equals the newest comes first.

    Args:
        datasets: only what was measured on these counts for the filter; and something was, of each model. A
            dataset is told by `name`, `digest` or both.
        ordered_on: for each of the orders, on which datasets was measured what it looks at.

    Returns:
        Their ids.

    Raises:
        Invalid: as for runs.
    """
    asked = _asked(wanted)
    order = asked.order
    if ordered_on:
        pairs = zip(order, ordered_on, strict=True)
        order = tuple(replace(each, among=among) for each, among in pairs)
    where = asked.where
    if datasets:
        where = tuple(replace(each, among=datasets) if each.entity == "metric" else each for each in where)
        if where == asked.where:
            where += (Comparison("dataset", "name", "IS NOT NULL", among=datasets),)
    page = find(source, LOGGED_MODELS, replace(asked, where=where, order=order), ("id",), now_us())
    return Found([row["id"] for row in page.found], page.token, ending=page.ending)


def _find(source: Source, space: Space, wanted: Search, columns: tuple[str, ...]) -> Found[Row]:
    return find(source, space, _asked(wanted), columns, now_us())


def _asked(wanted: Search) -> Wanted:
    if not 1 <= wanted.limit <= MOST_ROWS:
        raise Invalid(f"a page has 1 to {MOST_ROWS} rows, not {wanted.limit}")
    return Wanted(
        where=parse_filter(wanted.filter),
        order=tuple(parse_order(each) for each in wanted.order_by),
        scope=wanted.experiments,
        view=wanted.view,
        limit=wanted.limit,
        token=wanted.token,
    )
