"""What can be searched: a table, what is known of its rows, and what stands beside them in other tables.

Each room says so of its own tables; `kernel/search.py` makes SQL of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from mlwright.kernel.errors import Invalid, nearest

Kind = Literal["text", "number", "moment", "duration", "word"]


class Field(Struct, frozen=True):
    """Something that is known of a row itself.

    Args:
        sql: an expression over the table; `:now_us` is the present.
        kind: `text`; `number`; `moment`, kept in microseconds, asked for in milliseconds, as `2h` or a date;
            `duration`, kept in microseconds, asked for in seconds, or as `2h`; `word`, one of `words`.
        words: what a word is called, and what is kept for it.
        strict: a word that is none of them is a mistake.
        nullable: it may be unknown; then it comes last in an order.
        start: of a text that has an index: what is indexed, all of it or `substr(..., 1, 100)`.
    """

    sql: str
    kind: Kind = "text"
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    strict: bool = False
    nullable: bool = False
    start: str = ""


class Side(Struct, frozen=True):
    """Rows of another table that belong to a row: tags, parameters, metrics, inputs.

    Args:
        table: where they are.
        owner: the column with the id of what they belong to.
        columns: the keys that a filter may have, each an expression with `{0}` for the table; none when a key
            is the content of column `name`.
        value: the column with what they say.
        numeric: that is a number, NULL for NaN.
        typed: the column with the value as JSON, by which numbers are compared.
        indexed: there is an index by name and then by `scope` and value, or by `substr(value, 1, 100)`.
        scope: the column of the same meaning as that of the space.
        alone: a row has at most one of a name.
        latest: where it has several: which counts in an order, as `column, column` and what comes first.
        also: what else holds of them, with `{0}` for the table.
        marks: what tells those of one name apart, each an expression with `{0}` for the table.
    """

    table: str
    owner: str
    columns: Mapping[str, str] = field(default_factory=dict)
    value: str = "value"
    numeric: bool = False
    typed: str = ""
    indexed: bool = True
    scope: str = ""
    alone: bool = True
    latest: tuple[str, str] = ("", "")
    also: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)


class Space(Struct, frozen=True):
    """A table that can be searched.

    Args:
        noun: what its rows are called, for messages: `run`.
        table: its name, or a query in parentheses.
        name: what it is called in SQL.
        id: the column that tells rows apart.
        fields: what is known of a row, by what it is called.
        sides: what stands beside, by the entity of a filter.
        scope: the column by which a search is bounded: the experiment of a run.
        scopes: a query for all of them.
        deleted: the column with the moment a row was deleted.
        newest: a column that an index has after `scope`, and one alone.
        ties: what decides among equals: columns, and whether the largest is first. The last is unique.
    """

    noun: str
    table: str
    name: str
    id: str
    fields: Mapping[str, Field]
    sides: Mapping[str, Side] = field(default_factory=dict)
    scope: str = ""
    scopes: str = ""
    deleted: str = ""
    newest: str = ""
    ties: tuple[tuple[str, bool], ...] = ()

    def field(self, key: str) -> Field:
        """What is known by a name.

        Raises:
            Invalid: nothing is.
        """
        if key not in self.fields:
            raise Invalid(f"{_a(self.noun)} has no attribute {key!r}", hint=nearest(key, [*self.fields]))
        return self.fields[key]

    def side(self, entity: str, key: str) -> Side:
        """What stands beside.

        Raises:
            Invalid: there is nothing of that kind, or it has no such key.
        """
        if entity not in self.sides:
            there = ", ".join(f"{each}s" for each in ("attribute", *self.sides))
            raise Invalid(f"{_a(self.noun)} is not searched by its {entity}s", hint=f"one of {there}")
        side = self.sides[entity]
        if side.columns and key not in side.columns:
            raise Invalid(f"a {entity} has no {key!r}", hint=f"one of {', '.join(side.columns)}")
        return side


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
