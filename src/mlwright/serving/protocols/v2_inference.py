"""What a request of the Open Inference Protocol asks a model of a table, and its answer as tensors.

A table's columns are tensors of [rows] or [rows, 1]. Where all of them are numbers, one tensor `input` of
[rows, columns] may stand for them. The answer is `predict` and, of a model that has probabilities,
`predict_proba` [rows, classes].

Source: Open Inference Protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from mlwright.sdk.rows import plain
from mlwright.serving.problems import Problem
from mlwright.serving.protocols import v2_binary
from mlwright.serving.protocols.v2_tensors import (
    DATATYPES,
    TAKEN,
    TOLD,
    Tensor,
    not_json,
    read_shape,
    read_values,
)
from mlwright.serving.validation import Validator
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Signature

PREDICT, PROBA = "predict", "predict_proba"
MATRIX = "input"
_NOTHING = Raw(b"")
_MAX_PARAMETERS_BYTES = 16 * 2**10
_MAX_TENSORS_MORE = 16
"""So many inputs more than there are columns are read, to say which of them the model does not have."""
_CONTENT_TYPES = {"pd", "np", "str"}
"""Hints of MLServer's clients to what is done here anyway."""


class _Input(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    shape: Raw
    datatype: str
    parameters: Raw = _NOTHING
    data: Raw = _NOTHING


class _Output(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    parameters: Raw = _NOTHING


class _Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str = ""
    parameters: Raw = _NOTHING
    outputs: list[_Output] | None = None
    model_name: str | None = None  # KServe's client repeats what stands in the path
    model_version: str | None = None


class Input(Protocol):
    """A tensor of a request, in the form of whoever has read it."""

    @property
    def name(self) -> str:
        """Of a column, or `input`."""

    @property
    def datatype(self) -> str:
        """As the protocol names it."""


ShapeOf = Callable[[str, Any], tuple[int, ...]]
ValuesOf = Callable[[str, Any, tuple[int, ...]], Any]


class Question(Struct, frozen=True):
    """What a request asks.

    Args:
        columns: as the model takes them.
        outputs: those that are asked for, in their order; whether each is to be binary.
        id: the request's own; empty if it has none.
    """

    columns: Columns
    outputs: dict[str, bool]
    id: str

    @property
    def rows(self) -> int:
        """How many rows the model is asked about."""
        return len(self.columns[0])

    @property
    def proba(self) -> bool:
        """Whether probabilities are asked for."""
        return PROBA in self.outputs


class Tensors:
    """The tensors of one model: reads what it is asked, and writes what it answers.

    Args:
        name: of the model.
        version: as it stands in the paths.
        signature: of the model.
        validator: of its requests.
        max_rows: how many rows one request may hold.
    """

    def __init__(
        self, name: str, version: str, signature: Signature, validator: Validator, max_rows: int
    ) -> None:
        self.name = name
        self.version = version
        self._signature = signature
        self.max_rows = max_rows
        self._validator = validator
        self._columns = {column.name: column for column in signature.inputs}
        self._has_matrix = all(
            each.type in {"number", "integer"} and not each.closed for each in signature.inputs
        )
        self._decoder = msgspec.json.Decoder(_Request)
        self.outputs = (PREDICT, PROBA) if signature.probabilities else (PREDICT,)

    def metadata(self, versions: Sequence[str], platform: str) -> dict[str, Any]:
        """What the model takes and gives, as the protocol tells it.

        Args:
            versions: those that are served.
            platform: what runs it, as `mlwright_sklearn`.
        """
        inputs = [
            {"name": column.name, "datatype": TOLD[column.type], "shape": [-1]}
            for column in self._signature.inputs
        ]
        told: dict[str, Any] = {
            "name": self.name,
            "versions": list(versions),
            "platform": platform,
            "inputs": inputs,
            "outputs": [self.told_output(name) for name in self.outputs],
        }
        if self._has_matrix and len(inputs) > 1:
            shape = f"[-1, {len(inputs)}]"
            either = f"one tensor `{MATRIX}` of FP64 {shape}, with the columns in this order"
            told["parameters"] = {"instead_of_inputs": either}
        return told

    def question(self, body: bytes, headers: Mapping[str, str]) -> Question:
        """Read a request.

        Args:
            body: as it arrived.
            headers: of the request, their names in small letters.

        Raises:
            Problem: 400, it is not of the protocol, or not what this model takes.
        """
        head, rest = v2_binary.split(body, headers)
        try:
            request = self._decoder.decode(head)
        except RecursionError:
            raise Problem(400, "the request is JSON that is nested too deeply") from None
        except ValueError as error:
            raise not_json(bytes(head), str(error)) from None
        parameters = _parameters("the request", request.parameters)
        asked = [
            (each.name, _parameters(f"the output {_shown(each.name)}", each.parameters))
            for each in request.outputs or ()
        ]
        outputs = self.asked_for(asked, binary=_flag(parameters, "binary_data_output", "the request"))
        values = _Values(rest)
        columns = self.columns(request.inputs, self._shape, values)
        values.end()
        return Question(columns, outputs, request.id)

    def answer(
        self, question: Question, labels: Any, shares: Any, identity: str, warnings: Sequence[str] = ()
    ) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
        """The body of an answer and the headers that belong to it.

        Args:
            labels: shape (n,), what the rows were answered with.
            shares: shape (n, k), the probability of each class; None if they were not asked for.
            identity: of this answer, for requests without an id of their own.
            warnings: what of the request lies outside of what training saw.
        """
        outputs, tails = [], []
        for name, binary in question.outputs.items():
            output = self.told_output(name)
            if name == PREDICT:
                values = plain(labels)
                output["shape"] = [len(values)]
            else:
                output["shape"] = list(shares.shape)
                values = plain(shares.ravel())
            if binary:
                tails.append(v2_binary.written(output["datatype"], values))
                output["parameters"] = output.get("parameters", {}) | {"binary_data_size": len(tails[-1])}
            else:
                output["data"] = values
            outputs.append(output)
        told: dict[str, Any] = {
            "model_name": self.name,
            "model_version": self.version,
            "id": question.id or identity,
            "outputs": outputs,
        }
        if warnings:
            told["parameters"] = {"warnings": "; ".join(warnings)}
        head = msgspec.json.encode(told)
        if not tails:
            return head, ()
        return head + b"".join(tails), ((v2_binary.HEADER.encode(), str(len(head)).encode()),)

    def told_output(self, name: str) -> dict[str, Any]:
        """An output as the metadata has it, its rows still open."""
        if name == PREDICT:
            return {"name": name, "datatype": TOLD[self._signature.output.type], "shape": [-1]}
        classes = self._signature.output.classes or ()
        told = msgspec.json.encode(classes).decode()
        parameters = {"parameters": {"classes": told}} if classes else {}
        return {"name": name, "datatype": "FP64", "shape": [-1, len(classes) or -1], **parameters}

    def asked_for(
        self, asked: Sequence[tuple[str, Mapping[str, Any]]], *, binary: bool = False
    ) -> dict[str, bool]:
        """The outputs to answer, and whether each is binary.

        Args:
            asked: their names and parameters; none for all.
            binary: whether those are that do not say.

        Raises:
            Problem: 400, the model has no such output, or not in this form.
        """
        if not asked:
            return dict.fromkeys(self.outputs, binary)
        outputs: dict[str, bool] = {}
        for name, parameters in asked:
            if name not in self.outputs:
                raise Problem(400, f"{_shown(name)} is no output of this model: {_list(self.outputs)}")
            if name in outputs:
                raise Problem(400, f"the output `{name}` is asked for twice")
            where = f"the output `{name}`"
            if "classification" in parameters:
                raise Problem(400, f"{where} cannot be asked for as a classification")
            outputs[name] = _flag(parameters, "binary_data", where, binary)
        return outputs

    def columns(self, inputs: Sequence[Input], shape_of: ShapeOf, values_of: ValuesOf) -> Columns:
        """The inputs of a request as the model takes them.

        Args:
            inputs: as they came, in whatever form.
            shape_of: reads the shape of one, by the name that is told of it.
            values_of: likewise its values.

        Raises:
            Problem: 400, they are not what this model takes.
        """
        if not inputs:
            raise Problem(400, f"the request has no inputs: {self._wanted()}")
        if len(inputs) > len(self._columns) + _MAX_TENSORS_MORE:
            raise Problem(400, f"the request has {len(inputs)} inputs: {self._wanted()}")
        tensors: dict[str, Tensor] = {}
        for given in inputs:
            if given.name in tensors:
                raise Problem(400, f"the input {_shown(given.name)} is there twice")
            if given.datatype not in DATATYPES:
                known = f"it is one of {', '.join(DATATYPES)}"
                raise Problem(400, f"{_shown(given.datatype)} is no datatype: {known}")
            name = _shown(given.name)[1:-1]
            shape = shape_of(name, given)
            if len(shape) == 2 and shape[1] > len(self._columns):
                raise Problem(400, f"`{name}` has {shape[1]} columns, and this model {len(self._columns)}")
            tensors[given.name] = Tensor(name, given.datatype, shape, values_of(name, given, shape))
        return self._columns_of(tensors)

    def _shape(self, name: str, given: Any) -> tuple[int, ...]:
        return read_shape(name, given.shape, self.max_rows)

    def _columns_of(self, tensors: Mapping[str, Tensor]) -> Columns:
        matrix = tensors.get(MATRIX) if len(tensors) == 1 else None
        if self._has_matrix and matrix and (MATRIX not in self._columns or len(matrix.shape) == 2):
            return self._of_matrix(matrix)
        places = self._validator.placed(list(tensors))
        given = list(tensors.values())
        placed = [given[at] for at in places]
        for column, tensor in zip(self._signature.inputs, placed, strict=True):
            if tensor.datatype not in TAKEN[column.type]:
                raise Problem(
                    400, f"`{column.name}` is {TOLD[column.type]} ({column.type}), not {tensor.datatype}"
                )
            if len(tensor.shape) == 2 and tensor.shape[1] != 1:
                raise Problem(
                    400, f"the shape of `{column.name}` is [rows] or [rows, 1], not {list(tensor.shape)}"
                )
        return self._validator.checked([tensor.values for tensor in placed])

    def _of_matrix(self, matrix: Tensor) -> Columns:
        count = len(self._columns)
        shape = matrix.shape if len(matrix.shape) == 2 else (*matrix.shape, 1)
        if shape[1] != count:
            raise Problem(400, f"the shape of `{MATRIX}` is [rows, {count}], not {list(matrix.shape)}")
        if matrix.datatype not in TAKEN["number"]:
            raise Problem(400, f"`{MATRIX}` is FP64 or another of numbers, not {matrix.datatype}")
        return self._validator.checked([matrix.values[at::count] for at in range(count)])

    def _wanted(self) -> str:
        columns = f"one for each of {len(self._columns)} columns" if len(self._columns) > 1 else "one"
        either = f", or `{MATRIX}` with all of them" if self._has_matrix and len(self._columns) > 1 else ""
        return f"the model takes {columns}{either}; see its metadata"


class _Values:
    """Reads the values of one input after the other: as JSON, or from what follows the JSON.

    Args:
        rest: what follows.
    """

    def __init__(self, rest: memoryview) -> None:
        self._rest = rest
        self._at = 0

    def __call__(self, name: str, given: Any, shape: tuple[int, ...]) -> Any:
        """Those of one.

        Raises:
            Problem: 400, they are not there, or not as the shape and the datatype say.
        """
        size = _binary_size(name, given)
        if size is None:
            return read_values(name, given.datatype, shape, given.data)
        left, at = len(self._rest) - self._at, self._at
        if size > left:
            raise Problem(400, f"`{name}` has a binary_data_size of {size}, and {left} bytes are left")
        self._at += size
        return v2_binary.read_values(name, given.datatype, shape, self._rest[at : self._at])

    def end(self) -> None:
        """All have been read.

        Raises:
            Problem: 400, something is left.
        """
        if self._at != len(self._rest):
            raise Problem(400, f"{len(self._rest) - self._at} bytes after the last tensor belong to none")


def check_parameters(name: str, parameters: Mapping[str, Any]) -> None:
    """Look at what is said of an input beside its values.

    Raises:
        Problem: 400, it cannot be done here.
    """
    if any(key.startswith("shared_memory") for key in parameters):
        raise Problem(400, f"`{name}` is in shared memory, which this server does not read")
    hint = parameters.get("content_type", "np")
    if not isinstance(hint, str) or hint not in _CONTENT_TYPES:
        known = ", ".join(sorted(_CONTENT_TYPES))
        raise Problem(400, f"the content_type of `{name}` is not known here: it is one of {known}")


def _binary_size(name: str, given: _Input) -> int | None:
    """How many bytes of an input follow the JSON; None if its data stand in the JSON.

    Raises:
        Problem: 400, both or neither, no size at all, or memory that is not shared with this server.
    """
    parameters = _parameters(f"`{name}`", given.parameters)
    check_parameters(name, parameters)
    size = parameters.get("binary_data_size")
    if size is None:
        if not len(given.data):
            raise Problem(400, f"`{name}` has neither data nor binary_data_size")
        return None
    if len(given.data):
        raise Problem(400, f"`{name}` has both data and binary_data_size")
    if type(size) is not int or size < 0:
        raise Problem(400, f"the binary_data_size of `{name}` must be a number of bytes")
    return size


def _parameters(where: str, raw: Raw) -> dict[str, Any]:
    """Parameters as they stand in a request; those that mean nothing here are left to whom they do."""
    if not len(raw):
        return {}
    if len(raw) > _MAX_PARAMETERS_BYTES:
        raise Problem(400, f"the parameters of {where} take {len(raw)} bytes, which is too many")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any] | None) or {}
    except (ValueError, RecursionError):
        raise Problem(400, f"the parameters of {where} must be an object") from None


def _flag(parameters: Mapping[str, Any], name: str, where: str, otherwise: bool = False) -> bool:
    value = parameters.get(name, otherwise)
    if not isinstance(value, bool):
        raise Problem(400, f"{name} of {where} must be true or false")
    return value


def _list(names: Sequence[str]) -> str:
    return "it has " + " and ".join(f"`{name}`" for name in names)


def _shown(name: str) -> str:
    return f"`{name}`" if len(name) <= 60 else f"`{name[:57]}...`"
