"""Values as a page shows them: numbers, sizes, lengths of time, moments. Pure."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from mlwright.kernel.clock import now_us, show_seconds
from mlwright.web.catalogue import Words

_PLAIN_NAME = re.compile(r"[\w.-]+", re.ASCII)
_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_AGES = (
    (86_400 * 7, 86_400, "{count} d ago"),
    (86_400, 3600, "{count} h ago"),
    (3600, 60, "{count} min ago"),
)
_LONGEST_VALUE = 200
_LAST_US = 253_402_300_799_000_000


def number(value: float | None) -> str:
    """A number with as many digits as say something: `0.9312`, `1,234,567`, `1.2e-07`."""
    if value is None:
        return ""
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.5g}"


def size(size_bytes: int | None) -> str:
    """`1.5 GiB`, `12 KiB`, `7 B`."""
    if size_bytes is None:
        return ""
    for unit, many in _UNITS:
        if size_bytes >= many:
            amount = size_bytes / many
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{size_bytes} B"


def seconds(length_s: float | None) -> str:
    """`0.04 s`, `12.3 s`, `4 min 05 s`, `3 h 07 min`."""
    if length_s is None:
        return ""
    if length_s >= 3600:
        hours, rest = divmod(round(length_s / 60), 60)
        return f"{hours:,} h {rest:02d} min"
    return show_seconds(length_s)


def age(at_us: int, words: Words) -> str:
    """How long ago: `just now`, `3 min ago`; what is older than a week is a date."""
    ago_s = (now_us() - at_us) / 1e6
    if ago_s < 0 or ago_s >= _AGES[0][0]:
        return moment(at_us)[:10]
    for _, unit, said in reversed(_AGES):
        if ago_s < unit * (24 if unit == 3600 else 60 if unit == 60 else 7) and ago_s >= unit:
            return words(said, count=int(ago_s // unit))
    return words("just now")


def moment(at_us: int) -> str:
    """`2026-11-23 04:05:06`, UTC; a moment that no calendar has as its number."""
    if not 0 <= at_us <= _LAST_US:
        return str(at_us)
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine_moment(at_us: int) -> str:
    """The same for `datetime` of HTML; empty for one that no calendar has."""
    if not 0 <= at_us <= _LAST_US:
        return ""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(text: str, letters: int = 12) -> str:
    """The beginning of an id or digest."""
    return text[:letters]


def value(thing: Any) -> str:
    """A value as its shortest text: a text as it is, the rest as JSON; a long one is cut."""
    text = thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def column(name: str, kind: str) -> str:
    """A metric or parameter as a filter and an order name it: ``metrics.auc``, ``params.`two words` ``."""
    return f"{kind}.{name}" if _PLAIN_NAME.fullmatch(name) else f"{kind}.`{name.replace('`', '``')}`"


def column_name(column: str) -> str:
    """The name in what `column` made."""
    name = column.partition(".")[2]
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
