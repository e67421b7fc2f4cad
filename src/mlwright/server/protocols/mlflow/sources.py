"""Where a client says that the files of a model lie, and what is found there.

A source is a place of this server's own: in the files of a run or of a logged model, or a version that is
registered. Nothing that names a file, a host or a bucket is ever opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from mlwright.kernel.database import Source
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.server.protocols.mlflow import models, places
from mlwright.server.protocols.mlflow.errors import invalid
from mlwright.server.tracker import Tracker
from mlwright.storage import Entry, Tree
from mlwright.storage.trees import KIND
from mlwright.tracking.files import File
from mlwright.tracking.logged_models import LoggedModel
from mlwright.tracking.reports import data_of
from mlwright.versioning.reported import Reported, ReportedVersion, stage_named
from mlwright.workflow.mlmodel import READ, READ_BYTES, flavor_of, known_of

_GIT = "mlflow.source.git."
_SHOWN = 200
_LOGGED = re.compile(r"m-[0-9a-f]{32}")
"""The id of a logged model."""


class Given(Struct, frozen=True):
    """What a client gives to register a version; None is what it has not given."""

    source: str
    run_id: str | None
    model_id: str | None
    run_link: str
    description: str
    tags: dict[str, str]


def reported(source: Source, tracker: Tracker, given: Given) -> Reported:
    """What is registered: the files at the source, as they are now, made a tree that is durable.

    Raises:
        Refused: the source is no place of this server's, or not one of the run or model that is named.
        NotFound: it is a version that is not there.
    """
    scheme, parts = _parts(given.source)
    told = Reported(
        source=given.source,
        run_id=given.run_id or "",
        run_link=given.run_link,
        model_id=given.model_id or "",
        description=given.description,
        tags=given.tags,
    )
    if scheme == "models" and _LOGGED.fullmatch(parts[0]) is None:
        return _copied(source, tracker, told, _version(source, tracker, parts, given), given)
    if given.model_id:
        model = _model(source, tracker, given)
        told = msgspec.structs.replace(told, run_id=given.run_id or model.run_id or "")
        root = [str(model.experiment_id), "models", model.id, "artifacts"]
        inside = root + parts[1:] if scheme == "models" and parts[0] == model.id else parts
    else:
        root, inside = _of_run(source, tracker, scheme, parts, given)
    if inside[: len(root)] != root:
        _refuse(given, "model_id" if given.model_id else "run_id")
    return _frozen(source, tracker, told, "/".join(inside))


def _parts(text: str) -> tuple[str, list[str]]:
    """The scheme of a source, and the names of its path, without any way out of it.

    Raises:
        Refused: it is none of this server's.
    """
    plain = places.plain(text)
    try:
        parsed = urlsplit(plain)
    except ValueError:
        _refuse_source(text, "it is no URI")
    if parsed.scheme not in {"mlflow-artifacts", "runs", "models"}:
        _refuse_source(
            text, "it is no place of this server's: those begin with mlflow-artifacts:, runs: or models:"
        )
    if parsed.netloc or parsed.query or parsed.fragment:
        _refuse_source(text, "it names a host, or more than a path")
    parts = [part for part in parsed.path.split("/") if part]
    if not parts or {".", ".."} & set(parts) or any(mark in plain for mark in ("\\", "\0")):
        _refuse_source(text, "it is no plain path")
    return parsed.scheme, parts


def _of_run(
    source: Source, tracker: Tracker, scheme: str, parts: list[str], given: Given
) -> tuple[list[str], list[str]]:
    """The folder of a run's files, and the place in it that is meant."""
    if not given.run_id or scheme == "models":
        _refuse(given, "model_id" if scheme == "models" else "run_id")
    try:
        run = tracker.reports.get(source, RunId(given.run_id))
    except (NotFound, Invalid):
        _refuse(given, "run_id")
    root = [str(run.experiment_id), run.id, "artifacts"]
    return root, root + parts[1:] if scheme == "runs" and parts[0] == run.id else parts


def _model(source: Source, tracker: Tracker, given: Given) -> LoggedModel:
    try:
        return tracker.logged_models.get(source, given.model_id or "")
    except NotFound:
        _refuse(given, "model_id")


