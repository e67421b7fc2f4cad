"""A model version as a folder that needs no mlwright: bytes as its library takes them, and what is known."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec import to_builtins

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.digest import digest_of_file
from mlwright.kernel.errors import Conflict, Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted
from mlwright.sdk.codec_names import TREE
from mlwright.storage import Entry, check_out, load_tree
from mlwright.versioning import ModelDetail
from mlwright.workflow.artifacts import SUFFIXES
from mlwright.workflow.mlmodel import MLMODEL
from mlwright.workflow.model_mlflow import mlflow_folder
from mlwright.workflow.rooms import Rooms

MANIFEST = "model.json"
MLFLOW = "mlflow"
"""The form of an export that MLflow loads."""
CARD = "README.md"
_FORMAT = 1
_BLOCK_BYTES = 8 * 2**20


def plan_export(
    rooms: Rooms, detail: ModelDetail, dest: Path, *, form: str = "", force: bool = False
) -> Plan:
    """What `export_model` would write.

    Args:
        form: as for `export_model`.

    Raises:
        Conflict: something is there.
        Invalid, Incompatible: as `export_model`.
    """
    _refuse_taken(dest, force=force)
    if _is_mlflow(form):
        folder = mlflow_folder(rooms, detail)
        changes = [Change("write", str(dest / path), counted(_size(folder[path]), "byte")) for path in folder]
        return Plan(f"export {detail.version.reference}", tuple(changes))
    names = [_file_name(detail), *(["signature.json", "example.json"] if detail.signature else [])]
    names += [*(["pylock.toml"] if detail.environment else []), CARD, MANIFEST]
    why = counted(detail.version.size_bytes, "byte")
    changes = [Change("write", str(dest / name), why if at == 0 else "") for at, name in enumerate(names)]
    return Plan(f"export {detail.version.reference}", tuple(changes))


def export_model(
    rooms: Rooms,
    detail: ModelDetail,
    card: str,
    dest: Path,
    *,
    form: str = "",
    force: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write a version into a folder, which appears whole or not at all.

    Args:
        card: its model card.
        dest: a folder that is not there, or empty.
        form: `mlflow` for a folder that MLflow loads; else one for its library alone.
        force: replace an export that is there.

    Returns:
        What stands in `model.json`; of a folder for MLflow, its `model`, `format` and `files`.

    Raises:
        Invalid: there is no such form.
        Incompatible: MLflow cannot load such a model.
        Conflict: something is there.
        NotFound, Corrupt: bytes are lost or damaged; nothing is written.
    """
    _refuse_taken(dest, force=force)
    dest.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=dest.parent, prefix=".export-"))
    try:
        made = making / "made"
        made.mkdir()  # with the rights that whoever exports gives to new folders
        if _is_mlflow(form):
            manifest = _write_mlflow(rooms, detail, made, progress)
        else:
            manifest = _write(rooms, detail, card, made, progress)
        if dest.exists():
            dest.rename(making / "before")
        made.rename(dest)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return manifest


def how_to_load(detail: ModelDetail) -> list[str]:
    """Lines of Python that load the exported model with its library alone; nothing for what none is known."""
    name, kind = _file_name(detail), detail.artifact.type.rpartition(".")[2]
    match detail.artifact.codec:
        case "sklearn":
            return [
                "import skops.io",
                f'unknown = skops.io.get_untrusted_types(file="{name}")  # look at these names first',
                f'model = skops.io.load("{name}", trusted=unknown)',
            ]
        case "xgboost":
            return ["import xgboost", f"model = xgboost.{kind}()", f'model.load_model("{name}")']
        case "lightgbm":
            return ["import lightgbm", f'model = lightgbm.Booster(model_file="{name}")']
        case "catboost":
            return ["import catboost", f"model = catboost.{kind}()", f'model.load_model("{name}")']
        case "torch":
            return ["import safetensors.torch", f'tensors = safetensors.torch.load_file("{name}")']
        case "onnx":
            return ["import onnxruntime", f'model = onnxruntime.InferenceSession("{name}")']
        case "pickle":
            return ["# Loading a pickle runs what its bytes say: do it only if you trust who made it."]
    return []


