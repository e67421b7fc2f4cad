"""Replicas of model versions, each in the environment that its model was made in, or as it was converted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mlwright import serving
from mlwright.environments import Exclusive, Lock
from mlwright.kernel.errors import Incompatible, MlwrightError
from mlwright.runtimes import (
    RuntimeName,
    conversions_of,
    converting_beside,
    lock_apart,
    settled,
    way_of,
    with_conversion,
)
from mlwright.serving.records import read_records, sealed
from mlwright.versioning import ModelDetail
from mlwright.versioning.predictions import Predictions
from mlwright.workflow import Rooms
from mlwright.workflow.predicting import MODELS_OWN

_EVERY_S = 10.0


def spec_of(
    rooms: Rooms,
    details: Sequence[ModelDetail],
    runtime: RuntimeName = "auto",
    access: serving.Access | None = None,
    limits: serving.Limits | None = None,
    group: serving.Group | None = None,
) -> serving.ReplicaSpec:
    """What a replica needs to know, as its models are converted now.

    Args:
        details: versions that can be served.
        runtime: what answers, if it can.
        access: on what terms it answers; without, it asks for no token, and others cannot reach it.
        limits: of requests; by default those of the project's settings.
        group: of those that answer together.

    Raises:
        Invalid: two of one model that are no group; a group that is none; or a limit cannot be that.
        Incompatible: they were made in different environments, or those of the group do not take the same.
    """
    conversions = conversions_of(details, runtime)
    first, *others = details
    for other in others if not conversions else ():
        if other.environment != first.environment:
            raise Incompatible(
                f"{other.version.reference} was made in another environment than {first.version.reference}",
                hint="serve each by itself, on a port of its own",
            )
    onnx = [str(rooms.objects.path(each.digest)) for each in conversions] or [""] * len(details)
    apart = way_of(details, runtime) == "child"
    models = tuple(_model_spec(rooms, *each, apart=apart) for each in zip(details, onnx, strict=True))
    spec = serving.ReplicaSpec(
        models,
        serving.limits_of(rooms.project.settings.serve) if limits is None else serving.checked_limits(limits),
        recording=_recording(rooms),
        access=access or serving.Access(),
        group=group,
    )
    return spec.checked()


def _recording(rooms: Rooms) -> serving.Recording | None:
    wanted = rooms.project.settings
    if not wanted.record_predictions:
        return None
    return serving.Recording(str(_spool(rooms)), wanted.record_predictions, wanted.record_values)


def _spool(rooms: Rooms) -> Path:
    """Where replicas on this machine leave what they record."""
    return rooms.workspace.local / "predictions"


def collect_predictions(rooms: Rooms) -> int:
    """Bring into the workspace what replicas on this machine have recorded; twice is once.

    Returns:
        How many records are new.
    """
    predictions = Predictions(rooms.database, rooms.objects, rooms.models.versions)
    found = 0
    for path in sealed(_spool(rooms)):
        found += predictions.add(read_records(path))
        path.unlink(missing_ok=True)
    return found


def _model_spec(rooms: Rooms, detail: ModelDetail, onnx: str, *, apart: bool) -> serving.ModelSpec:
    assert detail.signature is not None
    version, codec = detail.version, detail.artifact.codec
    path = rooms.objects.path(detail.artifact.digest)
    code = str(rooms.materialise(rooms.snapshots.get(detail.predictor))) if detail.predictor else ""
    own = rooms.environments.get(detail.environment) if apart else None
    python = "" if own is None else str(rooms.environments.builds.python(own))
    return serving.ModelSpec(
        version.reference, version.id, codec, str(path), detail.signature, code, onnx, python
    )


def locks_to_predict(
    rooms: Rooms, detail: ModelDetail, runtime: RuntimeName, say: Callable[[str], object], *, arrow: bool
) -> dict[str, Lock]:
    """The environments in which a model predicts over a dataset: that of a replica; or that and its own.

    Args:
        runtime: what answers.
        say: is told what takes long.
        arrow: Parquet or Arrow is to be read.

    Raises:
        NotFound, Unavailable: a package cannot be had.
    """
    (detail,), lock = settled(rooms, [detail], runtime, say)
    own, more = rooms.environments.get(detail.environment), serving.table_requirements()
    way = way_of([detail], runtime)
    if arrow and way == "onnx":
        lock = rooms.environments.resolve_alone([*serving.serve_requirements("onnx"), *more])
    elif arrow and way == "together":
        try:
            lock = rooms.environments.resolve_with(own, [*serving.serve_requirements(), *more])
        except Exclusive:  # what reads tables is excluded, though the server is not
            way = "child"
    if way == "child":
        return {"": lock_apart(rooms, own, arrow=arrow), MODELS_OWN: own}
    return {"": lock}


@contextmanager
def serve(
    rooms: Rooms,
    details: Sequence[ModelDetail],
    *,
    host: str,
    port: int,
    replicas: int = 1,
    runtime: RuntimeName = "auto",
    access: serving.Access | None = None,
    limits: serving.Limits | None = None,
    group: serving.Group | None = None,
    preparing: Callable[[str], object] | None = None,
) -> Iterator[serving.Server]:
    """Answer predictions over HTTP while the block runs, with the server's packages beside the model's.

    Args:
        details: versions that can be served.
        replicas: processes that answer.
        runtime: what answers; with `auto`, what was not converted yet is, beside the server.
        access: on what terms it answers; without, it asks for no token, and others cannot reach it.
        limits: of requests; by default those of the project's settings.
        group: of those that answer together.
        preparing: is told what takes long.

    Raises:
        Invalid: an address that others can reach, though nothing says that they may; two versions of one
            model that are no group; or a limit cannot be that.
        Incompatible: the models were made in different environments; or `onnx` is asked for, and one has no
            conversion that is used.
        Unavailable: the port is taken, or the environment cannot be made.
        WorkFailed: the replica never got ready; the message says why.
    """
    serving.address_of(host, port, access or serving.Access())  # refused before anything is made
    say = preparing or (lambda what: None)
    if runtime == "onnx":
        details = [with_conversion(rooms, each, say) for each in details]
    spec_of(rooms, details, runtime, access, limits, group)  # likewise
    with rooms.environments.holding():
        details, lock = settled(rooms, details, runtime, say)
        python = rooms.environments.build(lock).python
        spec = spec_of(rooms, details, runtime, access, limits, group)
        folder = rooms.workspace.local / "serving"
        what = (
            f"a replica of {spec.told}: it" if replicas == 1 else f"{replicas} replicas of {spec.told}: each"
        )
        say(f"starting {what} must answer its example as the pipeline did")
        server = serving.start(spec, python, host=host, port=port, replicas=replicas, folder=folder)
        with _collecting(rooms), converting_beside(rooms, details, runtime), server:
            yield server


@contextmanager
def _collecting(rooms: Rooms) -> Iterator[None]:
    """Bring in what is recorded, again and again while the block runs, and once more at its end."""
    ends = threading.Event()

    def collect() -> None:
        while True:
            last = ends.wait(_EVERY_S)
            with suppress(MlwrightError):  # what cannot be written now is tried the next time
                collect_predictions(rooms)
            if last:
                return

    thread = threading.Thread(target=collect, name="collect-predictions", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()
