"""What MLflow's scoring server takes and answers, so that its clients can ask: `/invocations`, `/ping`.

Of its requests everything that a table can be is taken: `dataframe_split`, `dataframe_records`, `instances`,
`inputs`, CSV and Parquet. As there, columns that the model does not have are passed over, NaN stands for a
value that is missing, and `params` without a schema for them are ignored; what was ignored is told in
`warnings`. Refusals have MLflow's form and statuses.

Source: mlflow/pyfunc/scoring_server/__init__.py of MLflow 3.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from mlwright.kernel.version import VERSION
from mlwright.sdk.rows import plain
from mlwright.serving.problems import Fault, Problem
from mlwright.serving.protocols.tables_arrow import PARQUET, read_parquet
from mlwright.serving.protocols.tables_csv import CSV, read_csv
from mlwright.serving.request import JSON, Doors, Endpoint, Reply, Request, Routes
from mlwright.serving.runtime import Outputs
from mlwright.serving.served import Served
from mlwright.serving.validation import json_as_python_reads_it
from mlwright.serving.walk import Columns, shown_text, told_value
from mlwright.serving.wanted import AboutTables, Read, Wanted

PATH = "/invocations"
_SPLIT, _RECORDS, _INSTANCES, _INPUTS = FORMATS = (
    "dataframe_split",
    "dataframe_records",
    "instances",
    "inputs",
)
_SPLIT_KEYS = {"columns", "data", "index"}
_MAX_WARNINGS = 20
_MORE_COLUMNS = 100
"""A request may have so many columns that the model does not; each value takes memory until that is known."""
_TABLE_BYTES = 4
"""A table may decode to so many times the largest body."""
_ERROR_CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def doors(served: Served) -> Doors:
    """`/invocations`."""
    return Doors(_invokes(served), any=PATH)


def about() -> Routes:
    """What else MLflow's scoring server answers: that it is there."""

    async def ping(_: Request) -> Reply:
        return Reply(b"\n")

    async def version(_: Request) -> Reply:
        return Reply(f"mlwright {VERSION}".encode())

    return {("GET", "/ping"): ping, ("GET", "/health"): ping, ("GET", "/version"): version}


def told(problem: Problem) -> Reply:
    """A problem in MLflow's form: what does not fit the model is its BAD_REQUEST."""
    status = 400 if problem.http_status == 422 else problem.http_status
    headers = tuple((name.encode(), value.encode("latin-1")) for name, value in problem.headers.items())
    if status == 415:
        return Reply(problem.message.encode(), status, "text/plain", headers)
    code = _ERROR_CODES.get(status, "BAD_REQUEST")
    return Reply(msgspec.json.encode({"error_code": code, "message": problem.message}), status, JSON, headers)


