"""A statement of a search, put together piece by piece. Names of tables and columns are ours, values are
parameters: no word of the user stands in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from mlwright.kernel.conditions import Parameters, beside, condition, looked_up, marked
from mlwright.kernel.database import Query
from mlwright.kernel.errors import Invalid
from mlwright.kernel.fields import Side, Space
from mlwright.kernel.grammar import Comparison, Order
from mlwright.kernel.pages import Mark

View = Literal["active", "deleted", "all"]
Part = Literal["all", "numbers", "nan", "missing"]
PARTS: tuple[Part, ...] = ("numbers", "nan", "missing")
"""What is ordered by a metric comes in this order; `all` is all of it at once, sorted."""

_MOST_LANES = 32
_UNINDEXED = "+"
"""Before a column: SQLite takes no index for it. PostgreSQL would no longer know how many rows it leaves."""


class Wanted(Struct, frozen=True):
    """What is wanted of a space.

    Args:
        where: all of it must hold.
        order: the first decides; among equals `ties`, or else those of the space.
        scope: within which; None is all.
        limit: at most so many rows.
        token: of the page before; empty for the first.
        ties: as in `Space`.
    """

    where: tuple[Comparison, ...] = ()
    order: tuple[Order, ...] = ()
    scope: tuple[int, ...] | None = None
    view: View = "active"
    limit: int = 100
    token: str = ""
    ties: tuple[tuple[str, bool], ...] = ()


class Statement(Struct, frozen=True):
    """SQL with the parameters it names."""

    sql: str
    parameters: dict[str, Any]


class Key(Struct, frozen=True):
    """One expression of an order."""

    sql: str
    descending: bool = False

    @property
    def way(self) -> str:
        """Which way, in SQL."""
        return f"{self.sql} {'DESC' if self.descending else 'ASC'}"


class Draft(Parameters):
    """One statement."""

    def __init__(self, space: Space, wanted: Wanted, mark: Mark) -> None:
        super().__init__(now_us=mark.now_us)
        self._space, self._wanted, self._mark = space, wanted, mark
        self._tables: list[str] = []
        self._where: list[str] = []
        self._owner = space.id
        self.keys: list[Key] = []

    def looked_up(self, asked: Comparison) -> tuple[str, str] | None:
        """The table in which an index finds a comparison, and the condition; None when none does."""
        space = self._space
        if asked.entity == "attribute":
            field = space.field(asked.key)
            if not field.start:
                return None
            found = looked_up(field.start, asked, self, whole="substr" not in field.start)
            return None if found is None else (f"{space.table} AS {space.name}", found)
        side = space.side(asked.entity, asked.key)
        if not side.indexed or asked.sign in ("!=", "ILIKE", "NOT IN", "IS NULL"):
            return None
        tests = [beside(side, asked, "d", self)]
        if side.numeric:
            tests += [f"d.{side.scope} = :scope"] if side.scope else []
        elif asked.sign != "IS NOT NULL" or side.columns:
            column = side.columns.get(asked.key, f"substr({{0}}.{side.value}, 1, 100)").format("d")
            found = looked_up(column, asked, self, whole=bool(side.columns))
            if found is None:
                return None
            tests.append(found)
        return f"{side.table} AS d", " AND ".join(tests)

    def count(self, asked: Comparison, most: int) -> Statement:
        """How many entries of an index a comparison has, counted up to so many."""
        found = self.looked_up(asked)
        assert found is not None
        table, test = found
        few = f"SELECT 1 AS one FROM {table} WHERE {test} LIMIT {self.place(most)}"  # noqa: S608
        return self._statement(f"SELECT count(*) AS rows FROM ({few}) AS few")  # noqa: S608

    def walk(self, side: Side, part: Part) -> None:
        """Begin with the index of a metric, in its order."""
        space, order = self._space, self._wanted.order[0]
        self._tables.append(f"{side.table} AS o0 CROSS JOIN {space.table} AS {space.name}")
        self._where += [f"o0.name = {self.place(order.key)}", f"o0.{side.scope} = :scope"]
        value = f"o0.{side.value}"
        self._where.append(f"{value} IS NULL" if part == "nan" else f"{value} >= {self.place(-math.inf)}")
        self._where += [
            beside(side, asked, "o0", self) for asked in self._wanted.where if is_of(asked, order)
        ]
        self._found_by(f"o0.{side.owner}")

    def drive(self, driver: Comparison) -> None:
        """Begin with the rows that one comparison finds."""
        space, found = self._space, self.looked_up(driver)
        assert found is not None
        table, test = found
        if driver.entity == "attribute":
            self._tables.append(table)
            self._where += [test, self._condition(driver)]
            return
        side = space.side(driver.entity, driver.key)
        distinct = "" if side.alone else "DISTINCT "
        owners = f"(SELECT {distinct}d.{side.owner} AS id FROM {table} WHERE {test}) AS driver"  # noqa: S608
        self._tables.append(f"{owners} CROSS JOIN {space.table} AS {space.name}")
        self._found_by("driver.id")

    def scan(self) -> None:
        """Begin with the table itself."""
        self._tables.append(f"{self._space.table} AS {self._space.name}")

    def bound(self, *, by_scope: bool, newest: bool) -> None:
        """Keep to the scope and the view.

        Args:
            by_scope: an index by the scope leads to the rows.
            newest: that of the newest gives their order.
        """
        space, wanted = self._space, self._wanted
        if space.scope and wanted.scope is not None:
            self._where.append(f"{'' if by_scope else _UNINDEXED}{space.scope} = :scope")
        elif newest and not any(map(self._bounds_newest, wanted.where)):
            # True of every row: SQLite then takes the index that has the order, and sorts nothing.
            self._where.append(f"{space.newest} >= {self.place(-(2**63))}")
        if space.deleted and wanted.view != "all":
            self._where.append(f"{space.deleted} IS {'NOT ' * (wanted.view == 'deleted')}NULL")

    def hold(self, comparisons: Sequence[Comparison]) -> None:
        """Keep to what passes."""
        self._where += map(self._condition, comparisons)

    def lack(self, order: Order) -> None:
        """Keep to what has nothing to be ordered by."""
        self.hold([Comparison(order.entity, order.key, "IS NULL")])

    def sort(self, part: Part) -> None:
        """Order by what is wanted: first comes what has it, and last the ties decide."""
        space = self._space
        for number, order in enumerate(self._wanted.order):
            if order.entity == "attribute":
                field = space.field(order.key)
                said = _said(field.sql, field.words) if field.words else field.sql
                present = [Key(f"CASE WHEN {said} IS NULL THEN 1 ELSE 0 END")] if field.nullable else []
                self.keys += [*present, Key(said, order.descending)]
                continue
            side, table = space.side(order.entity, order.key), f"o{number}"
            if side.columns:
                raise Invalid(f"a {space.noun} is not ordered by its {order.entity}s")
            value = f"{table}.{side.value}"
            if number == 0 and part != "all":
                # Constants, which are no keys of this part; but they stand in the token.
                number_or_none = value if part == "numbers" else "NULL"
                self.keys += [Key(str(PARTS.index(part))), Key(number_or_none, order.descending)]
                continue
            self._join(side, order, table)
            rest = f"WHEN {table}.{side.owner} IS NULL THEN 2 ELSE 1 END"
            self.keys += [Key(f"CASE WHEN {value} IS NOT NULL THEN 0 {rest}"), Key(value, order.descending)]
        known = {key.sql for key in self.keys}
        ties = self._wanted.ties or space.ties
        self.keys += [Key(sql, descending) for sql, descending in ties if sql not in known]

    def go_on(self, part: Part) -> None:
        """Begin after the last row of the page before."""
        after: Sequence[Any] = self._mark.keys
        if not after or (part != "all" and int(after[0]) != PARTS.index(part)):
            return
        # Where there is nothing to be ordered by, all are equal; and a part is all of one kind.
        pairs = [(key, value) for key, value in zip(self.keys, after, strict=True) if value is not None]
        pairs = pairs[part != "all" :]
        beyond = ""
        for key, value in reversed(pairs):
            place = self.place(value)
            equal = f" OR ({key.sql} = {place} AND {beyond})" if beyond else ""
            beyond = f"({key.sql} {'<' if key.descending else '>'} {place}{equal})"
        key, value = pairs[0]
        self._where += [f"{key.sql} {'<=' if key.descending else '>='} {self.place(value)}", beyond]

    def finished(self, columns: Sequence[str], limit: int, *, in_order: bool) -> Statement:
        """The statement.

        Args:
            in_order: an index gives the order within a scope. Several scopes then get a lane each, of which
                no more is read than the limit, and are merged.
        """
        ways = [(at, key) for at, key in enumerate(self.keys) if not key.sql.isdigit() and key.sql != "NULL"]
        named = [f"{self._space.name}.{column}" for column in columns]
        named += [f"{key.sql} AS key_{at}" for at, key in enumerate(self.keys)]
        where = f" WHERE {' AND '.join(self._where)}" if self._where else ""
        order, end = ", ".join(key.way for _, key in ways), f"LIMIT {self.place(limit)}"
        sql = f"SELECT {', '.join(named)} FROM {' '.join(self._tables)}{where} ORDER BY {order} {end}"  # noqa: S608
        scope = self._wanted.scope or ()
        if in_order and 1 < len(scope) <= _MOST_LANES and ":scope" in sql:
            lanes = [sql.replace(":scope", self.place(number)) for number in scope]
            arms = (f"SELECT * FROM ({lane}) AS lane_{at}" for at, lane in enumerate(lanes))  # noqa: S608
            merged = " UNION ALL ".join(arms)
            order = ", ".join(Key(f"key_{at}", key.descending).way for at, key in ways)
            sql = f"SELECT * FROM ({merged}) AS merged ORDER BY {order} {end}"  # noqa: S608
        return self._statement(sql)

    def _condition(self, asked: Comparison) -> str:
        return condition(self._space, asked, self, self._mark.now_us, owner=self._owner)

    def _bounds_newest(self, asked: Comparison) -> bool:
        """Whether a comparison says from where on, or up to where, the index of the newest is read."""
        of_newest = asked.entity == "attribute" and self._space.field(asked.key).sql == self._space.newest
        return of_newest and asked.sign in ("<", "<=", ">", ">=")

    def _found_by(self, owner: str) -> None:
        """Whose rows they are. What stands beside is looked at first: most are out by that."""
        self._where.append(f"{self._space.id} = {owner}")
        self._owner = owner

    def _join(self, side: Side, order: Order, table: str) -> None:
        """Beside each row what it is ordered by, where it has that."""
        tests = [f"{table}.{side.owner} = {self._space.id}", f"{table}.name = {self.place(order.key)}"]
        tests += [side.also.format(table)] if side.also else []
        if not side.alone:
            unique, first = side.latest
            own = ", ".join(f"{table}.{column}" for column in unique.split(", "))
            those = [f"s.{side.owner} = {self._space.id}", f"s.name = {self.place(order.key)}"]
            rows = " AND ".join([*those, *marked(side, order.among, "s", self)])
            newest = f"SELECT {unique} FROM {side.table} AS s WHERE {rows} ORDER BY {first} LIMIT 1"  # noqa: S608
            tests.append(f"({own}) = ({newest})")
        self._tables.append(f"LEFT JOIN {side.table} AS {table} ON {' AND '.join(tests)}")

    def _statement(self, sql: str) -> Statement:
        """With the scopes in their place, and the parameters that are used."""
        scope = self._wanted.scope
        if ":scope" in sql:
            if scope is None:
                sql = sql.replace("= :scope", f"IN ({self._space.scopes})")
            elif len(scope) == 1:
                sql = sql.replace(":scope", self.place(scope[0]))
            else:
                sql = sql.replace("= :scope", f"IN {self.places(scope)}")
        used = {name: value for name, value in self.values.items() if name != "now_us" or ":now_us" in sql}
        return Statement(Query(sql, sql.replace(f" {_UNINDEXED}", " ")), used)


def is_of(asked: Comparison, order: Order) -> bool:
    """Whether a comparison speaks of what is ordered by."""
    return (asked.entity, asked.key) == (order.entity, order.key)


def _said(sql: str, words: Mapping[str, tuple[str, ...]]) -> str:
    """A word as it is said. The words are ours."""
    cases = "".join(f" WHEN '{kept}' THEN '{word}'" for word, each in words.items() for kept in each)
    return f"CASE {sql}{cases} END"
