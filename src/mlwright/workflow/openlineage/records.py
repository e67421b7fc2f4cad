"""What is on record of a run, as its events need it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from mlwright.environments import Lock
from mlwright.kernel import edges
from mlwright.kernel.edges import Edge, End
from mlwright.tracking import Run
from mlwright.versioning import Artifact, Snapshot, Version, artifact
from mlwright.versioning.summaries import TableSummary
from mlwright.workflow.aside import locks_of
from mlwright.workflow.attempts import Attempt, AttemptState
from mlwright.workflow.group import element_of
from mlwright.workflow.history import made_in, reused_in
from mlwright.workflow.rooms import Rooms


class Item(Struct, frozen=True):
    """What OpenLineage calls a dataset: a version of one of ours or of a model, or what a step made.

    Args:
        name: `datasets/patients`, `models/diagnosis`, `artifacts/PIPELINE/STEP/OUTPUT`.
        version: a number, or a digest.
        kind: `dataset`, `model` or `artifact`.
        type: of an artifact, what it was in Python.
        columns: names with types; the type is empty where only names are recorded.
        table: what is remembered of its one table.
        source: the address it was fetched from.
    """

    name: str
    version: str
    kind: str
    type: str
    size_bytes: int
    files: int | None = None
    rows: int | None = None
    columns: tuple[tuple[str, str], ...] = ()
    table: TableSummary | None = None
    source: str = ""


class Step(Struct, frozen=True):
    """An attempt with what it took and made; `reuses` is the id of the attempt that stands for it."""

    attempt: Attempt
    inputs: tuple[Item, ...]
    outputs: tuple[Item, ...]
    reuses: str


class RunRecords(Struct, frozen=True):
    """A run with all that its events tell.

    Args:
        namespace: of its jobs.
        workspace: its id: of what it read and made.
        inputs: the datasets it read, and the models it compared with.
        outputs: the models it registered.
    """

    namespace: str
    workspace: str
    run: Run
    parameters: dict[str, Any]
    snapshot: Snapshot | None
    locks: dict[str, Lock]
    inputs: tuple[Item, ...]
    outputs: tuple[Item, ...]
    steps: tuple[Step, ...]


def read_records(
    rooms: Rooms, run: Run, namespace: str, attempts: Iterable[Attempt] | None = None
) -> RunRecords:
    """Read what is on record of a run.

    Args:
        namespace: of its jobs.
        attempts: only these of it; by default all.
    """
    made_with = edges.made_from(rooms.database, run.end)
    by_role = {edge.role: edge.earlier for edge in made_with}
    reader = _Reader(rooms)
    read = [edge.earlier for edge in made_with if edge.role.partition(":")[0] in {"data", "reference"}]
    registered = [edge.later for edge in edges.made_into(rooms.database, run.end, "run")]
    return RunRecords(
        namespace,
        rooms.workspace.id,
        run,
        rooms.runs.parameters(run.id),
        rooms.snapshots.get(by_role["code"].id) if "code" in by_role else None,
        locks_of(rooms, run),
        reader.items(read),
        reader.items(registered),
        tuple(reader.steps(run, rooms.attempts.of_run(run.id) if attempts is None else attempts)),
    )


class _Reader:
    """Reads items, each once."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._known: dict[End, Item | None] = {}

    def items(self, ends: Iterable[End]) -> tuple[Item, ...]:
        """The items of ends; one name has one item, without a version where there are several."""
        found: dict[str, Item] = {}
        for end in ends:
            if end not in self._known:
                self._known[end] = self._read(end)
            item = self._known[end]
            if item is not None:
                found.setdefault(item.name, item)
        return tuple(found.values())

    def steps(self, run: Run, attempts: Iterable[Attempt]) -> Iterable[Step]:
        """Each attempt with what it took and made; what was skipped is no step that ran."""
        database = self._rooms.database
        made: dict[str, list[End]] = {}
        for each in made_in(database, run.id):
            made.setdefault(each.attempt, []).append(End("artifact", each.artifact))
        reused = reused_in(database, run.id)
        for attempt in attempts:
            if attempt.state is AttemptState.SKIPPED:
                continue
            source = reused[attempt.id].source if attempt.id in reused else ""
            took = edges.made_from(database, End("attempt", source or attempt.id))
            outputs = made.get(attempt.id, [])
            if "version" in attempt.detail:  # what `register` made, or found registered
                outputs = [*outputs, End("version", str(attempt.detail["version"]))]
            inputs = [edge.earlier for edge in took if _is_input(edge)]
            yield Step(attempt, self.items(inputs), self.items(outputs), source)

    def _read(self, end: End) -> Item | None:
        if end.kind == "version":
            if not self._rooms.models.versions.exists(self._rooms.database, end.id):
                return None  # it was removed since
            return self._version(self._rooms.models.versions.by_id(end.id))
        return self._artifact(artifact(self._rooms.database, end.id))

    def _version(self, version: Version) -> Item:
        about = version.about
        if version.kind == "model":
            inputs = (about.get("signature") or {}).get("inputs") or []
            return Item(
                f"models/{version.name}",
                str(version.number),
                "model",
                "",
                version.size_bytes,
                columns=_columns(inputs),
            )
        table = self._rooms.datasets.summarised(version)
        columns = (
            tuple((column.name, column.type) for column in table.columns)
            if table is not None and table.columns
            else _columns(about.get("columns") or [])
        )
        return Item(
            f"datasets/{version.name}",
            str(version.number),
            "dataset",
            "",
            version.size_bytes,
            files=about.get("files"),
            rows=table.rows if table else None,
            columns=columns,
            table=table,
            source=str((about.get("source") or {}).get("url", "")),
        )

    def _artifact(self, found: Artifact) -> Item:
        """What a step made is named by that step, in whatever run: a later one is its next version."""
        name = f"artifacts/b3-{found.digest[:12]}"
        for edge in edges.made_from(self._rooms.database, found.end):
            attempt = self._rooms.attempts.find(edge.earlier.id) if edge.earlier.kind == "attempt" else None
            if attempt is not None:
                pipeline = self._rooms.runs.recorded(attempt.run_id).pipeline
                output = edge.role.partition(":")[2]
                name = f"artifacts/{pipeline}/{element_of(attempt.node)[0]}/{element_of(output)[0]}"
        rows = found.about.get("rows")
        return Item(
            name,
            f"b3:{found.digest}",
            "artifact",
            found.type,
            found.size_bytes,
            rows=rows if isinstance(rows, int) else None,
            columns=_columns(found.about.get("columns") or []),
        )


def _is_input(edge: Edge) -> bool:
    role = edge.role.partition(":")[0]
    return role in {"input", "when"} and edge.earlier.kind in {"artifact", "version"}


def _columns(told: Any) -> tuple[tuple[str, str], ...]:
    """Columns as a codec, a signature or a head of a file tells them."""
    if not isinstance(told, list):
        return ()
    named = [each if isinstance(each, Mapping) else {"name": each} for each in told]
    return tuple((str(each["name"]), str(each.get("type", ""))) for each in named if "name" in each)
