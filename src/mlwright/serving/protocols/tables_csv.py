"""Tables as CSV: a header with the names of the columns, then a line for each row; needs no library.

An empty field is a value that is missing; in a column of text that may not be missing it is the empty text.
Numbers are read as Python reads them, true and false in any case.

Source: RFC 4180.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlwright.serving.problems import Problem
from mlwright.serving.validation import Validator
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Column

CSV = "text/csv"
_MAX_DIGITS = 400
"""A longer number is beyond every float, and takes quadratic time to read."""
_FALSE_TRUE = {"false": False, "true": True}
_INDEX_HINT = "the header has a column without a name: write the table without its index"


def read_csv(
    body: bytes,
    inputs: Sequence[Column],
    validator: Validator,
    max_rows: int,
    *,
    ignore_unknown: bool | None = None,
) -> Columns:
    """The columns of a table.

    Args:
        body: in UTF-8, with or without a byte order mark.
        inputs: the columns of the model, in its order.
        max_rows: how many rows one request may hold.
        ignore_unknown: whether other columns are passed over; as for all requests, unless it is said.

    Raises:
        Problem: 400 for what is not CSV, 422 for what does not fit the model.
    """
    try:
        text = str(body, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, f"the body is not CSV: byte {error.start} is not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise Problem(400, "the body is not CSV: it has no header")
        if not ignore_unknown and "" in header and not any(column.name == "" for column in inputs):
            raise Problem(422, _INDEX_HINT)
        places = validator.placed(header, ignore_unknown=ignore_unknown)
        rows = list(_rows(reader, len(header), max_rows))
    except csv.Error as error:
        raise Problem(400, f"the body is not CSV: {error} at line {reader.line_num}") from None
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    return validator.checked(
        [_parsed(column, columns[at]) for column, at in zip(inputs, places, strict=True)]
    )


def _rows(reader: Iterator[list[str]], width: int, max_rows: int) -> Iterator[list[str]]:
    # An empty line is no row: whoever writes an empty field that is alone in its line puts it in quotes.
    for row, fields in enumerate(filter(None, reader)):
        if row >= max_rows:
            raise Problem(422, f"the table has more rows than the {max_rows} that one request may ask for")
        if len(fields) != width:
            raise Problem(422, f"row {row} has {len(fields)} fields, and the header {width}")
        yield fields


def _parsed(column: Column, fields: Sequence[str]) -> Sequence[Any]:
    """Fields as values of their column; what is none stays text, which is refused with its place."""
    if column.type == "number" and not column.closed:
        try:
            if "_" not in (joined := "".join(fields)) and len(joined) < len(fields) * _MAX_DIGITS:
                return list(map(float, fields))
        except ValueError:
            pass
    read = _READERS[column.type]
    missing = None if column.nullable or column.type != "string" else ""
    return [read(field) if field else missing for field in fields]


def _number(field: str) -> Any:
    try:
        return float(field) if "_" not in field and len(field) <= _MAX_DIGITS else field
    except ValueError:
        return field


def _integer(field: str) -> Any:
    try:
        return int(field) if "_" not in field and len(field) <= _MAX_DIGITS else field
    except ValueError:
        return _number(field)


_READERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "integer": _integer,
    "boolean": lambda field: _FALSE_TRUE.get(field.strip().lower(), field),
    "string": lambda field: field,
}
