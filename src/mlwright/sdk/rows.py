"""The table that a model is asked with, made of plain values by what its signature says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol


class AskedColumn(Protocol):
    """A column as a signature describes it; see `mlwright.versioning.signatures.Column`."""

    @property
    def name(self) -> str:
        """As the model knows it."""

    @property
    def type(self) -> str:
        """`number`, `integer`, `boolean` or `string`."""

    @property
    def nullable(self) -> bool:
        """Whether a value may be missing."""

    @property
    def closed(self) -> bool:
        """Whether it is a column of categories, and no other value exists."""

    @property
    def categories(self) -> Sequence[Any] | None:
        """Of a closed column, all of them in their order."""


def table_maker(inputs: Sequence[AskedColumn]) -> Callable[[Sequence[Sequence[Any]]], Any]:
    """What turns columns of values into the data frame that the model was fitted on.

    Args:
        inputs: the columns of the model, in its order.

    Returns:
        A function of one list for each column; None stands for a value that is missing.
    """
    import numpy
    import pandas

    names = pandas.Index([column.name for column in inputs])
    if all(column.type == "number" and not column.closed for column in inputs):
        # One block instead of one for each column: a tenth of the time. None becomes NaN.
        return lambda columns: pandas.DataFrame(numpy.array(columns, dtype="float64").T, columns=names)

    text = pandas.Series(["text"]).dtype  # what this pandas makes of text: `str`, or `object` before 3
    kinds = {
        ("number", False): (numpy.array, "float64"),
        ("number", True): (numpy.array, "float64"),
        ("integer", False): (numpy.array, "int64"),
        ("integer", True): (pandas.array, "Int64"),
        ("boolean", False): (numpy.array, "bool"),
        ("boolean", True): (pandas.array, "boolean"),
        ("string", False): (pandas.array, text),
        ("string", True): (pandas.array, text),
    }

    def maker(column: AskedColumn) -> Callable[[Sequence[Any]], Any]:
        if column.closed:
            # The model knows a category by its place among all that there were in training.
            kind = pandas.CategoricalDtype(pandas.Index(list(column.categories or ())))
            return lambda values: pandas.Categorical(values, dtype=kind)
        make, dtype = kinds[column.type, column.nullable]
        return partial(make, dtype=dtype)

    makers = [maker(column) for column in inputs]

    def table(columns: Sequence[Sequence[Any]]) -> Any:
        arrays = (make(values) for make, values in zip(makers, columns, strict=True))
        made = pandas.DataFrame(dict(enumerate(arrays)), copy=False)
        made.columns = names
        return made

    return table


def one_each(answers: Any) -> Any:
    """CatBoost answers one of several classes with a column; all others with a row."""
    return answers[:, 0] if getattr(answers, "ndim", 1) == 2 and answers.shape[1] == 1 else answers


def plain(values: Any) -> list[Any]:
    """A model's answers as Python's own values."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return [value.item() if hasattr(value, "item") else value for value in listed]
