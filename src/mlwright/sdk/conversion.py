"""Models of scikit-learn, XGBoost and LightGBM converted to ONNX, and held against what they answer.

A conversion is used only if it answers as the model does, on the table that this was trained on and on rows
at the edges of what its signature takes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlwright.kernel.errors import Invalid
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.onnx_model import OnnxModel
from mlwright.sdk.rows import one_each, plain, table_maker
from mlwright.sdk.signature import Asked, training_table

CONVERT_STEP = "mlwright.sdk.conversion:convert"

ROWS = 10_000
"""More rows of a table are not compared: of a larger one as many, evenly spaced."""
RELATIVE = 1e-5
"""Two numbers that are as close are equal; so are probabilities that differ by no more."""
_UNSEEN = "a text that training did not see"


class Converted(NamedTuple):
    """What became of a conversion.

    Args:
        told: `used`; `why` it is not; `rows` that were compared, `of` how many; `difference`, the largest
            between two probabilities; `by`, the libraries with their versions.
        model: ONNX bytes; empty if it is not used.
    """

    told: dict[str, Any]
    model: bytes


def convert(model: Any, signature: Mapping[str, Any], training: Mapping[str, Any]) -> Converted:
    """A model as ONNX, if it answers the same.

    Args:
        model: as it was stored.
        signature: as it is on record.
        training: what the model's step was given, by argument. The first table with all columns of the model
            is what it is compared on.
    """
    inputs = [Asked(**column) for column in signature["inputs"]]
    told: dict[str, Any] = {"used": False, "why": "", "rows": 0, "of": 0, "difference": 0.0, "by": _by(model)}
    try:
        _refuse(inputs)
        table = training_table([column.name for column in inputs], _tables(training))
        if table is None:
            raise Invalid("there is no table of its training to compare it on")
        compared = _compared(model, inputs, signature, table)
    except Invalid as error:
        return Converted(told | {"why": error.message}, b"")
    told |= {"rows": compared.trained, "of": len(table)}
    refusals: list[str] = []
    for kinds in _candidates(model, inputs):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of converters, about themselves
                data, difference = _tried(model, inputs, signature, kinds, compared)
        except _Differs as error:
            refusals.insert(0, str(error))  # says more than what another way was refused for
        except Exception as error:  # whatever a converter raises
            refusals.append(_reason(error))
        else:
            return Converted(told | {"used": True, "difference": difference}, data)
    return Converted(told | {"why": refusals[0]}, b"")


def _tables(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is a table, or a dataset that is one, by name."""
    tables = {}
    for name, each in given.items():
        with suppress(Invalid):
            tables[name] = each.table() if isinstance(each, Dataset) else each
    return tables


class _Differs(Exception):
    """A conversion answers otherwise than its model."""


@dataclass(frozen=True)
class _Compared:
    """Rows with what the model answers to them.

    Args:
        table: columns of the training's rows, then of those at the edges and the example.
        trained: how many of the rows are of the training.
        texts: rows with a text that was not seen, each alone, with the answer; None where the model refuses.
    """

    table: list[list[Any]]
    trained: int
    places: list[int]
    labels: list[Any]
    shares: Any
    texts: list[tuple[list[list[Any]], list[Any] | None]]


