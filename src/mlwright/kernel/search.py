"""Searches: what is wanted of a space is found page by page.

A search costs what it matches and answers, not what there is. It follows the index of its order, newest first
or by a metric, and stops when the page is full; unless one of its comparisons is known, by counting at most
so many entries of an index, to fit so few rows that it costs less to take those and sort them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mlwright.kernel.database import Source
from mlwright.kernel.drafts import PARTS, Draft, Part, Statement, View, Wanted, is_of
from mlwright.kernel.errors import Invalid
from mlwright.kernel.fields import Side, Space
from mlwright.kernel.grammar import Comparison
from mlwright.kernel.pages import Found, Mark, read_mark, write_mark

__all__ = ["Row", "View", "Wanted", "find", "plan"]

MOST_ORDERS = 20
MOST_SCOPES = 10_000
_FEW = 300
"""With the root of the limit: where sorting what fits begins to cost more than following an order."""
_MANY = 100_000
_LARGEST = 2**63 - 1


Row = dict[str, Any]


def find(source: Source, space: Space, wanted: Wanted, columns: Sequence[str], now_us: int) -> Found[Row]:
    """Search.

    Args:
        columns: what is asked of each row: columns of the space's table.
        now_us: the present.

    Raises:
        Invalid: something in it means nothing here; or the token belongs to another search.
    """
    search = _Search(space, wanted, columns, now_us)
    rows: list[Row] = []
    if wanted.scope == ():
        return search.page(rows)
    driver = search.driver(source)
    most = min(wanted.limit + 1, _LARGEST)
    for part in search.parts(driver):
        statement = search.statement(part, driver, most - len(rows))
        rows += source.read(statement.sql, **statement.parameters)
        if len(rows) > wanted.limit:
            break
    return search.page(rows)


def plan(
    source: Source, space: Space, wanted: Wanted, columns: Sequence[str], now_us: int
) -> Iterator[Statement]:
    """The statements that `find` would run, if each part of the answer were needed."""
    search = _Search(space, wanted, columns, now_us)
    driver = search.driver(source)
    for part in search.parts(driver):
        yield search.statement(part, driver, wanted.limit + 1)


class _Search:
    """One search, while it is worked out."""

    def __init__(self, space: Space, wanted: Wanted, columns: Sequence[str], now_us: int) -> None:
        self._space, self._wanted, self._columns = space, wanted, columns
        _check(wanted)
        self._mark = read_mark(wanted.token, self._identity) if wanted.token else Mark(now_us, ())
        # Whatever cannot be understood is said before anything is read.
        tried = self._draft()
        tried.hold(wanted.where)
        tried.sort("all")
        if self._mark.keys and len(self._mark.keys) != len(tried.keys):
            raise Invalid("the page token does not belong to this search")

    @property
    def _identity(self) -> str:
        """What a page token holds good for."""
        wanted = self._wanted
        return repr((self._space.noun, wanted.where, wanted.order, wanted.scope, wanted.view, wanted.ties))

    @property
    def _walked(self) -> Side | None:
        """The metrics whose index has the order that is wanted."""
        if not self._wanted.order or self._wanted.order[0].entity == "attribute":
            return None
        order = self._wanted.order[0]
        side = self._space.side(order.entity, order.key)
        return side if side.numeric and side.alone and side.scope else None

    @property
    def _newest(self) -> bool:
        """Whether the index of the table itself has the order that is wanted."""
        space, order = self._space, self._wanted.order
        if order:
            return order[0].entity == "attribute" and space.field(order[0].key).sql == space.newest
        return (self._wanted.ties or space.ties)[0][0] == space.newest

    def _draft(self) -> Draft:
        return Draft(self._space, self._wanted, self._mark)

    def driver(self, source: Source) -> Comparison | None:
        """The comparison whose rows are taken and sorted; None when an order is followed."""
        ordered = self._newest or self._walked is not None
        order = self._wanted.order[0] if self._wanted.order else None
        known = [asked for asked in self._wanted.where if self._draft().looked_up(asked) is not None]
        of_order = [asked for asked in known if ordered and order is not None and is_of(asked, order)]
        if not known or len(known) == len(of_order):
            return None
        if len(known) == 1 and not ordered:
            return known[0]
        most = min(_MANY, int(_FEW * math.sqrt(self._wanted.limit + 1)))
        best, fewest = None, most + 1
        for asked in known:
            counted = self._draft().count(asked, most)
            count = int(source.read(counted.sql, **counted.parameters)[0]["rows"])
            if count < fewest:
                best, fewest = asked, count
        return None if best in of_order or (ordered and fewest >= most) else best

    def parts(self, driver: Comparison | None) -> list[Part]:
        """In which parts the answer comes."""
        if driver is not None or self._walked is None:
            return ["all"]
        signs = {asked.sign for asked in self._wanted.where if is_of(asked, self._wanted.order[0])}
        if "IS NULL" in signs:
            return ["missing"]
        first = int(self._mark.keys[0]) if self._mark.keys else 0
        # Of NaN nothing holds but that it is there, and that it differs.
        return list(PARTS[first : 3 if not signs else 2 if signs <= {"!=", "IS NOT NULL"} else 1])

    def statement(self, part: Part, driver: Comparison | None, limit: int) -> Statement:
        """What is read for a part of the answer."""
        draft, wanted, side = self._draft(), self._wanted, self._walked
        held = [asked for asked in wanted.where if asked is not driver]
        if driver is not None:
            draft.drive(driver)
        elif side is not None and part in ("numbers", "nan"):
            draft.walk(side, part)
            held = [asked for asked in held if not is_of(asked, wanted.order[0])]
        else:
            draft.scan()
        newest = driver is None and part == "all" and self._newest
        draft.bound(by_scope=driver is None and part in ("all", "missing"), newest=newest)
        draft.hold(held)
        if part == "missing":
            draft.lack(wanted.order[0])
        draft.sort(part)
        draft.go_on(part)
        return draft.finished(self._columns, limit, in_order=newest or part != "all")

    def page(self, rows: list[Row]) -> Found[Row]:
        """The rows of a page, and where the next begins."""
        limit = self._wanted.limit
        names = [name for name in rows[0] if name.startswith("key_")] if rows else []
        keys = [tuple(row.pop(name) for name in names) for row in rows]

        def ending(count: int) -> str:
            keys_there = keys[count - 1] if count else self._mark.keys
            return write_mark(Mark(self._mark.now_us, keys_there), self._identity)

        return Found(rows[:limit], ending(limit) if len(rows) > limit else "", ending=ending)


def _check(wanted: Wanted) -> None:
    if not 1 <= wanted.limit <= _LARGEST:
        raise Invalid(f"a page cannot have {wanted.limit} rows")
    if len(wanted.order) > MOST_ORDERS:
        raise Invalid(f"a search has at most {MOST_ORDERS} orders, not {len(wanted.order)}")
    names = [(each.entity, each.key, each.among) for each in wanted.order]
    if twice := next(
        (each for each, name in zip(wanted.order, names, strict=True) if names.count(name) > 1), None
    ):
        raise Invalid(f"{twice.name} is in the order twice")
    if wanted.scope is not None and len(wanted.scope) > MOST_SCOPES:
        raise Invalid(f"a search is in at most {MOST_SCOPES} experiments, not {len(wanted.scope)}")
