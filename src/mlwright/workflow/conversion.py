"""Converting a model version to ONNX: in a worker, with the converters beside the model's packages.

It takes seconds, of which nobody should wait: it is done when it is asked for, or beside the first server of
a version (decision 39), and its verdict is on record whichever way it went.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from mlwright.environments.own import CORE, own_requirements
from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import MlwrightError
from mlwright.kernel.plan import Change, Plan
from mlwright.sdk.codec_names import ONNX
from mlwright.sdk.conversion import CONVERT_STEP
from mlwright.versioning import Conversion, ModelDetail, new_artifact
from mlwright.versioning.conversions import record_conversion
from mlwright.workflow.asking import Asker
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.step_models import training_of

_CODECS = frozenset({"sklearn", "xgboost", "lightgbm"})
_RECIPE = 1
"""Counts the ways in which `mlwright.sdk.conversion` has converted: another one converts anew."""
SERVED_WITH = (CORE, "serve", "onnx")
"""The extras of a replica that answers by ONNX Runtime."""
_CONVERTED_WITH = "convert"


def is_convertible(detail: ModelDetail) -> bool:
    """Whether a version is of a library that can be converted, and is itself asked with a table."""
    signature = detail.signature
    asked = signature is not None and signature.table and not signature.predictor
    return asked and detail.artifact.codec in _CODECS


def known_conversion(detail: ModelDetail) -> Conversion | None:
    """What is on record of converting a version the way it is done now; None where nobody has tried."""
    if not is_convertible(detail):
        codec = detail.artifact.codec
        what = f"of the codec {codec}" if codec not in _CODECS else "that is not asked with a table itself"
        return Conversion(used=False, why=f"a model {what} is not converted")
    known = detail.conversion
    return known if known is not None and known.recipe == recipe() else None


def recipe() -> str:
    """What a conversion depends on beside its model: how it is done, and what is asked of the libraries."""
    asked = [*own_requirements(_CONVERTED_WITH), "", *own_requirements(*SERVED_WITH)]
    return f"{_RECIPE}-{digest_of(chr(10).join(asked).encode())[:16]}"


def plan_convert(detail: ModelDetail, *, again: bool = False) -> Plan:
    """What `convert_model` would do."""
    reference, known = detail.version.reference, None if again else known_conversion(detail)
    if known is None:
        change = Change("add", f"{reference} as ONNX", "compared with it on the table of its training")
    else:
        change = Change("keep", f"{reference} as ONNX", "it is used" if known.used else known.why)
    return Plan(f"convert {reference}", (change,))


def convert_model(
    rooms: Rooms,
    detail: ModelDetail,
    say: Callable[[str], object] = lambda what: None,
    *,
    again: bool = False,
) -> Conversion:
    """Convert a version to ONNX and hold it against the table of its training, unless that is on record.

    Whatever stands against using it is told in the answer and recorded, not raised.

    Args:
        say: is told what takes long.
        again: convert also what was converted before.
    """
    known = None if again and is_convertible(detail) else known_conversion(detail)
    if known is not None:
        return known
    version = detail.version
    try:
        told, data = _converted(rooms, detail, say)
        lock = rooms.environments.resolve_alone(own_requirements(*SERVED_WITH)) if data else None
        if lock is not None:
            rooms.environments.build(lock)  # the server that comes next finds it made
    except MlwrightError as error:
        told, data, lock = {"why": error.message.partition("\n")[0]}, b"", None
    made = None
    if data:
        stored = rooms.objects.put(data)
        made = new_artifact(
            codec=ONNX,
            type_text="onnx.ModelProto",
            digest=stored.digest,
            size_bytes=stored.size_bytes,
            about={},
            ours=True,
        )
    with rooms.database.transaction() as tx:
        if lock is not None:
            rooms.environments.record(tx, lock)
        return record_conversion(tx, version, told, recipe(), made, None if lock is None else lock.end)


def _converted(
    rooms: Rooms, detail: ModelDetail, say: Callable[[str], object]
) -> tuple[dict[str, Any], bytes]:
    """What the converting step told, and the bytes that it gave.

    Raises:
        MlwrightError: it could not be asked.
    """
    reference = detail.version.reference
    training = training_of(rooms, detail.artifact)
    if not training:
        return {"why": "there is no table of its training to compare it on"}, b""
    say(f"converting {reference} to ONNX, and comparing it on what it was trained on")
    with rooms.environments.holding():
        python = _python(rooms, detail)
        code = rooms.materialise(rooms.snapshots.get(detail.code)) if detail.code else None
        asked = {"model": detail.artifact, "signature": to_builtins(detail.signature), "training": training}
        with Asker(rooms, python, code) as asker:
            given = asker.outputs(CONVERT_STEP, asked, reference)
    return given["told"], given["model"]


def _python(rooms: Rooms, detail: ModelDetail) -> Path:
    """The interpreter of an environment with the model's packages and the converters.

    Raises:
        Unavailable: they do not go together, or cannot be had.
    """
    from packaging.requirements import Requirement

    lock = rooms.environments.get(detail.environment)
    built = rooms.environments.build(lock)
    wanted = own_requirements(_CONVERTED_WITH)
    if detail.artifact.codec == "sklearn" and not _has(
        built.inventory.pins, "xgboost", "xgboost-cpu", "lightgbm"
    ):
        wanted = [each for each in wanted if Requirement(each).name != "onnxmltools"]
    there = {name: pin.partition(" ")[0] for name, pin in built.inventory.pins.items()}
    missing = [
        each
        for each in wanted
        if (asked := Requirement(each)).name not in there
        or not asked.specifier.contains(there[asked.name], prereleases=True)
    ]
    if not missing:
        return built.python
    return rooms.environments.build(rooms.environments.resolve_with(lock, wanted)).python


def _has(pins: dict[str, str], *names: str) -> bool:
    return any(name in pins for name in names)
