"""Which runs are wanted, in the user's words: a few nouns, or a filter as `kernel/grammar.py` reads it."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import force_setattr

from mlwright.kernel.clock import Moment
from mlwright.kernel.errors import Invalid
from mlwright.kernel.grammar import (
    Comparison,
    Order,
    Spelled,
    check_text,
    parse_filter,
    parse_order,
    read_number,
)
from mlwright.kernel.search import Wanted
from mlwright.tracking.fields import KINDS, STATES

_COMPARISON = re.compile(r"\s*([^<>=]+?)\s*(>=|<=|==|=|>|<)\s*(.*?)\s*", re.DOTALL)
_LARGEST = 2**63 - 1


class RunFilter(Struct, frozen=True):
    """Which runs, and in which order.

    Args:
        pipeline: its name, or the path of a script or notebook.
        state: as `RunState`.
        kind: `pipeline`, `script`, `notebook`, `comparison`, `prediction` or `reported`.
        since: none that began before: `2h` (ago), `2026-11-20`, `2026-11-20T15:30`. A date is its beginning.
        until: none that began then or later; likewise.
        params: what parameters were: `trees=200`; numbers also by `>`, `<`, `>=`, `<=`. What reads as a
            number, or as true, means that and the text that is spelled so; `"200"` means the text alone.
        metrics: what the last values of metrics were: `auc>0.9`.
        filter: more that must hold: `metrics.auc > 0.9 and tags.team = 'a' and status = 'FINISHED'`.
        order_by: in which order, the first counts most: `metrics.auc desc`, `params.trees`. What has no such
            value comes last; among equals the newest is first.
        sort: `created` (newest first), `took` (longest first), `metric:NAME` (highest first, of the runs that
            have it).
        reverse: the other way round.
        limit: at most so many.
        token: of the page before; empty for the first.
    """

    pipeline: str | None = None
    state: str | None = None
    kind: str | None = None
    since: Moment = None
    until: Moment = None
    params: Iterable[str] = ()
    metrics: Iterable[str] = ()
    filter: str = ""
    order_by: Iterable[str] = ()
    sort: str = "created"
    reverse: bool = False
    limit: int = 20
    token: str = ""

    def __post_init__(self) -> None:
        for name in ("params", "metrics", "order_by"):
            given = getattr(self, name)
            # One text alone is one comparison, not its letters.
            force_setattr(self, name, (given,) if isinstance(given, str) else tuple(given))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics it speaks of, each once.

        Raises:
            Invalid: a comparison or an order that is none.
        """
        return self._names("metric")

    @property
    def param_names(self) -> tuple[str, ...]:
        """The parameters it speaks of, each once.

        Raises:
            Invalid: a comparison or an order that is none.
        """
        return self._names("param")

    def _names(self, entity: str) -> tuple[str, ...]:
        wanted = asked(self)
        spoken_of: list[Order | Comparison] = [*wanted.order, *wanted.where]
        return tuple(dict.fromkeys(each.key for each in spoken_of if each.entity == entity))


class Nouns(TypedDict, total=False):
    """The fields of a `RunFilter`, as keywords."""

    pipeline: str | None
    state: str | None
    kind: str | None
    since: Moment
    until: Moment
    params: Iterable[str]
    metrics: Iterable[str]
    filter: str
    order_by: Iterable[str]
    sort: str
    reverse: bool
    limit: int
    token: str


def asked(wanted: RunFilter) -> Wanted:
    """A filter as a search.

    Raises:
        Invalid: a word in it cannot be understood.
    """
    if wanted.state is not None and wanted.state not in STATES:
        raise Invalid(f"there is no run state {wanted.state!r}", hint=f"one of {', '.join(STATES)}")
    if wanted.kind is not None and wanted.kind not in KINDS:
        raise Invalid(f"there is no kind of run {wanted.kind!r}", hint=f"one of {', '.join(KINDS)}")
    if not 1 <= wanted.limit <= _LARGEST:
        raise Invalid(f"a list cannot have {wanted.limit} runs")
    where = []
    for key, sign, value in (
        ("pipeline", "=", wanted.pipeline),
        ("state", "=", wanted.state),
        ("kind", "=", wanted.kind),
        ("created", ">=", wanted.since),
        ("created", "<", wanted.until),
    ):
        if value is not None:
            text = value.isoformat() if isinstance(value, datetime) else str(value)
            check_text(text, key)
            where.append(Comparison("attribute", key, sign, text))
    where += [parse_comparison(text, "parameter") for text in wanted.params]
    where += [parse_comparison(text, "metric") for text in wanted.metrics]
    where += parse_filter(wanted.filter)
    order, present = _order(wanted)
    largest = not wanted.reverse
    ties = () if wanted.order_by else (("run.created_us", largest), ("run.id", largest))
    return Wanted((*where, *present), order, limit=wanted.limit, token=wanted.token, ties=ties)


def parse_comparison(text: str, what: str) -> Comparison:
    """Take a comparison without quotes apart: `trees=200`, `auc>0.9`.

    Args:
        what: `parameter` or `metric`.

    Raises:
        Invalid: there is no sign in it, or no number where the sign needs one.
    """
    check_text(text, f"comparison of a {what}")
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise Invalid(f"{text!r} compares no {what} with anything", hint="write NAME=VALUE or NAME>NUMBER")
    name, sign, right = found[1], "=" if found[2] == "==" else found[2], found[3]
    number = read_number(right)
    if number is None or not math.isfinite(number):
        if what == "metric" or sign != "=":
            raise Invalid(f"{text!r} compares with {right!r}, which is no number")
        return Comparison("param", name, sign, Spelled(_spellings(right)), right)
    return Comparison("param" if what == "parameter" else "metric", name, sign, number, right)


def _order(wanted: RunFilter) -> tuple[tuple[Order, ...], tuple[Comparison, ...]]:
    """What decides first, and what a run must have for it."""
    by, _, name = wanted.sort.partition(":")
    largest = not wanted.reverse
    if wanted.order_by:
        if wanted.sort != "created" or wanted.reverse:
            raise Invalid("runs are sorted by one order", hint="write it all in order_by: metrics.auc desc")
        return tuple(parse_order(each) for each in wanted.order_by), ()
    if by == "metric" and name:
        check_text(name, "metric")
        number = Comparison("metric", name, ">=", -math.inf)
        return (Order("metric", name, largest),), (number,)
    if wanted.sort == "took":
        return (Order("attribute", "took", largest),), ()
    if wanted.sort != "created":
        raise Invalid(f"runs cannot be sorted by {wanted.sort!r}", hint="one of created, took, metric:NAME")
    return (), ()


def _spellings(text: str) -> tuple[str, ...]:
    """How a parameter that is as wanted is kept as JSON: as that text, or as the value that it spells."""
    found = [json.dumps(text)]
    if read_number(text) is None:
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.dumps(json.loads(text)))
    return tuple(dict.fromkeys(found))
