"""Making a model a version by hand: what a step of a run made, or a file that was made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.database import Transaction
from mlwright.kernel.digest import digest_of
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid, NotFound, WorkFailed
from mlwright.kernel.ids import looks_like_id, short
from mlwright.kernel.plan import Change, Plan
from mlwright.sdk.brought import LOOK_STEP
from mlwright.sdk.codec_names import PICKLE, TREE
from mlwright.sdk.signature import SIGNATURE_STEP
from mlwright.sdk.table_files import format_of as table_format_of
from mlwright.storage.inline import INLINE_BYTES, put_inline
from mlwright.tracking import Run
from mlwright.tracking.runs import counts_back
from mlwright.versioning import Artifact, Version, add_artifact
from mlwright.versioning.artifacts import add_artifacts, new_artifact
from mlwright.versioning.models import PredictorCode
from mlwright.versioning.references import check_name
from mlwright.workflow.artifacts import Artifacts, NamedArtifact
from mlwright.workflow.asking import Asker
from mlwright.workflow.licences import licence_in, licence_of
from mlwright.workflow.outside import format_of
from mlwright.workflow.predictors import predictor_code
from mlwright.workflow.rooms import Rooms
from mlwright.workflow.step_models import lock_and_own, recorded_signature, scores_of, tables_given

_NO_MODELS = frozenset({"table", "array", "figure", "plotly", "json", "text"})
"""Codecs of what is no model."""
_ASKED_WITH = frozenset({"table", "array", "json"})
"""Codecs of what a model is asked with that answers itself."""
_UNASKED = frozenset({"torch", "onnx", "bytes", "file", TREE})
"""Codecs of models that nothing here asks about a table: without an example they have no signature."""

Say = Callable[[str], object]


class Registering(Struct, frozen=True):
    """What is to become a version.

    Args:
        source: `RUN/STEP` or `RUN/STEP:OUTPUT`; `b3:DIGEST`; or the path of a file.
        example: what to ask the model with: a file, or an artifact as `source`; empty for the table or the
            array of the training.
        licence: an SPDX name; empty for what the project says.
        environment: of a file: the name of the project's environment that it is loaded in.
        format: of a file, if its bytes do not tell.
        predictor: the class of the project that answers with it, as `module:Class`; empty if the model does.
    """

    source: str
    name: str
    message: str = ""
    example: str = ""
    licence: str = ""
    environment: str = ""
    format: str = ""
    predictor: str = ""


class Found(Struct, frozen=True):
    """The model behind a source, and what is known of it before anything is loaded.

    Args:
        artifact: recorded already; None of a file, which is `path`.
        run: that made it.
    """

    artifact: Artifact | None = None
    run: Run | None = None
    named: NamedArtifact | None = None
    path: Path | None = None
    codec: str = ""


def plan_register(rooms: Rooms, wanted: Registering) -> Plan:
    """What `register_model` would do; nothing is loaded.

    Raises:
        NotFound, Invalid, Incompatible: as `register_model`.
    """
    found = find_model(rooms, wanted)
    if found.artifact is not None:
        holds = _holding(rooms, wanted, found.artifact.digest, _code_of(rooms, wanted))
        if holds is not None:
            change = Change("keep", holds.reference, "it holds these bytes already")
            return Plan(f"register {wanted.source}", (change,))
        why = f"{found.artifact.type}, b3:{found.artifact.digest[:12]}"
    else:
        why = f"a file of the format {found.codec}"
        why += ", which is never loaded" if found.codec == PICKLE else ""
    number = rooms.models.versions.next_number(wanted.name)
    return Plan(f"register {wanted.source}", (Change("add", f"{wanted.name}@{number}", why),))


def register_model(rooms: Rooms, wanted: Registering, say: Say = lambda what: None) -> tuple[Version, str]:
    """Make a model a version.

    Args:
        say: is told what takes long.

    Returns:
        The version, and what was done in words.

    Raises:
        NotFound: there is no such output or file.
        Invalid: it is no model, its format is not known, or nothing tells its signature.
        Incompatible: what a signature is asked for is a pickle from elsewhere.
        Unavailable: its library is not in the environment, or that cannot be built.
        WorkFailed: it cannot be read, or does not answer the example.
    """
    found = find_model(rooms, wanted)
    if found.path is not None:
        return _register_file(rooms, wanted, found, say)
    assert found.artifact is not None
    return _register_output(rooms, wanted, found, say)


def find_model(rooms: Rooms, wanted: Registering) -> Found:
    """What a source means.

    Raises:
        NotFound: there is no such output or file.
        Invalid: it is no model, or its format is not known; or options are given that do not go with it.
    """
    check_name(wanted.name, "model")
    named = _output(rooms, wanted.source)
    if named is None:
        path = Path(wanted.source)
        return Found(path=path.resolve(), codec=format_of(path, wanted.format))
    if wanted.format or wanted.environment:
        option = "--format" if wanted.format else "--environment"
        raise Invalid(f"{option} is for files: what a step made has its own", hint="leave it out")
    if named.artifact.codec in _NO_MODELS and not wanted.predictor:
        raise Invalid(f"{wanted.source} is no model: it is {named.artifact.type}")
    run = rooms.runs.get(named.run) if named.run else None
    if run is None:
        raise Invalid(
            f"no run of this workspace made {wanted.source}: what it was made from is not known",
            hint="register the file itself",
        )
    return Found(named.artifact, run, named, codec=named.artifact.codec)


def _output(rooms: Rooms, source: str) -> NamedArtifact | None:
    """The output of a step; None for what names a file."""
    run = source.partition("/")[0]
    if source.startswith("b3:"):
        return Artifacts(rooms).get(source)
    if Path(source).is_file() or "/" not in source or not (counts_back(run) or looks_like_id(run)):
        return None
    head, colon, output = source.rpartition(":")
    return Artifacts(rooms).get(f"{head}/{output}" if colon else source)


def _register_output(rooms: Rooms, wanted: Registering, found: Found, say: Say) -> tuple[Version, str]:
    model, run, named = found.artifact, found.run, found.named
    assert model is not None
    assert run is not None
    assert named is not None
    predictor = _code_of(rooms, wanted)
    if (known := _holding(rooms, wanted, model.digest, predictor)) is not None:
        return known, f"{known.reference} holds these bytes already"
    own, other = lock_and_own(rooms, run, named)
    anew = wanted.example or wanted.predictor
    recorded, described = recorded_signature(rooms, model) if not anew else (None, None)
    if described is not None:
        made_with = rooms.snapshots.get(_end(rooms, run, "code").id)
        predictor = predictor_code(rooms, made_with, described.get("predictor", ""))
    elif anew or model.codec not in _UNASKED:
        arguments = _asked_with(rooms, wanted, named)
        say(f"asking {wanted.source} about its example")
        made_with = rooms.snapshots.get(_end(rooms, run, "code").id)
        code = rooms.materialise(made_with if predictor is None else predictor.snapshot)
        with Asker(rooms, rooms.environments.build(other or own).python, code) as asker:
            described = asker.ask(SIGNATURE_STEP, {"model": model, **arguments}, wanted.source)
    scores, metrics = scores_of(rooms, run, model)
    kept = None if described is None or recorded is not None else _to_keep(rooms, described)
    with rooms.database.transaction() as tx:
        if predictor is not None:
            rooms.snapshots.record(tx, predictor.snapshot)
        return rooms.models.record(
            tx,
            wanted.name,
            model,
            signature=recorded if kept is None else _keep(tx, kept),
            signature_value=described,
            scores=scores,
            metrics=metrics,
            parameters={**rooms.runs.parameters(run.id), "seed": run.seed},
            run=run.end,
            message=wanted.message,
            environment=None if other is None else other.end,
            licence=wanted.licence or licence_of(rooms, run),
            by_hand=True,
            predictor=predictor,
        )


def _register_file(rooms: Rooms, wanted: Registering, found: Found, say: Say) -> tuple[Version, str]:
    path = found.path
    assert path is not None
    lock = rooms.environments.current(wanted.environment)
    stored, predictor = rooms.objects.put(path), _code_of(rooms, wanted)
    if (known := _holding(rooms, wanted, stored.digest, predictor)) is not None:
        return known, f"{known.reference} holds these bytes already"
    looked = new_artifact(
        codec=found.codec,
        type_text="unknown, stored as pickle",
        digest=stored.digest,
        size_bytes=stored.size_bytes,
        about={"name": path.name},
        ours=False,
    )
    described = None
    if found.codec == PICKLE:
        if wanted.example or wanted.predictor:
            looked.refuse_foreign_pickle(str(path))
        looked.about.update(unsafe=True, why="it was made elsewhere, as pickle")
    else:
        say(f"looking at {path.name} in the project's environment")
        code = None if predictor is None else rooms.materialise(predictor.snapshot)
        with Asker(rooms, rooms.environments.build(lock).python, code) as asker:
            told = asker.ask(LOOK_STEP, {"model": looked}, path.name)
            if wanted.example or wanted.predictor:
                arguments = {"model": looked, **_shown_to(rooms, wanted)}
                described = asker.ask(SIGNATURE_STEP, arguments, path.name)
        looked = new_artifact(
            codec=found.codec,
            type_text=told["type"],
            digest=stored.digest,
            size_bytes=stored.size_bytes,
            about={"name": path.name, **told["about"]},
            ours=False,
        )
    kept = None if described is None else _to_keep(rooms, described)
    licence = wanted.licence or licence_in(_pyproject(rooms))
    with rooms.database.transaction() as tx:
        rooms.environments.record(tx, lock)
        add_artifacts(tx, [looked])
        if predictor is not None:
            rooms.snapshots.record(tx, predictor.snapshot)
        return rooms.models.record(
            tx,
            wanted.name,
            looked,
            signature=None if kept is None else _keep(tx, kept),
            signature_value=described,
            scores=None,
            metrics={},
            parameters={},
            run=None,
            message=wanted.message,
            environment=lock.end,
            licence=licence,
            source={"name": path.name, "format": found.codec},
            predictor=predictor,
        )


def _asked_with(rooms: Rooms, wanted: Registering, named: NamedArtifact) -> dict[str, Any]:
    """The example that was named, and the tables that the model's step was given.

    Raises:
        Invalid: there is neither.
    """
    tables = tables_given(rooms, named.made_by)
    if not tables and not wanted.example:
        raise Invalid(
            f"nothing tells what {wanted.source} is asked with: its step was given no table",
            hint="name one: --example FILE, or --example RUN/STEP:OUTPUT",
        )
    return {**_shown_to(rooms, wanted), "training": tables}


def _shown_to(rooms: Rooms, wanted: Registering) -> dict[str, Any]:
    """The example and the predictor that were named, as arguments of the signature's step."""
    shown: dict[str, Any] = {}
    if wanted.example:
        shown["example"] = _example(rooms, wanted.example, by_name=bool(wanted.predictor))
    if wanted.predictor:
        shown["predictor"] = wanted.predictor
    return shown