def _compared(model: Any, inputs: Sequence[Asked], signature: Mapping[str, Any], table: Any) -> _Compared:
    """The rows to compare on and the model's own answers.

    Raises:
        Invalid: the model does not answer them.
    """
    make = table_maker(inputs)
    places = list(range(len(table)))
    if len(places) > ROWS:
        places = [index * len(places) // ROWS for index in range(ROWS)]
    sample = table.iloc[places]
    columns = [_cells(sample[column.name], column) for column in inputs]
    example = [signature["example"]["input"][column.name] for column in inputs]
    edges = [example, *_edges(inputs, example)]
    whole = [[*values, *(row[at] for row in edges)] for at, values in enumerate(columns)]
    made = make(whole)
    try:
        labels = plain(one_each(model.predict(made)))
        shares = model.predict_proba(made) if signature["probabilities"] else None
    except Exception as error:
        raise Invalid(f"the model itself does not answer: {_reason(error)}") from error
    texts: list[tuple[list[list[Any]], list[Any] | None]] = []
    for row in _unseen(inputs, example):
        alone = [[value] for value in row]
        try:
            texts.append((alone, plain(one_each(model.predict(make(alone))))))
        except Exception:
            texts.append((alone, None))
    return _Compared(whole, len(places), places, labels, shares, texts)


def _tried(
    model: Any,
    inputs: Sequence[Asked],
    signature: Mapping[str, Any],
    kinds: Sequence[str],
    compared: _Compared,
) -> tuple[bytes, float]:
    """One way to convert a model, and the largest difference from it.

    Raises:
        _Differs: it answers otherwise.
        Exception: it cannot be converted so.
    """
    from mlwright.sdk.onnx_graphs import table_graph

    data = table_graph(model, inputs, kinds)
    asked = OnnxModel(data, inputs, signature["output"]["classes"] or ())
    given, shares = asked(compared.table, proba=signature["probabilities"])
    difference = 0.0
    for row, (label, own) in enumerate(zip(plain(given), compared.labels, strict=True)):
        if not _same(label, own):
            raise _Differs(f"{_row(compared, row)} is answered with {_short(label)} instead of {_short(own)}")
    if signature["probabilities"]:
        difference = _largest(shares, compared)
    for alone, own in compared.texts:
        try:
            (label,) = plain(asked(alone)[0])
        except Exception:
            if own is not None:
                raise _Differs("a text that training did not see is refused instead of answered") from None
        else:
            if own is None or not _same(label, own[0]):
                instead = "refused" if own is None else f"answered with {_short(own[0])}"
                raise _Differs(
                    f"a text that training did not see is answered with {_short(label)} instead of {instead}"
                )
    return data, difference


def _largest(shares: Any, compared: _Compared) -> float:
    """The largest difference between probabilities.

    Raises:
        _Differs: it is too large.
    """
    import numpy

    if shares.shape != compared.shares.shape:
        raise _Differs(f"it gives {shares.shape[-1]} probabilities instead of {compared.shares.shape[-1]}")
    apart = numpy.abs(shares - compared.shares)
    apart[numpy.isnan(apart)] = math.inf
    largest = float(apart.max())
    if largest > RELATIVE:
        row, at = (int(each) for each in numpy.unravel_index(int(apart.argmax()), apart.shape))
        raise _Differs(
            f"{_row(compared, row)} has the probability {shares[row, at]:.6g}"
            f" instead of {compared.shares[row, at]:.6g}"
        )
    return largest


def _refuse(inputs: Sequence[Asked]) -> None:
    """Refuse columns that ONNX has no form for.

    Raises:
        Invalid: there is one.
    """
    for column in inputs:
        if column.type == "string" and column.nullable and not column.closed:
            raise Invalid(f"the text of column `{column.name}` may be missing, which ONNX has no form for")
        if column.closed and column.type != "string":
            raise Invalid(f"the categories of column `{column.name}` are no text")


def _candidates(model: Any, inputs: Sequence[Asked]) -> Iterator[list[str]]:
    """The ways to give a model its columns, the most exact first."""
    if type(model).__module__.partition(".")[0] in {"xgboost", "lightgbm"}:
        yield ["double"] * len(inputs)  # they know nothing but numbers
        return
    tried: list[list[str]] = []
    for number in ("double", "float"):
        for integer, boolean in ((number, number), ("int64", "bool")):
            kinds = {"number": number, "integer": integer, "boolean": boolean, "string": "string"}
            way = [
                number if column.nullable and column.type != "string" else kinds[column.type]
                for column in inputs
            ]
            if way not in tried:
                tried.append(way)
    yield from tried


def _cells(values: Any, column: Asked) -> list[Any]:
    """A column of a table as a request has it."""
    missing = values.isna().tolist()
    kept = plain(values)
    if column.type == "number":
        kept = [None if gone else float(value) for value, gone in zip(kept, missing, strict=True)]
    elif column.type == "integer":
        kept = [None if gone else int(value) for value, gone in zip(kept, missing, strict=True)]
    elif column.type == "boolean":
        kept = [None if gone else bool(value) for value, gone in zip(kept, missing, strict=True)]
    else:
        kept = [None if gone else str(value) for value, gone in zip(kept, missing, strict=True)]
    return kept


def _edges(inputs: Sequence[Asked], example: Sequence[Any]) -> Iterator[list[Any]]:
    """Rows like the example but for one column: beyond what training saw, or missing where it may be."""
    for at, column in enumerate(inputs):
        for value in _edge_values(column):
            yield [*example[:at], value, *example[at + 1 :]]


def _edge_values(column: Asked) -> Iterator[Any]:
    if column.nullable:
        yield None
    if column.minimum is not None and column.maximum is not None:
        width = column.maximum - column.minimum or 1
        whole: Callable[[float], Any] = int if column.type == "integer" else float
        yield whole(column.minimum - width)
        yield whole(column.maximum + width)
    elif column.type == "boolean":
        yield True
        yield False
    else:
        yield from (column.categories or ())


def _unseen(inputs: Sequence[Asked], example: Sequence[Any]) -> Iterator[list[Any]]:
    for at, column in enumerate(inputs):
        if column.type == "string" and not column.closed:
            yield [*example[:at], _UNSEEN, *example[at + 1 :]]


def _same(given: Any, own: Any) -> bool:
    if isinstance(own, float) and isinstance(given, float):
        return math.isclose(given, own, rel_tol=RELATIVE, abs_tol=1e-12) or (given != given and own != own)  # noqa: PLR0124 - NaN
    return bool(given == own)


def _row(compared: _Compared, row: int) -> str:
    if row < compared.trained:
        return f"row {compared.places[row]}"
    return "the example" if row == compared.trained else "a row at the edge of what training saw"


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)[:60]


def _reason(error: BaseException) -> str:
    """What an error says, in one line: the innermost cause says it best."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())[:200]
    if isinstance(error, Invalid):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _by(model: Any) -> str:
    """The libraries that convert, with their versions."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("skl2onnx", "onnxmltools", "onnx", "onnxruntime"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
