"""Answers as tables, where a request accepts that rather than JSON: CSV, Arrow and Parquet.

Source: RFC 9110, 12.5.1 (Accept); RFC 4180.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from mlwright.serving.problems import Problem
from mlwright.serving.protocols.tables_arrow import ARROW_FILE, ARROW_STREAM, PARQUET
from mlwright.serving.protocols.tables_csv import CSV
from mlwright.serving.request import JSON

Table = Mapping[str, Sequence[Any]]
"""Plain values by the names of their columns."""

_MOST_RANGES = 50
"""Of one header; more are not read."""


@lru_cache(256)
def accepted(accept: str) -> str:
    """The media type of an answer: what the client wants most; JSON if it does not care.

    Args:
        accept: the header; empty if there is none.

    Raises:
        Problem: 406, it accepts nothing that there is.
    """
    offered = [JSON, *_WRITERS] if find_spec("pyarrow") is not None else [JSON, CSV]
    if not accept.strip():
        return JSON
    ranges = [_range(each) for each in accept.split(",")[:_MOST_RANGES]]
    wanted = [
        (max((one for one in ranges if _fits(one[0], each)), default=("", -1, 0.0), key=_closeness)[2], each)
        for each in offered
    ]
    best, media_type = max(wanted, key=lambda each: each[0])  # of equals the first
    if best <= 0:
        raise Problem(406, f"the answer can be {', '.join(offered)}; none of these is accepted")
    return media_type


def written(table: Table, media_type: str) -> bytes:
    """A table as a body.

    Args:
        media_type: what `accepted` gave, but for JSON.
    """
    return _WRITERS[media_type](table)


def _range(text: str) -> tuple[str, int, float]:
    """A media range, how close it names one, and how much that is wanted."""
    name, *parameters = (each.strip().lower() for each in text.split(";"))
    wanted = 1.0
    for each in parameters:
        if each.startswith("q="):
            try:
                wanted = min(max(float(each[2:]), 0.0), 1.0)
            except ValueError:
                wanted = 0.0
    if math.isnan(wanted):
        wanted = 0.0
    return name, 0 if name == "*/*" else 1 if name.endswith("/*") else 2, wanted


def _fits(name: str, media_type: str) -> bool:
    return name in ("*/*", media_type) or (name.endswith("/*") and media_type.startswith(name[:-1]))


def _closeness(range_: tuple[str, int, float]) -> int:
    return range_[1]


def _csv(table: Table) -> bytes:
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow(table)
    writer.writerows([_cell(value) for value in row] for row in zip(*table.values(), strict=True))
    return made.getvalue().encode()


def _cell(value: Any) -> Any:
    """A value as text: what is missing is empty, and what is neither number nor text is JSON."""
    return value if value is None or type(value) in (str, int, float) else json.dumps(value)


def _arrow_stream(table: Table) -> bytes:
    import pyarrow

    return _by_arrow(table, pyarrow.ipc.new_stream)


def _arrow_file(table: Table) -> bytes:
    import pyarrow

    return _by_arrow(table, pyarrow.ipc.new_file)


def _by_arrow(table: Table, begun: Callable[[Any, Any], Any]) -> bytes:
    import pyarrow

    made, sink = pyarrow.table(dict(table)), pyarrow.BufferOutputStream()
    with begun(sink, made.schema) as writer:
        writer.write_table(made)
    return bytes(sink.getvalue())


def _parquet(table: Table) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(dict(table)), sink)
    return bytes(sink.getvalue())


_WRITERS: Mapping[str, Callable[[Table], bytes]] = {
    CSV: _csv,
    ARROW_STREAM: _arrow_stream,
    ARROW_FILE: _arrow_file,
    PARQUET: _parquet,
}
