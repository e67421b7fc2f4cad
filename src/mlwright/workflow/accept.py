"""Accepting a run: all that can be checked is, and what it needs is recorded: anybody can start it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlwright.compute.executors import check_executor
from mlwright.environments import Environments, Lock
from mlwright.kernel import edges, events
from mlwright.kernel.edges import Edge
from mlwright.kernel.errors import Conflict, Invalid, MlwrightError, NotFound, Unavailable
from mlwright.kernel.ids import short
from mlwright.tracking import Run, waiting
from mlwright.tracking.run import PREDICTION
from mlwright.versioning import Snapshot
from mlwright.workflow.aside import locks_of
from mlwright.workflow.pipelines import refuse_second
from mlwright.workflow.prepare import check
from mlwright.workflow.request import Request
from mlwright.workflow.rooms import Rooms

_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_MOST_RUNS = 100
"""So many runs of a snapshot are looked at for one of the same pipeline."""


class Code(Struct, frozen=True):
    """Code, and the environments that it runs in, by name."""

    snapshot: Snapshot
    locks: dict[str, Lock]


def accept(rooms: Rooms, request: Request, reference: str = "") -> Run:
    """Record a run that is to be started: no later edit of the project changes it.

    Args:
        request: what is to be run.
        reference: a recorded code snapshot, by its digest or a beginning of it, or a run that was made with
            it; empty for the project's files as they are.

    Returns:
        The run, which waits.

    Raises:
        NotFound: there is no such pipeline or snapshot, or the environment is not locked.
        Invalid: a parameter, the seed or the executor is wrong.
        Conflict: the lock does not fit what the code asks for, or another run continues the same.
    """
    check_executor(request.executor)
    if request.predicts:
        assert request.snapshot is not None
        code, parameters = Code(request.snapshot, dict(request.locks)), dict(request.given)
    else:
        code = code_of(rooms, request, reference)
        parameters = check(rooms, request, code.snapshot, code.locks[""])
    about: dict[str, Any] = {
        "request": {
            "cache": request.cache,
            "executor": request.executor,
            "locks": {name: lock.digest for name, lock in code.locks.items()},
            "by": events.actor(),
        }
    }
    if code.snapshot.left_out:
        about["left_out"] = code.snapshot.left_out
    with rooms.database.transaction() as tx:
        if request.continues is not None:
            refuse_second(rooms, request.continues)
        rooms.snapshots.record(tx, code.snapshot)
        for lock in code.locks.values():
            rooms.environments.record(tx, lock)
        run = waiting.accept(
            tx,
            project=rooms.project.name,
            pipeline=request.pipeline,
            seed=request.seed,
            parameters=parameters,
            pins=request.pins or {},
            kind=request.kind,
            about=about,
        )
        made_with = [
            Edge(run.end, "code", code.snapshot.end),
            Edge(run.end, "environment", code.locks[""].end),
        ]
        if request.continues is not None:
            made_with.append(Edge(run.end, "continues", request.continues.end))
        edges.add(tx, made_with)
    return run


def accepted(rooms: Rooms, run: Run) -> Request:
    """What a run that waits is to do, as it was accepted."""
    told: Mapping[str, Any] = run.about["request"]
    made_with = {edge.role: edge.earlier for edge in edges.made_from(rooms.database, run.end)}
    continued = made_with.get("continues")
    return Request(
        run.pipeline,
        rooms.runs.parameters(run.id),
        run.seed,
        cache=told["cache"],
        pins=run.pins,
        snapshot=rooms.snapshots.get(made_with["code"].id),
        locks={name: rooms.environments.get(digest) for name, digest in told["locks"].items()},
        continues=None if continued is None else rooms.runs.recorded(continued.id),
        executor=told["executor"],
        waiting=run,
        predicts=run.kind == PREDICTION,
    )


def code_of(rooms: Rooms, request: Request, reference: str = "") -> Code:
    """The code that a reference means, with the environments that it runs in.

    Args:
        request: a script may bring an environment of its own.
        reference: as `accept` takes it.

    Returns:
        The environments with which a run of this code was made; for the rest, what its lock file says.

    Raises:
        NotFound: there is no such snapshot or run, or what the code asks for is not locked.
        Invalid: the reference fits several, or a run that has no code; or a script does not lie in it.
        Conflict: the lock does not fit what the code asks for.
    """
    if not reference:
        snapshot = rooms.snapshots.take(verify=request.verify)
        _refuse_strange(rooms, request, snapshot)
        return Code(snapshot, _locks(rooms.environments, request, {}))
    snapshot, run = _recorded(rooms, reference)
    _refuse_strange(rooms, request, snapshot)
    run = run if run is not None and _alike(run, request) else _made_with(rooms, snapshot, request)
    known = {} if run is None else locks_of(rooms, run)
    code = rooms.materialise(snapshot)
    declared = Environments(rooms.database, rooms.objects, code, rooms.workspace.local)
    try:
        return Code(snapshot, _locks(declared, request, known))
    except MlwrightError as error:
        error.where = None if error.where is None else _plain(error.where, code, snapshot)
        raise


def _recorded(rooms: Rooms, reference: str) -> tuple[Snapshot, Run | None]:
    digest = reference.removeprefix("b3:")
    if _DIGEST.fullmatch(digest):
        try:
            return rooms.snapshots.get(digest), None
        except NotFound:
            if digest != reference:
                raise
    try:
        run = rooms.runs.get(reference)
    except NotFound as error:
        raise NotFound(
            f"there is neither a code snapshot nor a run {reference!r}",
            hint="a digest that `mlwright runs show` tells of `code`, or the id of a run",
        ) from error
    found = edges.made_from(rooms.database, run.end, "code")
    if not found:
        raise Invalid(
            f"run {short(run.id)} has no recorded code", hint="leave it out for the project's files"
        )
    return rooms.snapshots.get(found[0].earlier.id), run


def _made_with(rooms: Rooms, snapshot: Snapshot, request: Request) -> Run | None:
    """The newest run of this code whose environment is that of the request."""
    made = {edge.later.id for edge in edges.made_into(rooms.database, snapshot.end, "code")}
    runs = (rooms.runs.recorded(each) for each in sorted(made, reverse=True)[:_MOST_RUNS])
    return next((run for run in runs if _alike(run, request)), None)


def _alike(run: Run, request: Request) -> bool:
    """Whether a run had the environment that a request has: a script may bring its own."""
    return run.pipeline == request.pipeline or (run.kind == request.kind == "pipeline")


def _locks(declared: Environments, request: Request, known: Mapping[str, Lock]) -> dict[str, Lock]:
    """The environments of a request; one that only a step needs may still be missing when the run begins."""
    found = dict(known)
    try:
        if "" not in found:
            own = declared.of_script(request.pipeline) if request.kind == "script" else None
            found[""] = own or declared.current()
        for name in declared.names():
            if name not in found:
                with suppress(MlwrightError):  # no step may need it; if one does, its run says why
                    found[name] = declared.current(name)
    except Unavailable as error:
        if error.hint != "mlwright environments lock":
            raise
        raise Conflict(error.message, where=error.where, hint=error.hint) from error
    return found


def _refuse_strange(rooms: Rooms, request: Request, snapshot: Snapshot) -> None:
    """A script must lie in the code: nobody names a file elsewhere.

    Raises:
        NotFound: it does not.
    """
    if request.kind == "pipeline":
        return
    if request.pipeline not in {each.path for each in rooms.snapshots.tree(snapshot).entries}:
        raise NotFound(
            f"there is no {request.kind} {request.pipeline} in the code",
            hint="its path in the project; Git or [tool.mlwright] may ignore it",
        )


def _plain(where: str, code: Path, snapshot: Snapshot) -> str:
    """A place in materialised code, by the code's name."""
    return where.replace(str(code), f"code b3:{snapshot.digest[:12]}")


def with_code(rooms: Rooms, request: Request, reference: str) -> Request:
    """A request for recorded code instead of the project's files; unchanged for an empty reference.

    Raises:
        NotFound, Invalid, Conflict: as `code_of`.
    """
    if not reference:
        return request
    code = code_of(rooms, request, reference)
    return replace(request, snapshot=code.snapshot, locks=code.locks)