def _example(rooms: Rooms, text: str, *, by_name: bool) -> Any:
    """What an example names: an artifact; a table's file, as its path; or another file, as JSON.

    Args:
        by_name: a predictor is shown it, that may take any file.

    Raises:
        NotFound, Invalid: there is none, or it is nothing that a model is asked with.
    """
    found = _output(rooms, text)
    if found is not None:
        if found.artifact.codec not in _ASKED_WITH and not by_name:
            raise Invalid(f"the example {text} is no table, array or list: it is {found.artifact.type}")
        return found.artifact
    path = Path(text).resolve()
    if not path.is_file():
        raise NotFound(f"there is no file {text}", hint="a table's file, or RUN/STEP:OUTPUT")
    if table_format_of(path.name):
        return path
    if path.suffix == ".json":
        return _json(path)
    if not by_name:
        raise Invalid(
            f"{text} is no table", hint="CSV, TSV, Parquet, Arrow or JSON Lines; or texts, as a list in JSON"
        )
    return path.read_text(encoding="utf-8", errors="replace") if path.suffix == ".txt" else str(path)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise Invalid(f"the example {path.name} is no JSON: {error}", where=str(path)) from error


def _code_of(rooms: Rooms, wanted: Registering) -> PredictorCode | None:
    """The code of the predictor that was named: that of the project as it is now.

    Raises:
        Invalid: it is not named as `module:Class`.
    """
    if not wanted.predictor:
        return None
    module, colon, name = wanted.predictor.partition(":")
    if not colon or not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise Invalid(
            f"{wanted.predictor!r} does not name a predictor",
            hint="--predictor module:Class, as pipelines.digits:DigitReader",
        )
    return predictor_code(rooms, rooms.snapshots.take(), wanted.predictor)


def _holding(
    rooms: Rooms, wanted: Registering, digest: str, predictor: PredictorCode | None
) -> Version | None:
    """The version that holds these bytes, with this predictor."""
    return rooms.models.holding(wanted.name, digest, "" if predictor is None else predictor.digest)


def _to_keep(rooms: Rooms, described: Mapping[str, Any]) -> bytes:
    """A signature as bytes; a large one is stored before anything names it."""
    data = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) > INLINE_BYTES:
        rooms.objects.put(data)
    return data


def _keep(tx: Transaction, data: bytes) -> Artifact:
    if len(data) <= INLINE_BYTES:
        put_inline(tx, data)
    return add_artifact(
        tx,
        codec="json",
        type_text="dict",
        digest=digest_of(data),
        size_bytes=len(data),
        about={},
        ours=True,
    )


def _end(rooms: Rooms, run: Run, role: str) -> End:
    found = edges.made_from(rooms.database, run.end, role)
    if not found:
        raise WorkFailed(f"run {short(run.id)} has no {role} on record")
    return found[0].earlier


def _pyproject(rooms: Rooms) -> bytes:
    try:
        return (rooms.project.root / "pyproject.toml").read_bytes()
    except OSError:
        return b""
