"""Runs that are reported from outside, and what clients report of any run: points, parameters, tags, inputs.

The state of such a run is what its client last said; nobody here executes it, so that it is never lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.ids import RunId, new_id
from mlwright.kernel.words import cut
from mlwright.tracking import series
from mlwright.tracking.experiments import Experiments
from mlwright.tracking.journal import Metric
from mlwright.tracking.names import random_name
from mlwright.tracking.points import Point, Points
from mlwright.tracking.run import REPORTED, Run, RunState, run_of
from mlwright.tracking.texts import held, held_tags, joined

_SQL = Queries.beside(__file__)
_CONTEXT = "mlflow.data.context"
"""The tag that says what a dataset was used for; filters ask for it."""
INPUTS_BYTES = 24 << 20
"""What all datasets of a run may take together."""
_FEW = 8
_SHOWN = 100
_AT_ONCE = 200
_BLOCK_BYTES = 4 << 20


class Input(Struct, frozen=True):
    """A dataset that a client said a run has read.

    Args:
        hash: the client's own, which tells versions of `name` apart.
        source: where it came from, as `source_type` writes it; `schema` and `profile` likewise.
        tags: what the client says of this use of it.
    """

    name: str
    hash: str
    source_type: str
    source: str
    schema: str = ""
    profile: str = ""
    tags: dict[str, str] = field(default_factory=dict)


class RunData(Struct, frozen=True):
    """What was reported of a run: the last value of each metric, parameters as text, tags, inputs."""

    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)


class Reports:
    """What clients report."""

    def __init__(self) -> None:
        self._experiments = Experiments()

    def begin(
        self, tx: Transaction, *, experiment: int, name: str, started_us: int, tags: Mapping[str, str]
    ) -> Run:
        """Record that a run begins elsewhere.

        Args:
            experiment: the id of the one that it belongs to.
            name: what to call it; one is made up when empty.
            started_us: when it began, as its client says.
            tags: its first tags.

        Raises:
            NotFound: there is no such experiment.
            Conflict: the experiment is deleted.
            Invalid: no database can hold the name, a tag or the moment.
        """
        if self._experiments.get(tx, experiment).deleted_us is not None:
            raise Conflict(f"experiment {experiment} is deleted", hint="restore it first")
        name, tags = held(name, "the name of a run") or random_name(), held_tags(tags)
        row = {"experiment_id": experiment, "name": name, "created_us": _moment(started_us)}
        identity = RunId(new_id())
        tx.execute(_SQL["add_reported_run"], id=identity, **row)
        _set_tags(tx, identity, tags.items())
        run = self.get(tx, identity)
        events.record(tx, "run.reported", run.end, experiment=experiment, name=name)
        return run

    def get(self, source: Source, run: RunId) -> Run:
        """The run with a whole id, whoever executes it, deleted or not.

        Raises:
            NotFound: there is none.
        """
        found = source.read(_SQL["run_by_id"], id=held(run, "the id of a run"))
        if not found:
            raise NotFound(f"there is no run {cut(run, _SHOWN)!r}")
        return run_of(found[0])

    def update(
        self,
        tx: Transaction,
        run: RunId,
        *,
        state: RunState | None = None,
        finished_us: int | None = None,
        name: str | None = None,
    ) -> Run:
        """Record what its client says of a run; what is None stays as it is.

        Raises:
            NotFound: there is none.
            Conflict: it is deleted; or its state is to change, and mlwright executes it.
        """
        known = self._active(tx, run)
        if known.kind != REPORTED and (state, finished_us) != (None, None):
            raise Conflict(f"mlwright executes run {run} itself, and knows how it stands")
        state = state or known.state
        finished_us = known.finished_us if finished_us is None else _moment(finished_us)
        name = known.name if name is None else held(name, "the name of a run")
        tx.execute(_SQL["report_run"], id=run, state=state, finished_us=finished_us, name=name)
        if name != known.name:
            events.record(tx, "run.renamed", known.end, before=known.name, after=name)
        if state is RunState.RUNNING is not known.state:
            events.record(tx, "run.started", known.end, before=known.state, after=state)
        elif state is not known.state:
            events.record(tx, f"run.{state}", known.end, before=known.state, after=state)
        return self.get(tx, run)

    def delete(self, tx: Transaction, run: RunId) -> None:
        """Mark a run as deleted; again changes nothing.

        Raises:
            NotFound: there is none.
            Conflict: mlwright is executing it.
        """
        known = self.get(tx, run)
        if known.kind != REPORTED and not known.state.ended:
            raise Conflict(f"run {run} is {known.state}", hint=f"end it first: mlwright runs cancel {run}")
        if known.deleted_us is None:
            tx.execute(_SQL["mark_run"], id=run, deleted_us=now_us())
            events.record(tx, "run.deleted", known.end, before="active", after="deleted")

    def restore(self, tx: Transaction, run: RunId) -> None:
        """Take the mark away; a run that has none stays as it is.

        Raises:
            NotFound: there is none.
        """
        known = self.get(tx, run)
        tx.execute(_SQL["mark_run"], id=run, deleted_us=None)
        if known.deleted_us is not None:
            events.record(tx, "run.restored", known.end, before="deleted", after="active")

    def log(
        self,
        tx: Transaction,
        run: RunId,
        *,
        points: Sequence[Point] = (),
        params: Sequence[tuple[str, str]] = (),
        tags: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Keep what a client reports of a run, all of it or nothing; the same again changes nothing.

        Raises:
            NotFound: there is no such run.
            Conflict: it is deleted; or mlwright executed it, it has ended, and more than tags are told.
            Invalid: a parameter has another value already; or no database can hold a text or a number.
        """
        known = self._active(tx, run)
        if known.kind != REPORTED and known.state is RunState.SCHEDULED and (points or params):
            raise Conflict(f"run {run} has not begun: nothing can be measured yet")
        if known.kind != REPORTED and known.state.ended and (points or params):
            raise Conflict(f"run {run} has ended: what it measured and was given no longer changes")
        if params:
            _add_params(tx, run, params)
        for name, value in tags:
            held_tags({name: value})
        _set_tags(tx, run, tags)
        if points:
            series.append(tx, run, _by_name(points))

    def remove_tag(self, tx: Transaction, run: RunId, name: str) -> None:
        """Take a tag from a run.

        Raises:
            NotFound: there is no such run, or it has no such tag.
            Conflict: it is deleted.
        """
        self._active(tx, run)
        if not tx.execute(_SQL["drop_tag"], run_id=run, name=held(name, "the name of a tag")):
            raise NotFound(f"run {run} has no tag {cut(name, _SHOWN)!r}")

    def log_inputs(self, tx: Transaction, run: RunId, inputs: Sequence[Input]) -> None:
        """Keep which datasets a run has read; of one that was told before, the first word counts.

        Raises:
            NotFound: there is no such run.
            Conflict: it is deleted.
            Invalid: no database can hold a text; or all that the run has read would take more than 24 MiB.
        """
        self._active(tx, run)
        for each in inputs:
            for text in (each.name, each.hash, each.source_type, each.source, each.schema, each.profile):
                held(text, "what is told of a dataset")
        rows = [
            {
                "run_id": run,
                "name": each.name,
                "hash": each.hash,
                "source_type": each.source_type,
                "source": each.source,
                "schema": each.schema,
                "profile": each.profile,
                "tags": json.dumps(held_tags(each.tags)),
                "context": each.tags.get(_CONTEXT),
            }
            for each in inputs
        ]
        tx.execute_many(_SQL["add_input"], rows)
        size = tx.read(_SQL["input_bytes"], run_id=run)[0]["bytes"] if rows else 0
        if size > INPUTS_BYTES:
            raise Invalid(
                f"the datasets of run {run} would take {size:,} bytes; a run has at most {INPUTS_BYTES:,}",
                hint="shorten their profiles and schemas, or leave these out",
            )

    def inputs(self, source: Source, run: RunId) -> list[Input]:
        """The datasets that a run has read, by name."""
        return data_of(source, [run])[run].inputs

    def _active(self, source: Source, run: RunId) -> Run:
        known = self.get(source, run)
        if known.deleted_us is not None:
            raise Conflict(f"run {run} is deleted", hint="restore it first")
        return known


