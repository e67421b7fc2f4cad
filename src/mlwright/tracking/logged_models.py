"""Logged models: what a client says it has made, registered or not; runs make and read them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal
from uuid import uuid4

from msgspec import Struct, field

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.ids import RunId
from mlwright.kernel.words import cut
from mlwright.tracking.experiments import Experiments
from mlwright.tracking.names import random_name
from mlwright.tracking.points import bits_of
from mlwright.tracking.series import last_of
from mlwright.tracking.texts import held, held_tags, joined

_SQL = Queries.beside(__file__)
_ID = re.compile(r"m-[0-9a-f]{32}")
_SHOWN = 100

Way = Literal["in", "out"]
"""Whether a run has read a model, or made it."""


class ModelState(StrEnum):
    """Whether the files of a model are complete."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class ModelMetric(Struct, frozen=True):
    """What a run measured of a model, perhaps on a dataset that it names."""

    model_id: str
    name: str
    value: float
    step: int
    at_us: int
    run_id: RunId = RunId("")
    dataset_name: str = ""
    dataset_hash: str = ""


class LoggedModel(Struct, frozen=True):
    """A model that a client logged.

    Args:
        run_id: the run that made it, if its client said so.
        type: what its client calls its kind.
        deleted_us: when its client deleted it.
        metrics: the last value of each, by run and dataset.
    """

    id: str
    experiment_id: int
    run_id: RunId | None
    name: str
    type: str
    state: ModelState
    state_message: str
    created_us: int
    updated_us: int
    deleted_us: int | None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[ModelMetric] = field(default_factory=list)

    @property
    def end(self) -> End:
        """The model as an end of edges."""
        return End("logged_model", self.id)


class ModelLink(Struct, frozen=True):
    """A model that a run has read or made, and at which step."""

    model_id: str
    way: Way
    step: int = 0


