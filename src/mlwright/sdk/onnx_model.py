"""A converted model in memory: asked with columns of values, without pandas and without its own library.

The same code answers when a conversion is compared with its model and when it is served, so that what was
compared is what answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlwright.kernel.errors import Invalid
from mlwright.sdk.onnx_files import refuse_outside
from mlwright.sdk.rows import AskedColumn

TABLE = "columns"
"""The one input of a model that takes all columns as one tensor of numbers."""
LABEL, SHARES = "label", "probabilities"
_NUMBERS = {
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}

Columns = Sequence[Sequence[Any]]


def input_name(place: int) -> str:
    """The input of the column at a place of the signature; ONNX does not take every name of a column."""
    return f"c{place}"


class OnnxModel:
    """Answers as the model did that it was made from; with one thread, and blocking.

    Args:
        data: the model's bytes.
        inputs: the columns of the signature, in its order.
        classes: of a classifier, in the order of its probabilities; empty for a number.
        what: how a message names it.

    Raises:
        Invalid: it keeps weights in other files, cannot be read, or does not take these columns.
    """

    def __init__(
        self, data: bytes, inputs: Sequence[AskedColumn], classes: Sequence[Any], what: str = "the ONNX model"
    ) -> None:
        refuse_outside(data, what)
        import numpy
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4  # errors are raised; what is less would be written to a log
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of a class of its own for each cause
            raise Invalid(f"{what} cannot be read: {_first_line(error)}") from error
        self._run: Callable[[list[str], dict[str, Any]], list[Any]] = session.run
        self._feed = _feeder({each.name: each.type for each in session.get_inputs()}, inputs, what)
        self._labels = [LABEL]
        self._both = [LABEL, SHARES]
        self._kind = numpy.array(list(classes)).dtype if classes else None

    def __call__(self, columns: Columns, *, proba: bool = False) -> tuple[Any, Any]:
        """The answer to each row, and the probabilities of the classes where they are asked for.

        Args:
            columns: a sequence of values for each column; None stands for one that is missing.
            proba: whether probabilities are asked for.

        Returns:
            Arrays of shape (n,) and (n, classes); None for what is not asked for.
        """
        answers = self._run(self._both if proba else self._labels, self._feed(columns))
        labels = answers[0].reshape(-1)
        if self._kind is not None and self._kind.kind in "bf":
            labels = labels.astype(self._kind)  # ONNX numbers such classes by integers
        return labels, answers[1] if proba else None


def _feeder(
    types: dict[str, str], inputs: Sequence[AskedColumn], what: str
) -> Callable[[Columns], dict[str, Any]]:
    """What makes tensors of columns.

    Raises:
        Invalid: the model takes others.
    """
    import numpy

    if [*types] == [TABLE] and types[TABLE] in _NUMBERS:
        return _table_feeder(inputs, numpy.dtype(_NUMBERS[types[TABLE]]))
    makers = []
    places = {input_name(place): place for place in range(len(inputs))}
    for name, kind_text in types.items():
        if name not in places or (kind_text not in _NUMBERS and kind_text != "tensor(string)"):
            raise Invalid(f"{what} takes an input `{name}` of {kind_text}, which no column is")
        makers.append((name, places[name], _maker(inputs[places[name]], kind_text)))
    return lambda columns: {name: make(columns[place]) for name, place, make in makers}


def _table_feeder(inputs: Sequence[AskedColumn], kind: Any) -> Callable[[Columns], dict[str, Any]]:
    """What makes one tensor of all columns: by double precision first, as tables are; None becomes NaN."""
    import numpy

    make, whole = numpy.array, numpy.ascontiguousarray
    closed = {place: _codes(column) for place, column in enumerate(inputs) if column.closed}
    if not closed:
        return lambda columns: {TABLE: whole(make(columns, "float64").T, kind)}

    def coded(columns: Columns) -> dict[str, Any]:
        told = list(columns)
        for place, codes in closed.items():
            told[place] = [codes[value] for value in told[place]]
        return {TABLE: whole(make(told, "float64").T, kind)}

    return coded


def _codes(column: AskedColumn) -> dict[Any, float]:
    """The places of categories, by which boosted trees know them."""
    codes: dict[Any, float] = {value: float(place) for place, value in enumerate(column.categories or ())}
    return codes | {None: float("nan")}


def _maker(column: AskedColumn, kind_text: str) -> Callable[[Sequence[Any]], Any]:
    """What makes the tensor of one column."""
    import numpy

    if kind_text == "tensor(string)":
        return lambda values: numpy.array(values, dtype=object).reshape(-1, 1)
    kind = numpy.dtype(_NUMBERS[kind_text])
    if column.closed:
        raise Invalid(f"the column `{column.name}` of categories is no text")
    if kind.kind == "f":
        return lambda values: numpy.array(values, dtype="float64").astype(kind).reshape(-1, 1)
    return lambda values: numpy.array(values, dtype=kind).reshape(-1, 1)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
