"""Which runs are wanted, in the user's words; compiled to SQL in which none of those words stands."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from msgspec import Struct, field
from msgspec.structs import force_setattr

from mlwright.kernel.errors import Invalid

KINDS = ("pipeline", "script", "notebook", "comparison", "reported")

_COLUMNS = ", ".join(
    f"run.{name}"
    for name in (
        *("id", "project", "pipeline", "state", "seed", "created_us", "finished_us"),
        *("error", "pins", "kind", "wanted", "machine", "about", "experiment_id", "name", "deleted_us"),
    )
)
# A parameter is kept as JSON: a number begins with a digit or a sign, and nothing else does.
_AS_NUMBER = (
    "CASE WHEN substr(param.value, 1, 1) BETWEEN '0' AND '9'"
    " OR (substr(param.value, 1, 1) = '-' AND param.value <> '-Infinity')"
    " THEN CAST(param.value AS NUMERIC) END"
)
_COMPARISON = re.compile(r"\s*([^<>=]+?)\s*(>=|<=|==|=|>|<)\s*(.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|m|h|d|w)")
_UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 2**63 - 1

Moment = str | datetime | None


class RunFilter(Struct, frozen=True):
    """Which runs, and in which order.

    Args:
        pipeline: its name, or the path of a script or notebook.
        state: as `RunState`.
        kind: `pipeline`, `script`, `notebook`, `comparison` or `reported`.
        since: none that began before: `2h` (ago), `2026-11-20`, `2026-11-20T15:30`. A date is its beginning.
        until: none that began then or later; likewise.
        params: what parameters were: `trees=200`; numbers also by `>`, `<`, `>=`, `<=`. What reads as a
            number, or as true, means that and the text that is spelled so; `"200"` means the text alone.
        metrics: what the last values of metrics were: `auc>0.9`.
        sort: `created` (newest first), `took` (longest first), `metric:NAME` (highest first, of the runs that
            have it).
        reverse: the other way round.
        limit: at most so many.
    """

    pipeline: str | None = None
    state: str | None = None
    kind: str | None = None
    since: Moment = None
    until: Moment = None
    params: Iterable[str] = ()
    metrics: Iterable[str] = ()
    sort: str = "created"
    reverse: bool = False
    limit: int = 20

    def __post_init__(self) -> None:
        for name in ("params", "metrics"):
            given = getattr(self, name)
            # One text alone is one comparison, not its letters.
            force_setattr(self, name, (given,) if isinstance(given, str) else tuple(given))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics it speaks of, each once.

        Raises:
            Invalid: a comparison that is none.
        """
        sorted_by = [self.sort.removeprefix("metric:")] if self.sort.startswith("metric:") else []
        compared = [parse_comparison(each, "metric").name for each in self.metrics]
        return tuple(dict.fromkeys([*sorted_by, *compared]))

    @property
    def param_names(self) -> tuple[str, ...]:
        """The parameters it speaks of, each once.

        Raises:
            Invalid: a comparison that is none.
        """
        return tuple(dict.fromkeys(parse_comparison(each, "parameter").name for each in self.params))


class Nouns(TypedDict, total=False):
    """The fields of a `RunFilter`, as keywords."""

    pipeline: str | None
    state: str | None
    kind: str | None
    since: Moment
    until: Moment
    params: Iterable[str]
    metrics: Iterable[str]
    sort: str
    reverse: bool
    limit: int


class Comparison(Struct, frozen=True):
    """`auc>0.9`, taken apart; `number` when the text on its right reads as one."""

    name: str
    sign: str
    text: str
    number: int | float | None


class Statement(Struct, frozen=True):
    """SQL with the parameters it names."""

    sql: str
    parameters: dict[str, Any]


def parse_comparison(text: str, what: str) -> Comparison:
    """Take a comparison apart.

    Args:
        text: as `trees=200`.
        what: `parameter` or `metric`, for the message.

    Raises:
        Invalid: there is no sign in it, or no number where the sign needs one.
    """
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise Invalid(f"{text!r} compares no {what} with anything", hint="write NAME=VALUE or NAME>NUMBER")
    name, sign, right = found[1], "=" if found[2] == "==" else found[2], found[3]
    number = _number(right)
    if number is None and (what == "metric" or sign != "="):
        raise Invalid(f"{text!r} compares with {right!r}, which is no number")
    return Comparison(name, sign, right, number)


