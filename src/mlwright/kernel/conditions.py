"""Comparisons become SQL in which no word of the user stands: each value is a parameter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from mlwright.kernel.clock import parse_duration, parse_moment
from mlwright.kernel.errors import Invalid
from mlwright.kernel.fields import Field, Side, Space
from mlwright.kernel.grammar import Among, Comparison, Spelled, read_number

START = 100
"""How many letters of a text are in an index."""
LONGEST_PATTERN = 500
MOST_WILDCARDS = 20
NUMBER_SIGNS = ("=", "!=", "<", "<=", ">", ">=")
TEXT_SIGNS = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_LARGEST = 2**63 - 1
# A number as JSON begins with a digit or a sign, and nothing else does. PostgreSQL casts no number of more
# than 131,072 digits; the longest that a 64-bit float is written with has some 330.
_AS_NUMBER = (
    "CASE WHEN length({0}) <= 400 AND (substr({0}, 1, 1) BETWEEN '0' AND '9'"
    " OR (substr({0}, 1, 1) = '-' AND {0} <> '-Infinity'))"
    " THEN CAST({0} AS NUMERIC) END"
)
NEVER = "1 = 0"


class Parameters:
    """The values of a query, by the names that stand in it."""

    def __init__(self, **given: Any) -> None:
        self.values = given

    def place(self, value: Any) -> str:
        """The place of a value."""
        name = f"value_{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def places(self, values: Sequence[Any]) -> str:
        """The places of several, in parentheses."""
        return f"({', '.join(map(self.place, values))})"


def condition(space: Space, asked: Comparison, draft: Parameters, now_us: int, *, owner: str) -> str:
    """A condition on the rows of a space.

    Args:
        owner: the id of a row, wherever it is known first.

    Raises:
        Invalid: the comparison means nothing there.
    """
    if asked.entity == "attribute":
        return _of_field(space.field(asked.key), asked, draft, now_us)
    side = space.side(asked.entity, asked.key)
    missing = asked.sign == "IS NULL"
    there = Comparison(asked.entity, asked.key, "IS NOT NULL", among=asked.among) if missing else asked
    test = f"s.{side.owner} = {owner} AND {beside(side, there, 's', draft)}"
    return f"{'NOT ' * missing}EXISTS (SELECT 1 FROM {side.table} AS s WHERE {test})"  # noqa: S608 - our words


def beside(side: Side, asked: Comparison, table: str, draft: Parameters) -> str:
    """A condition on the rows that stand beside.

    Args:
        table: what their table is called.
    """
    column = f"{table}.{side.value}"
    tests = [side.also.format(table)] if side.also else []
    tests += marked(side, asked.among, table, draft)
    if side.columns:
        column = side.columns[asked.key].format(table)
    else:
        tests.append(f"{table}.name = {draft.place(asked.key)}")
    if asked.sign == "IS NOT NULL":
        tests += [f"{column} IS NOT NULL"] if side.columns else []
    elif side.numeric:
        tests.append(_of_metric(column, asked, draft))
    elif isinstance(asked.value, Spelled):
        tests.append(f"{table}.{side.typed} IN {draft.places(asked.value.kept)}")
    elif side.typed and not isinstance(asked.value, str | tuple):
        tests.append(_of_typed(f"{table}.{side.typed}", asked, draft))
    else:
        tests.append(_of_text(column, asked, draft))
    return " AND ".join(tests)


def marked(side: Side, among: Among, table: str, draft: Parameters) -> list[str]:
    """A condition on the marks of the rows that stand beside; none when all of them count.

    Args:
        table: what their table is called.
    """
    if not among:
        return []
    each = (
        " AND ".join(f"{side.marks[mark].format(table)} = {draft.place(value)}" for mark, value in marks)
        for marks in among
    )
    return [f"({' OR '.join(each)})"]


def looked_up(column: str, asked: Comparison, draft: Parameters, *, whole: bool) -> str | None:
    """A condition by which an index over the beginning of a text finds the rows, and perhaps some more.

    Args:
        column: what is indexed.
        whole: it is all of the text, not its beginning.

    Returns:
        None when an index does not help.
    """
    long = None if whole else START
    if isinstance(asked.value, Spelled):
        known = [json.loads(kept) if kept[0] == '"' else kept for kept in asked.value.kept]
        return f"{column} IN {draft.places(list(dict.fromkeys(text[:long] for text in known)))}"
    if asked.sign in ("=", "IN") and all(isinstance(value, str) for value in asked.values):
        return f"{column} IN {draft.places(list(dict.fromkeys(str(v)[:long] for v in asked.values)))}"
    if asked.sign == "=" and isinstance(asked.value, int | float):
        return f"{column} IN {draft.places([text[:long] for text in _spellings(asked.value, asked.raw)])}"
    if asked.sign == "LIKE" and (start := _before_wildcard(str(asked.value))[:START]):
        after = _next_text(start)
        ends = f" AND {column} < {draft.place(after)}" if after else ""
        return f"{column} >= {draft.place(start)}{ends}"
    return None


def _of_field(field: Field, asked: Comparison, draft: Parameters, now_us: int) -> str:
    match field.kind:
        case "text":
            return _of_text(field.sql, asked, draft)
        case "word":
            return _of_word(field, asked, draft)
        case "number":
            return _of_number(field.sql, asked, draft)
        case "duration":
            return _of_scaled(field.sql, asked, draft, 1_000_000, parse_duration)
        case "moment":
            return _of_scaled(field.sql, asked, draft, 1_000, lambda text: parse_moment(text, now_us))


def _of_text(column: str, asked: Comparison, draft: Parameters) -> str:
    if asked.sign not in TEXT_SIGNS:
        raise _no_comparison(asked, TEXT_SIGNS)
    texts = asked.values
    for value in texts:
        if not isinstance(value, str):
            raise Invalid(
                f"{asked.name} is compared with {value!r}, which is no text", hint="quote it: 'this'"
            )
    if asked.sign in ("IN", "NOT IN"):
        return f"{column} {asked.sign} {draft.places(texts)}"
    if asked.sign in ("LIKE", "ILIKE"):
        pattern = _pattern(asked)
        if asked.sign == "LIKE":
            return f"{column} LIKE {draft.place(pattern)} ESCAPE '!'"
        # As the database lowers a column: the letters of ASCII alone, in every locale.
        small = "".join(each.lower() if each.isascii() else each for each in pattern)
        return f"lower({column}) LIKE {draft.place(small)} ESCAPE '!'"
    return f"{column} {'<>' if asked.sign == '!=' else '='} {draft.place(asked.value)}"


def _of_metric(column: str, asked: Comparison, draft: Parameters) -> str:
    """A metric that is NaN differs from every number, and nothing else holds of it."""
    value = _number(asked)
    if asked.sign not in NUMBER_SIGNS:
        raise _no_comparison(asked, NUMBER_SIGNS)
    if asked.sign == "!=":
        return f"({column} <> {draft.place(value)} OR {column} IS NULL)"
    return f"{column} {asked.sign} {draft.place(value)}"


def _of_typed(column: str, asked: Comparison, draft: Parameters) -> str:
    """A parameter compared with a number: it is that number, or the text that is spelled so."""
    if asked.sign not in NUMBER_SIGNS:
        raise _no_comparison(asked, TEXT_SIGNS)
    number = _AS_NUMBER.format(column)
    if asked.sign == "=":
        spelled = draft.place(json.dumps(asked.raw))
        return f"({number} = {draft.place(asked.value)} OR {column} = {spelled})"
    return f"{number} {'<>' if asked.sign == '!=' else asked.sign} {draft.place(asked.value)}"


def _of_number(column: str, asked: Comparison, draft: Parameters) -> str:
    values = [read_number(value) if isinstance(value, str) else value for value in asked.values]
    if None in values:
        raise Invalid(f"{asked.name} is a number, and compared with {asked.values[values.index(None)]!r}")
    if asked.sign in ("IN", "NOT IN"):
        return f"{column} {asked.sign} {draft.places(values)}"
    if asked.sign not in NUMBER_SIGNS:
        raise _no_comparison(asked, (*NUMBER_SIGNS, "IN", "NOT IN"))
    return f"{column} {'<>' if asked.sign == '!=' else asked.sign} {draft.place(values[0])}"


def _of_scaled(
    column: str, asked: Comparison, draft: Parameters, scale: int, read: Callable[[str], int | None]
) -> str:
    """A number in a coarser unit than that which is kept: whoever reads the coarse one compares with that."""
    if asked.sign not in NUMBER_SIGNS:
        raise _no_comparison(asked, NUMBER_SIGNS)
    if isinstance(asked.value, str):
        at = read(asked.value)
        return f"{column} {'<>' if asked.sign == '!=' else asked.sign} {draft.place(at)}"
    value = _number(asked)
    # From `low` on it is at least the value, from `high` on more.
    low, high = _times(math.ceil, value, scale), _times(lambda v: math.floor(v) + 1, value, scale)
    match asked.sign:
        case ">=":
            return f"{column} >= {draft.place(low)}"
        case ">":
            return f"{column} >= {draft.place(high)}"
        case "<":
            return f"{column} < {draft.place(low)}"
        case "<=":
            return f"{column} < {draft.place(high)}"
        case "=":
            return f"({column} >= {draft.place(low)} AND {column} < {draft.place(high)})"
        case _:
            return f"({column} < {draft.place(low)} OR {column} >= {draft.place(high)})"


def _of_word(field: Field, asked: Comparison, draft: Parameters) -> str:
    """Which of the few words fit is found here; the database is asked for what is kept for them."""
    if asked.sign not in TEXT_SIGNS:
        raise _no_comparison(asked, TEXT_SIGNS)
    said = [str(value) for value in asked.values]
    if asked.sign in ("LIKE", "ILIKE"):
        pattern = _pattern(asked, escape=False)
        small = str.lower if asked.sign == "ILIKE" else str
        fit = [word for word in field.words if _is_like(small(word), small(pattern))]
    else:
        if (
            field.strict
            and (unknown := next((each for each in said if each not in field.words), None)) is not None
        ):
            raise Invalid(f"there is no {asked.key} {unknown!r}", hint=f"one of {', '.join(field.words)}")
        inside = asked.sign in ("=", "IN")
        fit = [word for word in field.words if (word in said) is inside]
    kept = [each for word in fit for each in field.words[word]]
    return f"{field.sql} IN {draft.places(kept)}" if kept else NEVER


def _number(asked: Comparison) -> int | float:
    if isinstance(asked.value, int | float):
        return asked.value
    told = asked.value if asked.value is not None else asked.sign
    raise Invalid(
        f"{asked.name} is a number, and compared with {told!r}", hint="write numbers without quotes"
    )


def _times(rounded: Callable[[float], int], value: float, scale: int) -> int:
    """In the finer unit, within 64 bits."""
    if not math.isfinite(value):
        return _LARGEST if value > 0 else -_LARGEST
    return max(-_LARGEST, min(_LARGEST, rounded(value) * scale))


def _pattern(asked: Comparison, *, escape: bool = True) -> str:
    """A pattern in which only `%` and `_` mean something."""
    if not isinstance(asked.value, str):
        raise Invalid(
            f"{asked.name} is compared with {asked.value!r}, which is no text", hint="quote it: 'this'"
        )
    pattern = asked.value
    if len(pattern) > LONGEST_PATTERN or pattern.count("%") > MOST_WILDCARDS:
        raise Invalid(
            f"the pattern for {asked.name} is too long",
            hint=f"at most {LONGEST_PATTERN} letters, and {MOST_WILDCARDS} times %",
        )
    return pattern.replace("!", "!!") if escape else pattern


def _is_like(text: str, pattern: str) -> bool:
    """Whether all of a short text fits a pattern, in time that grows with the product of both."""
    reached = {0}
    for letter in pattern:
        if letter == "%":
            reached = set(range(min(reached), len(text) + 1)) if reached else reached
        else:
            reached = {at + 1 for at in reached if at < len(text) and letter in ("_", text[at])}
    return len(text) in reached


def _before_wildcard(pattern: str) -> str:
    at = min((pattern.index(each) for each in "%_" if each in pattern), default=len(pattern))
    return pattern[:at]


def _next_text(start: str) -> str:
    """The first text after all that begin so; nothing when there is none."""
    while start:
        code = ord(start[-1]) + 1
        if code <= 0x10FFFF:
            return start[:-1] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)
        start = start[:-1]
    return ""


def _spellings(number: int | float, raw: str) -> list[str]:
    """How JSON spells a number, whole or not, and how it was written."""
    found = [raw, json.dumps(number)]
    if math.isfinite(number):
        if float(number) == number:
            found.append(json.dumps(float(number)))
        if number == int(number):
            found.append(str(int(number)))
        if number == 0:
            found.append("-0.0")
    return list(dict.fromkeys(found))


def _no_comparison(asked: Comparison, signs: Sequence[str]) -> Invalid:
    told = f"{asked.name} is not compared by {asked.sign}"
    return Invalid(told, hint=f"one of {', '.join(signs)}")
