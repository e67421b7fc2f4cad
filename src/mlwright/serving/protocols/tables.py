"""Tables as bodies of `/predict`, by their content types: CSV, Arrow and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlwright.serving.protocols.tables_arrow import (
    ARROW_FILE,
    ARROW_STREAM,
    PARQUET,
    read_arrow,
    read_parquet,
)
from mlwright.serving.protocols.tables_csv import CSV, read_csv
from mlwright.serving.served import Served
from mlwright.serving.walk import Columns

_DECODED = 4
"""A table may decode to so many times the largest body."""


def _csv(body: bytes, served: Served) -> Columns:
    return read_csv(body, served.spec.signature.inputs, served.validator, served.limits.rows)


def _arrow(body: bytes, served: Served) -> Columns:
    limits = served.limits
    return read_arrow(body, served.validator, limits.rows, _DECODED * limits.body_bytes)


def _parquet(body: bytes, served: Served) -> Columns:
    limits = served.limits
    return read_parquet(body, served.validator, limits.rows, _DECODED * limits.body_bytes)


READERS: Mapping[str, Callable[[bytes, Served], Columns]] = {
    CSV: _csv,
    ARROW_STREAM: _arrow,
    ARROW_FILE: _arrow,
    PARQUET: _parquet,
}
"""Readers of tables, by the content type of a body."""