def _write(rooms: Rooms, detail: ModelDetail, card: str, made: Path, progress: Progress) -> dict[str, Any]:
    model = made / _file_name(detail)
    if detail.artifact.codec == TREE:
        check_out(rooms.objects, load_tree(rooms.objects, detail.artifact.digest), model, progress=progress)
    elif (row := rooms.objects.inline(detail.artifact.digest)) is not None:
        model.write_bytes(row)
    else:
        _copy(rooms.objects.path(detail.artifact.digest, verify=True), model, progress)
    if detail.signature is not None:
        signature = to_builtins(detail.signature)
        _write_json(made / "example.json", signature.pop("example"))
        _write_json(made / "signature.json", signature)
    if detail.environment:
        lock = rooms.environments.get(detail.environment)
        (made / "pylock.toml").write_bytes(rooms.environments.text(lock))
    (made / CARD).write_text(card, encoding="utf-8")
    manifest = _manifest(rooms, detail) | {"files": [_told(file, made) for file in sorted(_files(made))]}
    _write_json(made / MANIFEST, manifest)
    return manifest


def _write_mlflow(rooms: Rooms, detail: ModelDetail, made: Path, progress: Progress) -> dict[str, Any]:
    for path, file in mlflow_folder(rooms, detail).items():
        target = made / path
        target.parent.mkdir(parents=True, exist_ok=True)
        small = file if isinstance(file, bytes) else rooms.objects.inline(file.digest)
        if small is not None:
            target.write_bytes(small)
        elif isinstance(file, Entry):
            _copy(rooms.objects.path(file.digest, verify=True), target, progress)
    files = [_told(file, made) for file in sorted(_files(made))]
    return {"model": detail.version.reference, "format": MLFLOW, "files": files}


def _is_mlflow(form: str) -> bool:
    if form not in {"", MLFLOW}:
        raise Invalid(f"there is no format {form!r} to export a model in", hint=f"{MLFLOW}, or none")
    return form == MLFLOW


def _size(file: bytes | Entry) -> int:
    return len(file) if isinstance(file, bytes) else file.size_bytes


def _copy(source: Path, target: Path, progress: Progress) -> None:
    progress.begin(f"writing {target.name}", source.stat().st_size)
    try:
        with source.open("rb") as given, target.open("wb") as taken:
            while block := given.read(_BLOCK_BYTES):
                taken.write(block)
                progress.advance(len(block))
    finally:
        progress.end()


def _manifest(rooms: Rooms, detail: ModelDetail) -> dict[str, Any]:
    version, artifact = detail.version, detail.artifact
    told: dict[str, Any] = {
        "format": _FORMAT,
        "model": version.reference,
        "file": _file_name(detail),
        "type": artifact.type,
        "codec": artifact.codec,
        "blake3": version.digest,
        "licence": detail.licence,
        "message": version.message,
        "made": show_time(version.created_us),
        "registered_by": detail.registered_by,
        "metrics": detail.metrics,
        "parameters": detail.parameters,
        "data": {
            reference: rooms.datasets.versions.resolve(reference).digest for reference in detail.data.values()
        },
        "run": detail.run,
        "load": how_to_load(detail),
    }
    if detail.source:
        told["source"] = detail.source
    if detail.environment:
        lock = rooms.environments.get(detail.environment)
        told["environment"] = {"digest": lock.digest, "python": lock.python, "platform": lock.platform}
    if detail.code:
        code = rooms.snapshots.get(detail.code)
        told["code"] = {
            "digest": code.digest,
            "git_commit": code.git_commit,
            "git_remote": code.git_remote,
            "changed_since": code.dirty,
        }
    return told


def _file_name(detail: ModelDetail) -> str:
    """The model's own file; one that was brought in keeps how its name ends."""
    suffix = PurePosixPath(detail.source.get("name", "")).suffix if detail.source else ""
    told = PurePosixPath(str(detail.artifact.about.get("name", ""))).suffix
    suffix = suffix or SUFFIXES.get(detail.artifact.codec, "") or told
    return "model" + (suffix if suffix.isprintable() else "")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _told(file: Path, folder: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    path = file.relative_to(folder).as_posix()
    return {
        "path": path,
        "size_bytes": file.stat().st_size,
        "blake3": digest_of_file(file),
        "sha256": sha256,
    }


def _write_json(path: Path, value: Any) -> None:
    # NaN, which no JSON has, becomes null.
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def _refuse_taken(dest: Path, *, force: bool) -> None:
    if not os.path.lexists(dest) or (dest.is_dir() and not dest.is_symlink() and not any(dest.iterdir())):
        return
    exported = (dest / MANIFEST).is_file() or (dest / MLMODEL).is_file()
    if dest.is_dir() and not dest.is_symlink() and exported:
        if not force:
            raise Conflict(
                f"an export is in {dest} already", hint="name another folder, or replace it: --force"
            )
        return
    raise Conflict(f"{dest} is there already, and is no export", hint="name another folder")
