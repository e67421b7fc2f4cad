"""Artifacts by reference: what steps made and logged, written out as it is stored.

Nothing but small JSON and text is decoded, to be shown.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.errors import Conflict, Invalid, NotFound, nearest
from mlwright.kernel.ids import RunId, looks_like_id, short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted, printable
from mlwright.sdk.codec_names import TREE
from mlwright.sdk.promise import RESULT
from mlwright.storage import check_out, load_tree
from mlwright.versioning import Artifact
from mlwright.versioning.artifacts import artifact_by_digest, artifact_by_prefix
from mlwright.workflow.rooms import Rooms

SUFFIXES = {
    "table": ".parquet",
    "array": ".npy",
    "sklearn": ".skops",
    "xgboost": ".ubj",
    "lightgbm": ".txt",
    "catboost": ".cbm",
    "torch": ".safetensors",
    "onnx": ".onnx",
    "figure": ".png",
    "plotly": ".json",
    "pickle": ".pickle",
    "json": ".json",
    "text": ".txt",
    "bytes": ".bin",
    "file": "",
    "tree": "",
}
"""What a file is called by the codec that wrote it; one that a step wrote itself has a suffix of its own."""

_SHOWN_BYTES = 4096
"""A larger value is written out, and not shown."""

_HINT = "give RUN/STEP, RUN/STEP/NAME, b3:DIGEST or an artifact's id: mlwright artifacts list RUN"


class NamedArtifact(Struct, frozen=True):
    """An artifact, and what it is in a run.

    Args:
        reference: what finds it again, as `01JD8.../train/result`.
        run: empty for what no run made.
        step: the node that made it, or that reuses it.
        name: of the output, or what it was logged as.
        role: `output`, `logged`, or `data` for what no run made.
        made_by: the id of the attempt whose bytes these are; of a reused one, in an earlier run.
    """

    reference: str
    run: str
    step: str
    name: str
    role: str
    made_by: str
    artifact: Artifact

    @property
    def file_name(self) -> str:
        """What a file with its bytes is called."""
        suffix = SUFFIXES.get(self.artifact.codec, "")
        if self.role == "logged":
            stem = PurePosixPath(self.name).name
        elif self.role == "data":
            stem = f"b3-{self.artifact.digest[:12]}"
        else:
            stem = self.step if self.name == RESULT else f"{self.step}-{self.name}"
            # Of a path that a step returned, its codec told what the file was called there.
            told = PurePosixPath(str(self.artifact.about.get("name", ""))).name
            if self.artifact.codec == "file" and told not in {"", ".."} and told.isprintable():
                stem = told
        return stem.replace("/", "-").removesuffix(suffix) + suffix


class SmallValue(Struct, frozen=True):
    """A value that is short enough to be shown: JSON or text.

    Args:
        lines: for a terminal; what it would not show, or obey, is escaped.
        json: for a program. NaN and infinities are null.
    """

    lines: list[str]
    json: msgspec.Raw


class Artifacts:
    """What is recorded of values, and their bytes."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def get(self, reference: str) -> NamedArtifact:
        """One artifact.

        Args:
            reference: `RUN/STEP/NAME`, where NAME may be left out if the step has one output; `b3:DIGEST`; or
                an id. Run, digest and id may be shortened.

        Raises:
            NotFound: there is none.
            Invalid: it fits several, or is no reference.
        """
        if reference.startswith("b3:"):
            digest = reference[3:]
            found = artifact_by_digest(self._rooms.database, digest) if len(digest) >= 4 else None
        elif "/" in reference:
            return self._of_run(*reference.split("/", 2))
        else:
            known = looks_like_id(reference)
            found = artifact_by_prefix(self._rooms.database, reference.upper()) if known else None
        if found is None:
            raise NotFound(f"there is no artifact {reference!r}", hint=_HINT)
        return self._named(found)

    def value(self, found: NamedArtifact) -> SmallValue | None:
        """The value of an artifact, if it is JSON or text, small, and there; nothing else is ever read.

        Raises:
            Corrupt: its bytes are damaged.
        """
        artifact = found.artifact
        objects, digest = self._rooms.objects, artifact.digest
        if (
            artifact.codec not in {"json", "text"}
            or artifact.size_bytes > _SHOWN_BYTES
            or digest not in objects
        ):
            return None
        text = value = objects.get(digest).decode("utf-8", "surrogatepass")
        if artifact.codec == "json":
            value = json.loads(text)
            text = json.dumps(value, ensure_ascii=False, indent=2)
        lines = [printable(line) for line in text.removesuffix("\n").split("\n")]
        # In ASCII, so that half a character of UTF-16 can be written too.
        return SmallValue(lines if text else [], msgspec.Raw(json.dumps(_finite(value)).encode()))

    def plan_checkout(self, reference: str, dest: str | Path, *, force: bool = False) -> Plan:
        """What `checkout` would write.

        Raises:
            NotFound, Invalid: as `get`.
            Conflict: it is there already, and `force` is not given.
        """
        found = self.get(reference)
        target = _target(found, dest, force=force)
        why = f"{counted(found.artifact.size_bytes, 'byte')} of {found.artifact.type}"
        return Plan(f"checkout of {found.reference}", (Change("write", str(target), why),))

    def checkout(self, reference: str, dest: str | Path, *, force: bool = False) -> Path:
        """Write an artifact's bytes as they are stored: a table as Parquet, JSON as JSON.

        Args:
            reference: as for `get`.
            dest: a file, or a folder (one that is there, or whose name ends in a slash) in which the file is
                called after its step. A dataset is the folder.
            force: write over what is there.

        Returns:
            What was written.

        Raises:
            NotFound, Invalid: as `get`.
            Conflict: it is there already, and `force` is not given.
            Corrupt: its bytes are damaged; nothing is written.
        """
        found = self.get(reference)
        target = _target(found, dest, force=force)
        objects, digest = self._rooms.objects, found.artifact.digest
        if found.artifact.codec == TREE:
            check_out(objects, load_tree(objects, digest), target, force=force)
            return target
        inline = objects.inline(digest)
        source = None if inline is not None else objects.path(digest, verify=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=target.parent, prefix=".checkout-"))
        try:
            # Made by its name, so that it has the rights that whoever checks out gives to new files.
            if source is None:
                (making / "file").write_bytes(inline or b"")
            else:
                shutil.copyfile(source, making / "file")
            (making / "file").replace(target)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return target

    def list(self, run: str = "latest") -> list[NamedArtifact]:
        """All that the steps of a run made or reuse, and what they logged; of tries of one step, the last.

        Raises:
            NotFound: there is no such run.
        """
        from mlwright.workflow.detail import run_detail  # 8 ms, which most commands need not pay

        detail = run_detail(self._rooms, run)
        found: dict[tuple[str, str, str], NamedArtifact] = {}
        for each in detail.attempts:
            for role, made in (("output", each.outputs), ("logged", each.logged)):
                for name, artifact in made.items():
                    node, source = each.attempt.node, each.reuses or each.attempt.id
                    named = _named(detail.run.id, node, name, role, source, artifact)
                    found[node, role, name] = named
        return [*found.values()]

    def _of_run(self, run: str, step: str, name: str = "") -> NamedArtifact:
        listed = self.list(run)
        there = [each for each in listed if each.step == step]
        if not there:
            hint = nearest(step, sorted({each.step for each in listed}))
            raise NotFound(f"run {run} has no artifact of a step `{step}`", hint=hint)
        if name:
            for each in there:  # outputs first: what is logged under the name of one has its id
                if each.name == name:
                    return each
            hint = nearest(name, [each.name for each in there])
            raise NotFound(f"step `{step}` of run {run} made no `{name}`", hint=hint)
        outputs = [each for each in there if each.role == "output"] or there
        if len(outputs) > 1:
            names = ", ".join(each.name for each in outputs)
            raise Invalid(
                f"step `{step}` of run {run} made several artifacts: {names}",
                hint=f"name one: {run}/{step}/{outputs[0].name}",
            )
        return outputs[0]

    def _named(self, artifact: Artifact) -> NamedArtifact:
        """An artifact by where it was made, if it was."""
        for edge in edges.made_from(self._rooms.database, artifact.end):
            role, _, name = edge.role.partition(":")
            made = self._rooms.attempts.find(edge.earlier.id) if edge.earlier.kind == "attempt" else None
            if made is not None:
                return _named(made.run_id, made.node, name, role, made.id, artifact)
        return NamedArtifact(f"b3:{artifact.digest[:12]}", "", "", "", "data", "", artifact)


def _finite(value: Any) -> Any:
    """A JSON value as every reader of JSON takes it."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_finite(item) for item in value]
        case dict():
            return {key: _finite(item) for key, item in value.items()}
    return value


def _named(run: RunId, step: str, name: str, role: str, made_by: str, artifact: Artifact) -> NamedArtifact:
    return NamedArtifact(f"{short(run)}/{step}/{name}", run, step, name, role, made_by, artifact)


def _target(found: NamedArtifact, dest: str | Path, *, force: bool) -> Path:
    """Where a checkout goes.

    Raises:
        Conflict: something is there.
    """
    target = Path(dest)
    if found.artifact.codec == TREE:
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
        if taken and (not force or not target.is_dir()):
            raise _taken(target, force=target.is_dir())
        return target
    if target.is_dir() or os.fspath(dest).endswith(os.sep):
        target /= found.file_name
    if os.path.lexists(target) and (not force or target.is_dir()):
        raise _taken(target, force=not target.is_dir())
    return target


def _taken(target: Path, *, force: bool) -> Conflict:
    what = "is there already" if force else f"is a {'folder' if target.is_dir() else 'file'}"
    hint = "name another place, or write over it: --force" if force else "name another place"
    return Conflict(f"{target} {what}", hint=hint)
