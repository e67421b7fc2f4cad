"""Runs that predict over a dataset: cut into parts, each predicted by itself, joined to a dataset's version.

The steps are those of `mlwright.serving.over_datasets`, which stands beside this room: they are known here by
their addresses only. They run in the environment that the request names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from mlwright.environments import Lock
from mlwright.kernel.errors import Incompatible, Invalid
from mlwright.sdk.parts import ROWS
from mlwright.sdk.stored import STORED
from mlwright.sdk.table_files import FORMATS, format_of
from mlwright.tracking import Run
from mlwright.versioning import Artifact, Version, artifact
from mlwright.versioning.conversions import converted_artifact
from mlwright.versioning.models import ModelDetail
from mlwright.versioning.references import check_name
from mlwright.versioning.signatures import signature_from
from mlwright.workflow.graph import Argument, Graph, Node
from mlwright.workflow.orders import Orders
from mlwright.workflow.prepare import Prepared, grounds_of
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.watch import Watcher

_STEPS = "mlwright.serving.over_datasets"
_STEP_APART = "mlwright.sdk.predicting_apart:predict"
MODELS_OWN = "model"
"""The name of the environment of the model's packages alone, where the server's exclude them."""
_RETRIES = 1
_ADD, _TAKE = "add", "take"


class Wanted(Struct, frozen=True):
    """What is to be predicted: the parameters of the run.

    Args:
        model: a version.
        dataset: likewise.
        to: the dataset that gets the version.
        proba: also the probability of each class.
        only_predictions: no column of the dataset is kept.
        rows: of a part, at most.
        onnx: the digest of the conversion that answers; empty where the model's own library does.
    """

    model: str
    dataset: str
    to: str
    proba: bool = False
    only_predictions: bool = False
    rows: int = ROWS
    onnx: str = ""


class Predicted(Struct, frozen=True):
    """A version of a dataset with predictions.

    Args:
        run: that predicted, its id.
        note: whether the version is new, in words.
        rows: how many were predicted.
    """

    run: str
    version: Version
    note: str
    rows: int


def wanted_from(
    rooms: Rooms,
    detail: ModelDetail,
    dataset: str,
    to: str,
    *,
    proba: bool = False,
    only_predictions: bool = False,
    rows: int = ROWS,
) -> Wanted:
    """What is to be predicted, as far as that can be known without reading the dataset.

    Args:
        detail: of a model that can be served.
        dataset: a reference.
        to: the name of a dataset; empty for one after the model.

    Raises:
        NotFound: there is no such dataset.
        Invalid: it has no table, or a name cannot be one; or the model gives no probabilities.
        Incompatible: the model takes no table.
    """
    assert detail.signature is not None
    model, data = detail.version, rooms.datasets.versions.resolve(dataset)
    to = to or f"{model.name}-predictions"
    check_name(to, "dataset")
    if not detail.signature.inputs or detail.signature.output.stream:
        raise Incompatible(
            f"{model.reference} does not answer rows of a table, and a dataset has only these",
            hint=f"ask it over HTTP: mlwright serve {model.reference}",
        )
    if to == data.name:
        raise Invalid(
            f"predictions over {data.reference} cannot be a version of `{to}` itself",
            hint="name another dataset: --to NAME",
        )
    if proba and not detail.signature.probabilities:
        raise Invalid(f"{model.reference} gives no probabilities", hint="leave out --proba")
    if rows < 1:
        raise Invalid(f"a part cannot have {rows} rows", hint=f"leave it out for {ROWS:,}")
    if strange := [entry.path for entry in rooms.datasets.tree(data).entries if not format_of(entry.path)]:
        raise Invalid(
            f"`{strange[0]}` of {data.reference} is not a table", hint=f"tables are {', '.join(FORMATS)}"
        )
    return Wanted(model.reference, data.reference, to, proba, only_predictions, rows)


def prediction_request(
    rooms: Rooms, detail: ModelDetail, wanted: Wanted, locks: Mapping[str, Lock], **how: Any
) -> Request:
    """The request of a run that predicts.

    Args:
        locks: of the environment that a replica of the model would have, which has an empty name; where the
            model has a process for itself, `MODELS_OWN` too.
        how: other fields of the request.
    """
    code = detail.predictor or detail.code
    return Request(
        f"{wanted.model} on {wanted.dataset}",
        msgspec.to_builtins(wanted),
        snapshot=rooms.snapshots.get(code) if code else rooms.snapshots.take(),
        locks=locks,
        predicts=True,
        **how,
    )


def needs_arrow(rooms: Rooms, dataset: str) -> bool:
    """Whether a dataset has tables that only pyarrow reads."""
    version = rooms.datasets.versions.resolve(dataset)
    return any(format_of(each.path) in {"parquet", "arrow"} for each in rooms.datasets.tree(version).entries)


def prepare_prediction(rooms: Rooms, request: Request, watcher: Watcher) -> Prepared:
    """All that a request to predict means.

    Raises:
        NotFound: the model or the dataset is not there.
        Incompatible: the model is a pickle that no run of this workspace made, or the conversion that was to
            answer was replaced.
        Unavailable: the environment cannot be made.
    """
    wanted, snapshot = msgspec.convert(request.given, Wanted), request.snapshot
    assert snapshot is not None
    model = rooms.models.versions.resolve(wanted.model)
    data = rooms.datasets.versions.resolve(wanted.dataset)
    found = _answering(rooms, wanted, model)
    if not all(map(rooms.environments.built, request.locks.values())):
        watcher.preparing(f"installing the environment of {model.reference}, with the server's packages")
    environments = {name: rooms.environments.build(lock) for name, lock in request.locks.items()}
    code = rooms.materialise(snapshot)
    graph = Graph(request.pipeline, _nodes(wanted, model, data, apart=MODELS_OWN in environments))
    orders = Orders(
        graph,
        code,
        grounds_of(rooms, snapshot, environments, code),
        {wanted.dataset: data},
        {f"@{wanted.model}": found},
        dict(request.given),
        request.cache,
        request.replay,
    )
    pins = {wanted.dataset: data.reference, wanted.model: model.reference}
    return Prepared(
        request,
        snapshot,
        environments,
        dict(request.given),
        pins,
        orders,
        {wanted.model: model},
        {wanted.model: found} if wanted.onnx else {},
    )


def predicted_by(rooms: Rooms, run: Run) -> Predicted:
    """What a run that predicted has made."""
    (added,) = (each for each in rooms.attempts.of_run(run.id) if each.node == _ADD)
    version = rooms.datasets.versions.by_id(added.detail["version"])
    return Predicted(run.id, version, added.detail["note"], added.detail["rows"])


def _answering(rooms: Rooms, wanted: Wanted, model: Version) -> Artifact:
    """The bytes that answer: of the model, or of its conversion."""
    if not wanted.onnx:
        found = artifact(rooms.database, model.artifact_id)
        found.refuse_foreign_pickle(model.reference)
        return found
    converted = converted_artifact(rooms.database, model, wanted.onnx)
    if converted is None:
        raise Incompatible(
            f"the conversion of {model.reference} that was to answer, {wanted.onnx[:12]}, was replaced",
            hint="the same command again: mlwright predict",
        )
    return converted


def _nodes(wanted: Wanted, model: Version, data: Version, *, apart: bool) -> tuple[Node, ...]:
    signature = signature_from(model.about["signature"])
    spec = {"model": model.reference, "version_id": model.id, "signature": msgspec.to_builtins(signature)}
    table = Argument("dataset", value=wanted.dataset)
    told, proba = Argument("value", value=spec), Argument("value", value=wanted.proba)
    asks = {
        "model": Argument("output", node=f"@{wanted.model}", output="model"),
        "spec": told,
        "proba": proba,
    }
    only = Argument("value", value=wanted.only_predictions)
    parts = Argument("output", node="parts", output="result")
    cut = Node(
        "parts",
        "step",
        {"data": table, **asks, "only": only, "rows": Argument("value", value=wanted.rows)},
        {"result": "list"},
        step=f"{_STEPS}:cut",
        accepts={"model": STORED},
        reaches=(signature.predictor,) if signature.predictor else (),
        seeded=False,
        retries=_RETRIES,
    )
    predict = replace(
        cut,
        name="predict",
        inputs={"data": table, "part": parts, **asks},
        outputs={"result": "pathlib.Path"},
        step=f"{_STEPS}:predict",
        mapped=("part",),
    )
    return (
        *(_apart(cut, predict) if apart else (cut, predict)),
        Node(
            "join",
            "step",
            {
                "data": table,
                "parts": parts,
                "predicted": Argument("output", node="predict", output="result"),
                "spec": told,
                "proba": proba,
                "only": only,
            },
            {"files": "pathlib.Path", "about": "dict"},
            step=f"{_STEPS}:join",
            several=True,
            seeded=False,
            retries=_RETRIES,
        ),
        Node(
            _ADD,
            "add",
            {
                "files": Argument("output", node="join", output="files"),
                "about": Argument("output", node="join", output="about"),
            },
            {},
            settings={"name": wanted.to, "made_with": {"model": model.id, "data": data.id}},
        ),
    )


def _apart(cut: Node, predict: Node) -> tuple[Node, ...]:
    """Where the model is in another environment: its rows are read and held against its signature before."""
    told = {name: predict.inputs[name] for name in ("data", "part", "spec")}
    taken = Argument("output", node=_TAKE, output="result")
    asked = {name: predict.inputs[name] for name in ("model", "spec", "proba")}
    return (
        replace(cut, inputs={**cut.inputs, "model": Argument("value")}, accepts={}, reaches=()),
        replace(predict, name=_TAKE, inputs=told, step=f"{_STEPS}:take", accepts={}, reaches=()),
        replace(
            predict,
            inputs={"columns": taken, **asked},
            accepts={**predict.accepts, "columns": "pathlib.Path"},
            step=_STEP_APART,
            mapped=("columns",),
            environment=MODELS_OWN,
        ),
    )