def parse_moment(moment: Moment, now_us: int) -> int | None:
    """A point in time in microseconds since the epoch; without an offset it is the reader's own time.

    Raises:
        Invalid: it is none.
    """
    if moment is None:
        return None
    try:
        if isinstance(moment, str):
            if ago := _AGO.fullmatch(moment.strip()):
                return max(0, now_us - int(float(ago[1]) * _UNITS_S[ago[2]] * 1e6))
            at = datetime.fromisoformat(moment.strip())
        else:
            at = moment
        return (at.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid(
            f"{moment!r} is no point in time",
            hint="write how long ago (30m, 2h, 3d) or when (2026-11-20, 2026-11-20T15:30)",
        ) from error


def compiled(wanted: RunFilter, now_us: int) -> Statement:
    """The query that answers a filter.

    Args:
        wanted: its state is checked by whoever knows the states.
        now_us: the present.

    Raises:
        Invalid: a word in it cannot be understood.
    """
    if wanted.kind is not None and wanted.kind not in KINDS:
        raise Invalid(f"there is no kind of run {wanted.kind!r}", hint=f"one of {', '.join(KINDS)}")
    if not 1 <= wanted.limit <= _LARGEST:
        raise Invalid(f"a list cannot have {wanted.limit} runs")
    query = _Query({"limit": wanted.limit})
    for column in ("pipeline", "state", "kind"):
        if (value := getattr(wanted, column)) is not None:
            query.where.append(f"run.{column} = {query.value(str(value))}")
    if (since_us := parse_moment(wanted.since, now_us)) is not None:
        query.where.append(f"run.created_us >= {query.value(since_us)}")
    if (until_us := parse_moment(wanted.until, now_us)) is not None:
        query.where.append(f"run.created_us < {query.value(until_us)}")
    for text in wanted.params:
        _add_param(query, parse_comparison(text, "parameter"))
    for text in wanted.metrics:
        _add_metric(query, parse_comparison(text, "metric"))
    _add_order(query, wanted, now_us)
    return Statement(query.sql, query.parameters)


class _Query(Struct):
    """A query that is being put together; every value becomes a parameter."""

    parameters: dict[str, Any]
    joins: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def value(self, value: Any) -> str:
        """The place of a value."""
        name = f"value_{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def where_some(self, table: str, name: str, test: str) -> None:
        """Only runs with a row of a name that passes a test."""
        of_run = f"{table}.run_id = run.id AND {table}.name = {self.value(name)}"
        self.where.append(f"EXISTS (SELECT 1 FROM {table} WHERE {of_run} AND {test})")  # noqa: S608 - our words

    @property
    def sql(self) -> str:
        """All of it."""
        where = f" WHERE {' AND '.join(self.where)}" if self.where else ""
        joins = "".join(f" {join}" for join in self.joins)
        order = ", ".join(self.order)
        return f"SELECT {_COLUMNS} FROM run{joins}{where} ORDER BY {order} LIMIT :limit"  # noqa: S608 - our words


def _add_param(query: _Query, wanted: Comparison) -> None:
    tests = []
    if wanted.number is not None:
        tests.append(f"{_AS_NUMBER} {wanted.sign} {query.value(wanted.number)}")
    if wanted.sign == "=":
        tests += [f"param.value = {query.value(text)}" for text in _spellings(wanted)]
    query.where_some("param", wanted.name, f"({' OR '.join(tests)})")


def _add_metric(query: _Query, wanted: Comparison) -> None:
    query.where_some("metric", wanted.name, f"metric.value {wanted.sign} {query.value(wanted.number)}")


def _add_order(query: _Query, wanted: RunFilter, now_us: int) -> None:
    by, _, name = wanted.sort.partition(":")
    way = "ASC" if wanted.reverse else "DESC"
    if by == "metric" and name:
        query.joins.append(
            f"JOIN metric AS shown ON shown.run_id = run.id AND shown.name = {query.value(name)}"
            " AND shown.value IS NOT NULL"
        )
        query.order.append(f"shown.value {way}")
    elif wanted.sort == "took":
        query.order.append(f"coalesce(run.finished_us, {query.value(now_us)}) - run.created_us {way}")
    elif wanted.sort != "created":
        raise Invalid(f"runs cannot be sorted by {wanted.sort!r}", hint="one of created, took, metric:NAME")
    query.order += [f"run.created_us {way}", f"run.id {way}"]


def _spellings(wanted: Comparison) -> Iterable[str]:
    """How a parameter that is as wanted is kept: as that text, or as the value that it spells."""
    found = [json.dumps(wanted.text)]
    if wanted.number is None:
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.dumps(json.loads(wanted.text)))
    return dict.fromkeys(found)


def _number(text: str) -> int | float | None:
    """A number that a database can hold."""
    if not _NUMBER.fullmatch(text):
        return None
    if len(text) <= 20 and not set(text) & set(".eE"):
        whole = int(text)
        if -_LARGEST <= whole <= _LARGEST:
            return whole
    number = float(text)
    return number if math.isfinite(number) else None
