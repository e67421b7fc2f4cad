"""Impact: what is affected if a thing was wrong, and what makes each affected thing again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.ids import RunId
from mlwright.sdk.parts import ROWS
from mlwright.tracking import Run
from mlwright.tracking.run import PREDICTION
from mlwright.versioning import Lineage, Version
from mlwright.workflow.rooms import Rooms

_INSIDE = {"attempt", "artifact", "snapshot", "lock", "object", "tree", "run", "version"}
"""Kinds that are told of as a part of their runs and versions, or have a list of their own."""


class AffectedRun(Struct, frozen=True):
    """A run that is affected.

    Args:
        command: what runs the same again, with the data and the code that its references mean then.
    """

    id: RunId
    pipeline: str
    state: str
    created_us: int
    command: str


class AffectedVersion(Struct, frozen=True):
    """A version of a dataset or a model that is affected.

    Args:
        aliases: those that mean it now.
        run: the id of the run that made it; empty for what was brought in.
    """

    id: str
    reference: str
    aliases: tuple[str, ...]
    run: str


class Remedy(Struct, frozen=True):
    """A command, and what it makes again.

    Args:
        runs: the ids of the affected runs that it would run again, the newest first.
        makes: the affected versions that came of these.
        note: what to look at before it is typed.
    """

    command: str
    runs: tuple[str, ...]
    makes: tuple[str, ...]
    note: str = ""


class Impact(Struct, frozen=True):
    """What came of a thing, and would have to be made again if that was wrong.

    Args:
        label: the thing, as it is named to people.
        runs: the newest first.
        others: things of other kinds, as they are named to people: images, deployments.
        again: the commands, what makes most things again first.
    """

    label: str
    runs: tuple[AffectedRun, ...]
    models: tuple[AffectedVersion, ...]
    datasets: tuple[AffectedVersion, ...]
    others: tuple[str, ...]
    again: tuple[Remedy, ...]


def impact_of(rooms: Rooms, lineage: Lineage, text: str) -> Impact:
    """What is affected if the thing that a reference names was wrong.

    Raises:
        NotFound, Invalid: as `Lineage.find`.
    """
    start = lineage.start(text)
    walked = lineage.edges(text, down=True)
    reached = dict.fromkeys(edge.later for edge in walked)
    reached.pop(start.end, None)
    runs = _runs(rooms, [start.end, *reached])
    makers = _makers(rooms, walked, reached)
    versions = [_version(rooms, end, makers) for end in reached if end.kind == "version"]
    wrong = _references(rooms, start.end, *start.holders)
    return Impact(
        lineage.label(start.end),
        tuple(runs),
        tuple(made for kind, made in versions if kind == "model"),
        tuple(made for kind, made in versions if kind == "dataset"),
        tuple(lineage.label(end) for end in reached if end.kind not in _INSIDE),
        tuple(_remedies(rooms, runs, [made for _, made in versions], wrong)),
    )


def command_of(run: Run, parameters: Mapping[str, Any]) -> str:
    """What a user types to run the same again."""
    given = dict(parameters)
    if run.kind == PREDICTION:
        words = ["mlwright", "predict", given["model"], given["dataset"], "--to", given["to"]]
        options = {"--proba": given["proba"], "--only-predictions": given["only_predictions"]}
        rows = [] if given["rows"] == ROWS else ["--rows", str(given["rows"])]
        return shlex.join([*words, *(name for name, is_set in options.items() if is_set), *rows])
    words = ["mlwright", "run", run.pipeline]
    arguments = given.pop("arguments", []) if run.kind == "script" else []
    if run.seed:
        words += ["--seed", str(run.seed)]
    for name, value in given.items():
        words += ["-p", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join([*words, *map(str, arguments)])


def runs_among(rooms: Rooms, ends: Iterable[End]) -> list[Run]:
    """The runs among the ends, and those that attempts among them belong to, oldest first."""
    ends = list(ends)
    found = {end.id for end in ends if end.kind == "run"}
    for end in ends:
        if end.kind == "attempt" and (attempt := rooms.attempts.find(end.id)) is not None:
            found.add(attempt.run_id)
    return [rooms.runs.recorded(identity) for identity in sorted(found)]


def _runs(rooms: Rooms, ends: Iterable[End]) -> list[AffectedRun]:
    told = []
    for run in reversed(runs_among(rooms, ends)):
        command = command_of(run, rooms.runs.parameters(run.id))
        told.append(AffectedRun(run.id, run.pipeline, str(run.state), run.created_us, command))
    return told


def _makers(rooms: Rooms, walked: Iterable[Edge], reached: Mapping[End, None]) -> dict[End, str]:
    """The run that made each version, where one did."""
    made = {edge.later: edge.earlier.id for edge in walked if edge.role == "run"}
    for end in reached:
        if end.kind == "version" and end not in made:
            found = edges.made_from(rooms.database, end, "run")
            made.update((end, edge.earlier.id) for edge in found)
    return made


def _version(rooms: Rooms, end: End, makers: Mapping[End, str]) -> tuple[str, AffectedVersion]:
    version = rooms.models.versions.by_id(end.id)
    room = rooms.models.versions if version.kind == "model" else rooms.datasets.versions
    maker = makers.get(end, "")
    return version.kind, AffectedVersion(version.id, version.reference, room.aliases_of(version), maker)


def _references(rooms: Rooms, *ends: End) -> set[str]:
    versions = [rooms.models.versions.by_id(end.id) for end in ends if end.kind == "version"]
    return {name for version in versions for name in _names(version)}


def _names(version: Version) -> tuple[str, str]:
    return version.reference, f"{version.name}@b3:{version.digest}"


def _remedies(
    rooms: Rooms, runs: Iterable[AffectedRun], versions: Iterable[AffectedVersion], wrong: set[str]
) -> list[Remedy]:
    by_command: dict[str, list[AffectedRun]] = {}
    for run in runs:
        by_command.setdefault(run.command, []).append(run)
    found = []
    for command, same in by_command.items():
        ids = tuple(run.id for run in same)
        makes = tuple(version.reference for version in versions if version.run in ids)
        named = wrong.intersection(str(value) for value in rooms.runs.parameters(same[0].id).values())
        note = f"it asks for {named.pop()} itself: name another version" if named else ""
        found.append(Remedy(command, ids, makes, note))
    return sorted(found, key=lambda remedy: (-len(remedy.makes), -len(remedy.runs)))