def data_of(source: Source, runs: Sequence[RunId], *, inputs: bool = True) -> dict[RunId, RunData]:
    """What was reported of many runs, in four queries for 500 of them.

    Args:
        runs: whole ids; of one that is not there, nothing was reported.
        inputs: False to leave out the datasets, which may be much.
    """
    found = {run: RunData() for run in runs}
    for ids in joined(found, 26):
        for row in source.read(_SQL["metrics_of_runs"], ids=ids):
            value = series.last_of(row)
            found[row["run_id"]].metrics.append(Metric(row["name"], value, row["step"], row["at_us"]))
        for row in source.read(_SQL["params_of_runs"], ids=ids):
            found[row["run_id"]].params[row["name"]] = row["text"]
        for row in source.read(_SQL["tags_of_runs"], ids=ids):
            found[row["run_id"]].tags[row["name"]] = row["value"]
        for row in source.read(_SQL["inputs_of_runs"], ids=ids) if inputs else ():
            run = row.pop("run_id")
            found[run].inputs.append(Input(**{**row, "tags": json.loads(row["tags"])}))
    return found


def portions(source: Source, runs: Sequence[RunId]) -> Iterator[list[RunId]]:
    """Runs in groups in their order: what was reported of a group takes 4 MiB at most, unless it is one."""
    for begin in range(0, len(runs), _AT_ONCE):
        some = runs[begin : begin + _AT_ONCE]
        sizes = {row["id"]: row["bytes"] for row in source.read(_SQL["sizes_of_runs"], ids="".join(some))}
        block: list[RunId] = []
        held = 0
        for run in some:
            held += sizes[run]
            if block and held > _BLOCK_BYTES:
                yield block
                block, held = [], sizes[run]
            block.append(run)
        yield block