def _version(source: Source, tracker: Tracker, parts: list[str], given: Given) -> ReportedVersion:
    """The version that `models:/NAME/3`, `models:/NAME/Production` or `models:/NAME@alias` means."""
    versions = tracker.versions
    if len(parts) == 1:
        name, at, alias = parts[0].rpartition("@")
        if not at:
            _refuse(given, "model_id")
        return versions.by_alias(source, name, alias)
    name, which = parts[0], parts[1]
    if which.isdecimal():
        return versions.get(source, name, models.number_of(which))
    if which.lower() == "latest":
        return versions.by_alias(source, name, which)
    newest = versions.latest(source, name, [stage_named(which)])
    if not newest:
        raise invalid(f"No versions of model with name {name!r} and stage {which!r} found")
    return newest[-1]


def _copied(
    source: Source, tracker: Tracker, told: Reported, version: ReportedVersion, given: Given
) -> Reported:
    """The same files under another name; what they came of is that of the version."""
    if given.run_id not in {None, version.run_id} or given.model_id not in {None, version.model_id}:
        raise invalid(
            f"Invalid model version source: {given.source[:_SHOWN]!r}. The run_id and model_id request"
            " parameters must match the referenced model version."
        )
    about = tracker.rooms.models.versions.by_id(version.id).about
    return msgspec.structs.replace(
        told,
        source=f"models:/{version.name}/{version.number}",
        copy_of=version.id,
        about=about,
        run=_known_run(source, tracker, version.run_id) or "",
        run_id=version.run_id,
        model_id=version.model_id,
    )


def _frozen(source: Source, tracker: Tracker, told: Reported, place: str) -> Reported:
    found = dict(_below(source, tracker, place, ""))
    for file in found.values():
        _keep(tracker, file)
    tree = Tree(tuple(Entry(path, file.size_bytes, file.digest) for path, file in sorted(found.items())))
    texts = {name: _content(tracker, found[name]) for name in READ if name in found}
    known = known_of(texts)
    run = _known_run(source, tracker, told.run_id)
    told = msgspec.structs.replace(
        told,
        tree=tracker.rooms.objects.put(tree.encode(), kind=KIND).digest,
        size_bytes=tree.size_bytes,
        flavor=flavor_of(known),
    )
    if not run:
        return msgspec.structs.replace(told, known=known)
    data = data_of(source, [run])[run]
    commit = {name: value for name, value in data.tags.items() if name.startswith(_GIT)}
    known |= {f"git_{name.removeprefix(_GIT)}": value for name, value in commit.items()}
    return msgspec.structs.replace(
        told,
        known=known,
        run=run,
        metrics={each.name: each.value for each in data.metrics if each.value == each.value},
        parameters=dict(data.params),
    )


def _known_run(source: Source, tracker: Tracker, identity: str) -> RunId | None:
    """The run of an id, if there is one: beside a logged model a client may name any."""
    try:
        return tracker.reports.get(source, RunId(identity)).id if identity else None
    except NotFound:
        return None


def _keep(tracker: Tracker, file: File) -> None:
    """Make the bytes of a file outlive it: a tree names objects, and no small values.

    Raises:
        Corrupt: they are lost.
    """
    objects = tracker.rooms.objects
    if (small := objects.inline(file.digest)) is not None:
        objects.put(small)
    elif not objects.renew(file.digest):
        raise Corrupt(f"the bytes of {file.place} are lost")


def _below(source: Source, tracker: Tracker, place: str, path: str) -> Iterator[tuple[str, File]]:
    """The files below a place, by their paths in it."""
    files, after = tracker.files, ""
    while True:
        page, after = files.inside(source, f"{place}/{path}".rstrip("/"), after=after)
        for each in page:
            inner = f"{path}/{each.name}" if path else each.name
            if each.size_bytes is None:
                yield from _below(source, tracker, place, inner)
            else:
                yield inner, files.get(source, f"{place}/{inner}")
        if not after:
            return


def _content(tracker: Tracker, file: File) -> bytes:
    """The bytes of a small file; nothing of a large one."""
    return tracker.rooms.objects.get(file.digest) if file.size_bytes <= READ_BYTES else b""


def _refuse(given: Given, name: str) -> NoReturn:
    raise invalid(
        f"Invalid model version source: {given.source[:_SHOWN]!r}. The {name} request parameter must identify"
        " the resource that contains the source."
    )


def _refuse_source(text: str, why: str) -> NoReturn:
    raise invalid(f"Invalid model version source: {text[:_SHOWN]!r}: {why}.")