class LoggedModels:
    """The models that clients logged."""

    def __init__(self) -> None:
        self._experiments = Experiments()

    def create(
        self,
        tx: Transaction,
        *,
        experiment: int,
        name: str = "",
        run: RunId | None = None,
        type_name: str = "",
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> LoggedModel:
        """Record a model whose files are still to come.

        Args:
            experiment: the id of the one that it belongs to.
            name: what to call it; one is made up when empty.
            run: that makes it.
            type_name: what its client calls its kind.

        Raises:
            NotFound: there is no such experiment, or no such run.
            Conflict: the experiment is deleted.
            Invalid: no database can hold a text.
        """
        if self._experiments.get(tx, experiment).deleted_us is not None:
            raise Conflict(f"experiment {experiment} is deleted", hint="restore it first")
        if run is not None:
            _refuse_unknown_run(tx, run)
        identity = f"m-{uuid4().hex}"
        tx.execute(
            _SQL["add_logged_model"],
            id=identity,
            experiment_id=experiment,
            run_id=run,
            name=held(name, "the name of a model") or random_name(),
            type=held(type_name, "the type of a model"),
            at_us=now_us(),
        )
        self.log_params(tx, identity, params or {})
        self.set_tags(tx, identity, tags or {})
        made = self.get(tx, identity)
        events.record(tx, "logged-model.reported", made.end, experiment=experiment, run=run, name=made.name)
        return made

    def get(self, source: Source, identity: str) -> LoggedModel:
        """The model with an id, deleted or not.

        Raises:
            NotFound: there is none.
        """
        found = self.many(source, [identity]) if _ID.fullmatch(identity) else []
        if not found:
            raise NotFound(f"there is no logged model {cut(identity, _SHOWN)!r}")
        return found[0]

    def many(self, source: Source, identities: Sequence[str]) -> list[LoggedModel]:
        """Models with all that is known of them, in three queries for 500 of them.

        Args:
            identities: whole ids.

        Returns:
            Those that are there, in the order that was asked for.
        """
        asked = list(dict.fromkeys(identities))
        found: dict[str, LoggedModel] = {}
        for ids in joined(asked, 34):
            found |= {row["id"]: _model(row) for row in source.read(_SQL["logged_models"], ids=ids)}
            for row in source.read(_SQL["logged_model_texts"], ids=ids):
                model = found[row["model_id"]]
                (model.params if row["kind"] == "param" else model.tags)[row["name"]] = row["value"]
            for row in source.read(_SQL["logged_model_metrics"], ids=ids):
                value = last_of(row)
                del row["bits"]
                found[row["model_id"]].metrics.append(ModelMetric(**{**row, "value": value}))
        return [found[identity] for identity in asked if identity in found]

    def finish(self, tx: Transaction, identity: str, state: ModelState, message: str = "") -> LoggedModel:
        """Record whether its files are complete.

        Raises:
            NotFound: there is no such model.
        """
        known = self.get(tx, identity)
        message = held(message, "what is said of a model")
        tx.execute(_SQL["move_logged_model"], id=identity, state=state, message=message, at_us=now_us())
        if state is not known.state:
            events.record(tx, "logged-model.finished", known.end, before=known.state, after=state)
        return self.get(tx, identity)

    def delete(self, tx: Transaction, identity: str) -> None:
        """Mark it as deleted; again changes nothing.

        Raises:
            NotFound: there is no such model.
        """
        known = self.get(tx, identity)
        if known.deleted_us is None:
            tx.execute(_SQL["mark_logged_model"], id=identity, at_us=now_us())
            events.record(tx, "logged-model.deleted", known.end, before="active", after="deleted")

    def log_params(self, tx: Transaction, identity: str, params: Mapping[str, str]) -> None:
        """Record what it was made with; the same again changes nothing.

        Raises:
            NotFound: there is no such model.
            Invalid: a parameter has another value already; or no database can hold a text.
        """
        known = self.get(tx, identity).params
        for name, value in params.items():
            held(value, f"the value of parameter {cut(name, _SHOWN)!r}")
            was = known.get(held(name, "the name of a parameter"), value)
            if was != value:
                raise Invalid(
                    f"parameter {cut(name, _SHOWN)!r} of model {identity} is {cut(was, _SHOWN)!r} already,"
                    f" and cannot become {cut(value, _SHOWN)!r}"
                )
        _set_texts(tx, identity, "param", params)

    def set_tags(self, tx: Transaction, identity: str, tags: Mapping[str, str]) -> None:
        """Give it tags, or other values to those that it has.

        Raises:
            NotFound: there is no such model.
            Invalid: no database can hold a text.
        """
        self.get(tx, identity)
        _set_texts(tx, identity, "tag", held_tags(tags))

    def remove_tag(self, tx: Transaction, identity: str, name: str) -> None:
        """Take a tag from it.

        Raises:
            NotFound: there is no such model, or it has no such tag.
        """
        self.get(tx, identity)
        if not tx.execute(_SQL["drop_logged_model_tag"], model_id=identity, name=held(name, "a tag")):
            raise NotFound(f"model {identity} has no tag {cut(name, _SHOWN)!r}")

    def log_metrics(self, tx: Transaction, run: RunId, metrics: Iterable[ModelMetric]) -> None:
        """Keep the last value of what a run measured of models; whose `run_id` is not looked at.

        Raises:
            NotFound: there is no such run, or no such model.
            Invalid: no database can hold a text.
        """
        rows = [
            {
                "model_id": each.model_id,
                "run_id": run,
                "name": held(each.name, "the name of a metric"),
                "value": None if math.isnan(each.value) else each.value,
                "bits": bits_of(each.value),
                "step": each.step,
                "at_us": each.at_us,
                "dataset_name": held(each.dataset_name, "the name of a dataset"),
                "dataset_hash": held(each.dataset_hash, "the hash of a dataset"),
            }
            for each in metrics
        ]
        self._refuse_unknown(tx, run, [str(row["model_id"]) for row in rows])
        tx.execute_many(_SQL["set_logged_model_metric"], rows)

    def link(self, tx: Transaction, run: RunId, links: Sequence[ModelLink]) -> None:
        """Record which models a run has read or made; again changes the step at most.

        Raises:
            NotFound: there is no such run, or no such model.
        """
        self._refuse_unknown(tx, run, [each.model_id for each in links])
        tx.execute_many(
            _SQL["link_logged_model"],
            [
                {"run_id": run, "model_id": each.model_id, "way": each.way, "step": each.step}
                for each in links
            ],
        )

    def _refuse_unknown(self, tx: Transaction, run: RunId, models: Iterable[str]) -> None:
        _refuse_unknown_run(tx, run)
        asked = list(dict.fromkeys(models))
        known = {
            row["id"]
            for ids in joined(filter(_ID.fullmatch, asked), 34)
            for row in tx.read(_SQL["logged_models"], ids=ids)
        }
        for identity in asked:
            if identity not in known:
                raise NotFound(f"there is no logged model {cut(identity, _SHOWN)!r}")


def links_of(source: Source, runs: Sequence[RunId]) -> dict[RunId, list[ModelLink]]:
    """The models that runs have read or made, in one query for 500 runs.

    Args:
        runs: whole ids.
    """
    found: dict[RunId, list[ModelLink]] = {run: [] for run in runs}
    for ids in joined(found, 26):
        for row in source.read(_SQL["models_of_runs"], ids=ids):
            found[row["run_id"]].append(ModelLink(row["model_id"], row["way"], row["step"]))
    return found


def _refuse_unknown_run(tx: Transaction, run: RunId) -> None:
    if not tx.read(_SQL["experiment_of_run"], id=held(run, "the id of a run")):
        raise NotFound(f"there is no run {cut(run, _SHOWN)!r}")


def _set_texts(tx: Transaction, identity: str, kind: str, texts: Mapping[str, str]) -> None:
    rows = [{"model_id": identity, "kind": kind, "name": name, "value": texts[name]} for name in texts]
    tx.execute_many(_SQL["set_logged_model_text"], rows)
    if rows:
        tx.execute(_SQL["touch_logged_model"], id=identity, at_us=now_us())


def _model(row: dict[str, Any]) -> LoggedModel:
    return LoggedModel(**{**row, "state": ModelState(row["state"])})