def tags_of(source: Source, run: RunId) -> dict[str, str]:
    """The tags of a run, without all else that was reported of it, which may be much."""
    return {row["name"]: row["value"] for row in source.read(_SQL["tags_of_runs"], ids=run)}


def _by_name(points: Iterable[Point]) -> dict[str, Points]:
    found: dict[str, Points] = {}
    for name, value, step, at_us in points:
        kept = found.get(name)
        if kept is None:
            kept = found[name] = Points()
        kept.add(step, at_us, value)
    return found


def _add_params(tx: Transaction, run: RunId, params: Sequence[tuple[str, str]]) -> None:
    for name, value in params:
        held(name, "the name of a parameter")
        held(value, f"the value of parameter {cut(name, _SHOWN)!r}")
    if len(params) <= _FEW:
        rows = [row for name, _ in params for row in tx.read(_SQL["param_text"], run_id=run, name=name)]
    else:
        rows = tx.read(_SQL["param_texts"], run_id=run)
    known = {row["name"]: row["text"] for row in rows}
    fresh: dict[str, str] = {}
    for name, value in params:
        was = known.setdefault(name, value)
        if was != value:
            raise Invalid(
                f"parameter {cut(name, _SHOWN)!r} of run {run} is {cut(was, _SHOWN)!r} already,"
                f" and cannot become {cut(value, _SHOWN)!r}",
                hint="log it under another name, or in another run",
            )
        fresh[name] = value
    known_before = {row["name"] for row in rows}
    tx.execute_many(
        _SQL["set_param"],
        [
            {"run_id": run, "name": name, "value": json.dumps(value), "text": value}
            for name, value in fresh.items()
            if name not in known_before
        ],
    )


def _set_tags(tx: Transaction, run: RunId, tags: Iterable[tuple[str, str]]) -> None:
    rows = [{"run_id": run, "name": name, "value": value} for name, value in tags]
    if rows:
        tx.execute_many(_SQL["set_tag"], rows)


def _moment(at_us: int) -> int:
    if not -(2**63) <= at_us < 2**63:
        raise Invalid(f"{at_us} is no moment: it has more than 64 bits")
    return at_us
