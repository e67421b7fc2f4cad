"""What a reference means, and how things are named to people: what lineage asks of the rooms up to here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from mlwright.kernel.edges import End
from mlwright.kernel.errors import Invalid, NotFound, nearest
from mlwright.kernel.ids import id_of, looks_like_id, short
from mlwright.kernel.words import counted, printable
from mlwright.storage import Places
from mlwright.tracking.experiments import Experiments
from mlwright.tracking.logged_models import LoggedModels
from mlwright.tracking.runs import counts_back
from mlwright.versioning import Finder, Labeller, Start, Versions, artifact, parse_reference
from mlwright.versioning.artifacts import artifact_by_prefix
from mlwright.versioning.holders import artifacts_with, commits, files_with, holders_of_path
from mlwright.workflow.group import attempts_at
from mlwright.workflow.history import made_in
from mlwright.workflow.rooms import Rooms

_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def finders(rooms: Rooms, *, paths: bool = True) -> list[Finder]:
    """Who knows which references. A room above adds its own: nothing here need change for a new kind.

    Args:
        paths: whether a reference may be a path of this machine's disk: nobody who asks over HTTP names one.
    """
    database, objects = rooms.database, rooms.objects

    def in_trees(text: str) -> list[Start]:
        return files_with(database, objects, text) if _DIGEST.fullmatch(text) and len(text) >= 8 else []

    files = [Finder("file", lambda text: _file(rooms, text), late=True)] if paths else []
    return [
        Finder("prediction", lambda text: _prediction(rooms, text)),
        Finder("model", lambda text: _version(rooms.models.versions, text)),
        Finder("dataset", lambda text: _version(rooms.datasets.versions, text)),
        Finder("run", lambda text: _run(rooms, text)),
        Finder("b3", lambda text: _digest(rooms, text)),
        Finder("commit", lambda text: commits(database, text) if _COMMIT.fullmatch(text) else []),
        Finder("b3", in_trees, late=True),
        Finder("id", lambda text: _identity(rooms, text), late=True),
        *files,
    ]


def labellers(rooms: Rooms) -> dict[str, Labeller]:
    """How things are named, by kind."""
    return {
        "version": rooms.models.versions.label,
        "artifact": lambda identity: _label_artifact(rooms, identity),
        "attempt": lambda identity: _label_attempt(rooms, identity),
        "run": lambda identity: _label_run(rooms, identity),
        "snapshot": lambda digest: _label_snapshot(rooms, digest),
        "logged_model": lambda identity: _label_logged_model(rooms, identity),
        "model": lambda name: f"model {printable(name)}",
        "experiment": lambda identity: _label_experiment(rooms, identity),
        "lock": lambda digest: rooms.environments.get(digest).label,
        "commit": lambda commit: f"commit {commit[:10]}",
        "file": lambda path: f"file {printable(path)}",
        "folder": lambda path: f"folder {printable(path)}",
        "step": lambda step: f"step {step.partition('/')[2]} of run {short(step)}, all elements",
    }


def _prediction(rooms: Rooms, text: str) -> list[Start]:
    version, dash, rest = text.partition("-")
    if not dash or len(version) != 26 or not looks_like_id(version) or not rest:
        return []
    return _unless_missing(lambda: rooms.models.versions.by_id(version).end)


def _version(versions: Versions, text: str) -> list[Start]:
    try:
        reference = parse_reference(text, versions.kind)
    except Invalid:
        return []
    found = versions.find(reference)
    return [] if found is None else [Start(found.end)]


def _run(rooms: Rooms, text: str) -> list[Start]:
    """`RUN`, `RUN/STEP`, `RUN/STEP:OUTPUT` or, as artifacts are named, `RUN/STEP/OUTPUT`."""
    run_text, slash, rest = text.partition("/")
    if not counts_back(run_text) and not looks_like_id(run_text):
        return []
    try:
        run = rooms.runs.get(run_text)
    except NotFound:
        return []
    if not slash:
        return [Start(run.end)]
    step, _, output = rest.partition("/" if "/" in rest else ":")
    tries = attempts_at(rooms.attempts.of_run(run.id), step, short(run.id))
    latest = {attempt.node: attempt for attempt in tries}
    if not output:
        if len(latest) == 1:
            return [Start(tries[-1].end)]
        ends = tuple(attempt.end for attempt in latest.values())
        return [Start(End("step", f"{run.id}/{step}"), ends, "element")]
    wanted = {attempt.id for attempt in latest.values()}
    made = [each for each in made_in(rooms.database, run.id) if each.attempt in wanted]
    found = [each for each in made if each.role.partition(":")[2] == output]
    if not found:
        names = sorted({each.role.partition(":")[2] for each in made})
        raise NotFound(
            f"step `{step}` of run {short(run.id)} made no `{output}`", hint=nearest(output, names)
        )
    return [Start(End("artifact", each.artifact)) for each in found]


def _digest(rooms: Rooms, text: str) -> list[Start]:
    if not _DIGEST.fullmatch(text):
        return []
    return [
        *artifacts_with(rooms.database, text),
        *_unless_missing(lambda: rooms.snapshots.get(text).end),
        *_unless_missing(lambda: rooms.environments.get(text).end),
    ]


def _identity(rooms: Rooms, text: str) -> list[Start]:
    """The id of a version, an attempt or an artifact; or one as OpenLineage has it."""
    if _UUID.fullmatch(text):
        identity = id_of(UUID(text))
        return _run(rooms, identity) or _identity(rooms, identity)
    if not looks_like_id(text):
        return []
    identity = text.upper()
    attempt = rooms.attempts.find(identity)
    made = artifact_by_prefix(rooms.database, identity)
    found = [] if len(identity) < 26 else _unless_missing(lambda: rooms.models.versions.by_id(identity).end)
    return [*found, *(Start(each.end) for each in (attempt, made) if each is not None)]


def _file(rooms: Rooms, text: str) -> list[Start]:
    """A file or folder on disk, by its bytes; relative to where the user is, or to the project."""
    root = rooms.project.root
    try:
        path = next((path for path in (Path(text), root / text) if text and path.exists()), None)
        if path is None or not (path.is_file() or path.is_dir()) or root.is_relative_to(path.resolve()):
            return []
    except OSError:  # longer than a name may be, or not ours to look at
        return []
    path = path.resolve()
    shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    places = Places(rooms.workspace.local / "places")
    holders = holders_of_path(rooms.database, rooms.objects, places, path)
    if holders:
        return [Start(End("folder" if path.is_dir() else "file", shown), holders)]
    above = {str(folder) for folder in (path, *path.parents)}
    was = [place.of for place in places if place.where in above and place.of]
    raise NotFound(
        f"no dataset, artifact or snapshot on record holds what is in {printable(shown)} now",
        hint=f"it belonged to {rooms.datasets.versions.label(was[0])}: mlwright datasets status"
        if was
        else f"mlwright datasets add {shown} makes it a version",
    )


def _unless_missing(get: Callable[[], End]) -> list[Start]:
    try:
        return [Start(get())]
    except NotFound:
        return []


def _label_artifact(rooms: Rooms, identity: str) -> str:
    found = artifact(rooms.database, identity)
    return f"artifact b3:{found.digest[:12]} ({found.type}, {counted(found.size_bytes, 'byte')})"


def _label_attempt(rooms: Rooms, identity: str) -> str:
    attempt = rooms.attempts.find(identity)
    if attempt is None:
        return f"attempt {short(identity)}"
    return f"step {attempt.node} of run {short(attempt.run_id)} ({attempt.state})"


def _label_logged_model(rooms: Rooms, identity: str) -> str:
    found = LoggedModels().get(rooms.database, identity)
    return f"logged model {printable(found.name)} ({identity[:10]})"


def _label_experiment(rooms: Rooms, identity: str) -> str:
    return f"experiment {printable(Experiments().get(rooms.database, int(identity)).name)}"


def _label_run(rooms: Rooms, identity: str) -> str:
    run = rooms.runs.recorded(identity)
    what = f"of {run.pipeline}" if run.pipeline else f"called {printable(run.title)}"
    return f"run {short(run.id)} {what} ({run.state})"


def _label_snapshot(rooms: Rooms, digest: str) -> str:
    snapshot = rooms.snapshots.get(digest)
    commit = f", commit {snapshot.git_commit[:10]}" if snapshot.git_commit else ", no Git commit"
    changed = " with changes" if snapshot.dirty and snapshot.git_commit else ""
    return f"code b3:{digest[:12]} ({counted(snapshot.files, 'file')}{commit}{changed})"
