"""The steps of a run that predicts over a dataset, with what a replica predicts with.

They run in the environment that a replica of the model would have. Rows are held against the signature as
requests are, a part of the dataset at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.sdk.codec_names import ONNX
from mlwright.sdk.codecs import codec_named
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.parts import Columns, Part, form_of
from mlwright.sdk.parts_text import column_taken
from mlwright.sdk.passing import table_sent
from mlwright.sdk.predicted import kinds_of, write_predictions
from mlwright.sdk.predictors import Predictor, find_predictor
from mlwright.sdk.report import progress
from mlwright.sdk.stored import Stored
from mlwright.serving.problems import Problem
from mlwright.serving.runtime.custom import CustomRuntime
from mlwright.serving.runtime.native import NativeRuntime
from mlwright.serving.runtime.onnx import OnnxRuntime
from mlwright.serving.served import Loader, Served, load
from mlwright.serving.spec import Limits, ModelSpec, ReplicaSpec
from mlwright.serving.validation import Validator
from mlwright.versioning.signatures import Column, Signature

_FALSE_TRUE = {"false": False, "true": True}
_MAX_DIGITS = 400
"""A longer number is beyond every float, and takes quadratic time to read."""


class Joined(NamedTuple):
    """The files of a dataset with predictions, and what is told of them."""

    files: Path
    about: dict[str, Any]


def cut(
    data: Dataset, model: Stored | None, spec: dict[str, Any], proba: bool, only: bool, rows: int
) -> list[dict[str, Any]]:
    """Where the parts of a dataset lie, once the model has answered its example and all columns are there.

    Args:
        data: tables.
        model: its bytes; None if it is asked in another environment, where it will answer its example.
        spec: a `ModelSpec` as JSON, without what `model` tells.
        proba: whether probabilities are asked for.
        only: nothing but predictions will be written.
        rows: of a part, at most.

    Returns:
        Each a `mlwright.sdk.parts.Part`.

    Raises:
        Incompatible: the model answers its example with something else.
        Invalid: a file is no table, lacks a column of the model, or has one of a name that is to be added.
    """
    signature = _signature(spec)
    if model is not None:
        told = _spec(spec, model)
        with ThreadPoolExecutor(1) as thread:
            load(told, _replica(told, rows), _loader(told), Path(), thread)
    added = kinds_of(spec["signature"]["output"], proba=proba)
    found: list[Part] = []
    for file in data.files:
        form = form_of(file, f"dataset {data.reference}")
        with _naming(data, file), data.open(file) as source:
            if there := form.columns(source):
                _hold_columns(signature, there, () if only else added)
            found += form.parts(source, file, rows)
    return [asdict(each) for each in found]


def predict(data: Dataset, part: dict[str, Any], model: Stored, spec: dict[str, Any], proba: bool) -> Path:
    """What a model says of some rows.

    Args:
        data: tables.
        part: of `cut`.
        model: its bytes.
        spec: as for `cut`.
        proba: whether probabilities are asked for.

    Returns:
        A file of JSON: the new columns, by name.

    Raises:
        Invalid: a row does not fit the signature; it is named, counted from 0, with the column.
        WorkFailed: the model fails.
    """
    where, told = Part(**part), _spec(spec, model)
    served = _loaded(told, where.rows)
    columns = _columns(data, where, told.signature, served.validator)
    with _naming(data, where.file):
        outputs = served.answers(columns, proba=proba)
    return write_predictions(outputs.labels, outputs.shares, msgspec.to_builtins(told.signature.output))


def take(data: Dataset, part: dict[str, Any], spec: dict[str, Any]) -> Path:
    """Some rows, held against the signature: for a model that is asked in another environment.

    Args:
        data: tables.
        part: of `cut`.
        spec: as for `cut`.

    Returns:
        A frame, as `mlwright.sdk.passing.table_sent` makes it.

    Raises:
        Invalid: a row does not fit the signature; it is named, counted from 0, with the column.
    """
    where, signature = Part(**part), _signature(spec)
    validator = Validator(signature.inputs, where.rows, ignore_unknown=True)
    path = Path("columns")
    path.write_bytes(table_sent({}, _columns(data, where, signature, validator)).encode())
    return path


def join(
    data: Dataset,
    parts: list[dict[str, Any]],
    predicted: list[Path],
    spec: dict[str, Any],
    proba: bool,
    only: bool,
) -> Joined:
    """The files of a dataset, each with the new columns.

    Args:
        data: tables.
        parts: of `cut`.
        predicted: of `predict`, one for each part.
        spec: as for `cut`.
        proba: whether there are probabilities.
        only: nothing else is kept.

    Raises:
        Invalid: there is a column of a name that is to be added.
    """
    kinds = kinds_of(spec["signature"]["output"], proba=proba)
    folder = Path("predictions")
    made = progress([*zip(map(_part, parts), predicted, strict=True)], what="joined")
    rest = _Groups(made)
    columns: list[str] | None = None
    for file in data.files:
        form = form_of(file, f"dataset {data.reference}")
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        with _naming(data, file), data.open(file) as source:
            there = form.columns(source)
            columns = [*([] if only else there), *kinds] if only or there else None
            form.write(source, target, rest.of(file), kinds, only=only)
    about = {
        "files": len(data.files),
        "columns": columns if len(data.files) == 1 else None,
        "rows": sum(each["rows"] for each in parts),
    }
    return Joined(folder, about)


class _Groups:
    """Parts with their predictions, file by file, each read when its turn comes."""

    def __init__(self, made: Iterator[tuple[Part, Path]]) -> None:
        self._made = made
        self._next = next(made, None)

    def of(self, file: str) -> Iterator[tuple[Part, Columns]]:
        """Those of a file."""
        while self._next is not None and self._next[0].file == file:
            part, path = self._next
            yield part, json.loads(path.read_bytes())
            self._next = next(self._made, None)


@contextmanager
def _naming(data: Dataset, file: str) -> Iterator[None]:
    """Let errors of ours say whose rows they are about."""
    what = f"dataset {data.reference}" if len(data.files) == 1 else f"`{file}` of dataset {data.reference}"
    try:
        yield
    except MlwrightError as error:
        error.message = f"{what}: {error.message}"
        raise


_kept: dict[tuple[str, str, int], Served] = {}
"""The model that this process was asked with last: the next part is most likely of the same."""


def _loaded(spec: ModelSpec, rows: int) -> Served:
    key = str(spec.version_id), spec.onnx, rows
    if key not in _kept:
        _kept.clear()
        replica = _replica(spec, rows)
        _kept[key] = Served(spec, replica, _loader(spec)(spec, Path()), ThreadPoolExecutor(1))
    return _kept[key]


def _loader(spec: ModelSpec) -> Loader:
    """What reads a model: as in a replica, but that a worker has the code of the project already."""
    if spec.onnx:
        return OnnxRuntime.load
    return _custom if spec.signature.predictor else NativeRuntime.load


def _custom(spec: ModelSpec, scratch: Path) -> CustomRuntime:
    found = find_predictor(spec.signature.predictor)
    model = codec_named(spec.codec).decode(Path(spec.path), "", scratch)
    return CustomRuntime(Predictor(found, model), spec.signature)


def _replica(spec: ModelSpec, rows: int) -> ReplicaSpec:
    return ReplicaSpec((spec,), Limits(rows=rows), unknown_fields="ignore")


def _spec(spec: Mapping[str, Any], model: Stored) -> ModelSpec:
    """What a replica would be told. Where the bytes are a conversion's, nothing else is needed."""
    path = str(model.path.absolute())
    onnx = path if model.codec == ONNX else ""
    return msgspec.convert({**spec, "codec": model.codec, "path": path, "onnx": onnx}, ModelSpec)