class Invocation:
    """Reads what a request of MLflow's asks a model.

    Args:
        served: the model.
    """

    def __init__(self, served: Served) -> None:
        self._inputs = served.spec.signature.inputs
        self._names = [column.name for column in self._inputs]
        self._validator = served.validator
        self._limits = served.limits

    def read(self, body: bytes, content_type: str) -> tuple[Columns, list[str]]:
        """The columns of a request, and what of it was ignored.

        Args:
            content_type: with its parameters, as it was declared.

        Raises:
            Problem: 400 for what cannot be read, 415 for other content, 422 for what does not fit.
        """
        kind, _, parameters = content_type.partition(";")
        _hold_parameters(parameters)
        limits = self._limits
        match kind.strip().lower():
            case "application/json":
                return self._json(body)
            case "text/csv":
                return read_csv(body, self._inputs, self._validator, limits.rows, ignore_unknown=True), []
            case "application/vnd.apache.parquet":
                size = _TABLE_BYTES * limits.body_bytes
                return read_parquet(body, self._validator, limits.rows, size, ignore_unknown=True), []
        raise Problem(
            415,
            f"This predictor only supports the following content types: {CSV}, {JSON}, {PARQUET}."
            f" Got '{content_type[:60]}'.",
        )

    def _json(self, body: bytes) -> tuple[Columns, list[str]]:
        if body.count(b",") > self._limits.rows * (len(self._names) + _MORE_COLUMNS):
            raise Problem(413, f"the request holds far more values than {self._limits.rows} rows have")
        request = json_as_python_reads_it(body)
        if not isinstance(request, dict):
            raise Problem(
                400, f"the request must be an object with one of {_formats()}, not {told_value(request)}"
            )
        given = [name for name in FORMATS if name in request]
        if len(given) != 1:
            found = f"has {len(given)} of them" if given else "has none of them"
            raise Problem(400, f"the request must have exactly one of {_formats()}, and {found}")
        ignored = [name for name in request if name not in given]
        value = request[given[0]]
        match given[0]:
            case "dataframe_split":
                names, columns = self._split(value)
            case "dataframe_records":
                names, columns = self._records(_RECORDS, value)
            case "instances" if isinstance(value, list) and value and isinstance(value[0], dict):
                names, columns = self._records(_INSTANCES, value)
            case name:
                names, columns = self._columns(name, value)
        if len(columns[0] if columns else ()) > self._limits.rows:
            raise Problem(
                400, f"the request holds more than the {self._limits.rows} rows that it may ask for"
            )
        places = self._validator.placed(names, ignore_unknown=True)
        known = set(self._names)
        ignored += [name for name in names if name not in known]
        taken = self._validator.checked(
            [
                _without_nan(columns[at]) if column.nullable else columns[at]
                for column, at in zip(self._inputs, places, strict=True)
            ]
        )
        return taken, [f"`{shown_text(name)}` was ignored" for name in ignored[:_MAX_WARNINGS]]

    def _split(self, value: Any) -> tuple[list[str], Sequence[Sequence[Any]]]:
        """`{"columns": [...], "data": [[...], ...]}`; `index` is of no consequence."""
        if not isinstance(value, dict):
            raise _wrong(_SPLIT, f"must be an object, not {told_value(value)}")
        if "data" not in value or not set(value) <= _SPLIT_KEYS:
            raise _wrong(_SPLIT, "must have `data`, and may have `columns` and `index`, and nothing else")
        rows = value["data"]
        names = value.get("columns")
        names = self._names if names is None else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise _wrong(_SPLIT, "has `columns` that are no list of names")
        return names, _turned(_SPLIT, rows, len(names))

    def _records(self, field: str, value: Any) -> tuple[list[str], Sequence[Sequence[Any]]]:
        """`[{"a": 1, ...}, ...]`; a column that a record does not have is missing there."""
        if not isinstance(value, list):
            raise _wrong(field, f"must be a list of objects, not {told_value(value)}")
        names: dict[str, None] = {}
        for row, record in enumerate(value):
            if not isinstance(record, dict):
                raise Problem(422, faults=[Fault(f"must be an object, not {told_value(record)}", row=row)])
            names.update(dict.fromkeys(record))
        wanted = [name for name in self._names if name in names] if names else self._names
        others = [name for name in names if name not in set(wanted)]
        columns: list[Sequence[Any]] = [[record.get(name) for record in value] for name in wanted]
        return [*wanted, *others], [*columns, *([()] * len(others))]

    def _columns(self, field: str, value: Any) -> tuple[list[str], Sequence[Sequence[Any]]]:
        """`{"a": [...], ...}`, or rows without names, in the order of the model."""
        if isinstance(value, dict):
            for name, values in value.items():
                if not isinstance(values, list) and name in self._names:
                    raise _wrong(field, f"must have a list for each column, not {told_value(values)}")
            columns = [_flat(values) if isinstance(values, list) else () for values in value.values()]
            return list(value), columns
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return self._records(field, value)
        if isinstance(value, list) and value and len(self._names) == 1 and not isinstance(value[0], list):
            return self._names, [value]
        return self._names, _turned(field, value, len(self._names))


def _invokes(served: Served) -> Endpoint:
    invocation, model = Invocation(served), served.spec.model.encode()

    def reads(request: Request) -> Read:
        declared = request.headers.get("content-type", "")

        def read(body: bytes) -> Wanted:
            began = time.perf_counter()
            columns, ignored = invocation.read(body, declared)
            warnings = served.bounds.warnings(columns)

            def tell(outputs: Outputs) -> Reply:
                answer: dict[str, Any] = {"predictions": plain(outputs.labels)}
                if ignored or warnings:
                    answer["warnings"] = [*ignored, *warnings]
                identity = served.answered(columns, answer["predictions"], began, len(warnings))
                headers = ((b"x-mlwright-prediction-id", identity.encode()), (b"x-mlwright-model", model))
                return Reply(msgspec.json.encode(answer), headers=headers)

            return Wanted(columns, tell)

        return read

    return AboutTables(served, reads)


def _hold_parameters(parameters: str) -> None:
    """Of a content type only the encoding may be said, and it is UTF-8."""
    for parameter in filter(None, map(str.strip, parameters.split(";"))):
        name, _, value = parameter.partition("=")
        if name != "charset":
            raise Problem(415, f"Unrecognized content type parameters: {name[:40]}.")
        if value.strip('"').lower() != "utf-8":
            raise Problem(415, "The scoring server only supports UTF-8")


def _turned(field: str, rows: Any, width: int) -> Sequence[Sequence[Any]]:
    """Rows as columns."""
    if not isinstance(rows, list):
        raise _wrong(field, f"must have its rows in a list, not {told_value(rows)}")
    for row, values in enumerate(rows):
        if not isinstance(values, list) or len(values) != width:
            said = f"has {len(values)} values" if isinstance(values, list) else f"is {told_value(values)}"
            raise Problem(422, faults=[Fault(f"{said}, and there are {width} columns", row=row)])
    return list(zip(*rows, strict=True)) or [()] * width


def _flat(values: list[Any]) -> list[Any]:
    """A column of [rows, 1] as one of [rows]."""
    if values and all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values


def _without_nan(values: Sequence[Any]) -> Sequence[Any]:
    """NaN, as pandas writes what is missing, as None."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _wrong(field: str, message: str) -> Problem:
    return Problem(422, faults=[Fault(message, field=field)])


def _formats() -> str:
    return ", ".join(f"`{name}`" for name in FORMATS)