def _signature(spec: Mapping[str, Any]) -> Signature:
    return msgspec.convert(spec["signature"], Signature)


def _part(told: Mapping[str, Any]) -> Part:
    return Part(**told)


def _hold_columns(
    signature: Signature, there: Sequence[str], added: Sequence[str] | Mapping[str, str]
) -> None:
    missing = [column.name for column in signature.inputs if column.name not in there]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise Invalid(f"columns that the model takes are missing: {names}{more}")
    for name in added:
        if name in there:
            raise column_taken(name)


def _columns(data: Dataset, part: Part, signature: Signature, validator: Validator) -> Any:
    """The rows of a part as the model takes them.

    Raises:
        Invalid: one does not fit.
    """
    form = form_of(part.file, f"dataset {data.reference}")
    with _naming(data, part.file), data.open(part.file) as source:
        request = form.read(source, part, [column.name for column in signature.inputs])
        if not form.typed:
            request = {"columns": _typed(signature.inputs, request["columns"])}
        return _taken(validator, request, part)


def _taken(validator: Validator, request: Mapping[str, Any], part: Part) -> Any:
    """The values of some rows as the model takes them: what a request of them would be.

    Raises:
        Invalid: one does not fit.
    """
    try:
        return validator.columns(msgspec.json.encode(request))
    except Problem as problem:
        faults = [
            fault if fault.row is None else msgspec.structs.replace(fault, row=fault.row + part.first)
            for fault in problem.faults
        ]
        refused = Problem(problem.http_status, "" if faults else problem.message, faults=faults)
        raise Invalid(refused.message, hint="rows are counted from 0") from problem


def _typed(inputs: Sequence[Column], cells: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Cells of text as values of their columns; what is none stays text, which is refused with its place.

    An empty cell is a value that is missing; in a column of text that may not be missing, the empty text.
    """
    found: dict[str, list[Any]] = {}
    for column in inputs:
        read = _READERS[column.type]
        missing = None if column.nullable or column.type != "string" else ""
        found[column.name] = [read(cell) if cell else missing for cell in cells[column.name]]
    return found


def _number(cell: str) -> Any:
    try:
        return float(cell) if "_" not in cell and len(cell) <= _MAX_DIGITS else cell
    except ValueError:
        return cell


def _integer(cell: str) -> Any:
    try:
        return int(cell) if "_" not in cell and len(cell) <= _MAX_DIGITS else cell
    except ValueError:
        return _number(cell)


_READERS: dict[str, Any] = {
    "number": _number,
    "integer": _integer,
    "boolean": lambda cell: _FALSE_TRUE.get(cell.strip().lower(), cell),
    "string": str,
}
