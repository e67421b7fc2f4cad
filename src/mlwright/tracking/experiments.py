"""Experiments: what runs belong to. Those of a pipeline of ours are in `PROJECT/PIPELINE`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.tracking.texts import held, held_tags

_SQL = Queries.beside(__file__)
DEFAULT = 0
"""The experiment of runs whose client names none."""


class Experiment(Struct, frozen=True):
    """A name under which runs stand together.

    Args:
        deleted_us: when a client deleted it; it can be restored, and its name is taken until then.
    """

    id: int
    name: str
    created_us: int
    updated_us: int
    deleted_us: int | None
    tags: dict[str, str]

    @property
    def end(self) -> End:
        """The experiment as the subject of events."""
        return End("experiment", str(self.id))


class Experiments:
    """The experiments of a workspace."""

    def create(self, tx: Transaction, name: str, tags: Mapping[str, str] | None = None) -> Experiment:
        """Make a new one.

        Raises:
            Conflict: the name is taken, also by one that is deleted.
            Invalid: no database can hold the name or a tag; or the name is empty.
        """
        self._refuse_taken(tx, name)
        tags = held_tags(tags or {})
        tx.execute(_SQL["add_experiment"], name=name, at_us=now_us())
        made = self.named(tx, name)
        tx.execute_many(
            _SQL["set_experiment_tag"],
            [{"experiment_id": made.id, "name": key, "value": value} for key, value in tags.items()],
        )
        made = self.get(tx, made.id)
        events.record(tx, "experiment.created", made.end, name=name, tags=made.tags)
        return made

    def ensure(self, tx: Transaction, name: str) -> int:
        """The id of the experiment with a name; it is made when missing, and restored when deleted."""
        found = tx.read(_SQL["experiment_named"], name=name)
        if not found:
            return self.create(tx, name).id
        if found[0]["deleted_us"] is not None:
            tx.execute(_SQL["mark_experiment"], id=found[0]["id"], at_us=now_us(), deleted_us=None)
            _record_restored(tx, self.get(tx, found[0]["id"]))
        return int(found[0]["id"])

    def get(self, source: Source, identity: int) -> Experiment:
        """The experiment with an id, deleted or not.

        Raises:
            NotFound: there is none.
        """
        found = source.read(_SQL["experiment_by_id"], id=identity) if abs(identity) < 2**63 else []
        if not found:
            raise NotFound(f"there is no experiment {identity}")
        return _experiment(source, found[0])

    def named(self, source: Source, name: str) -> Experiment:
        """The experiment with a name, deleted or not.

        Raises:
            NotFound: there is none.
        """
        found = source.read(_SQL["experiment_named"], name=held(name, "the name of an experiment"))
        if not found:
            raise NotFound(f"there is no experiment {name!r}")
        return _experiment(source, found[0])

    def rename(self, tx: Transaction, identity: int, name: str) -> None:
        """Give it another name.

        Raises:
            NotFound: there is none.
            Conflict: it is deleted, or the name is taken.
        """
        known = self.get(tx, identity)
        _refuse_deleted(known)
        if known.name != name:
            self._refuse_taken(tx, name)
            events.record(tx, "experiment.renamed", known.end, before=known.name, after=name)
        tx.execute(_SQL["rename_experiment"], id=identity, name=name, at_us=now_us())

    def delete(self, tx: Transaction, identity: int) -> None:
        """Delete it and its runs; `restore` brings all of them back.

        Raises:
            NotFound: there is none, or it is deleted already.
        """
        known = self.get(tx, identity)
        if known.deleted_us is not None:
            raise NotFound(f"experiment {identity} is deleted already")
        at_us = now_us()
        events.record(tx, "experiment.deleted", known.end, name=known.name, before="active", after="deleted")
        tx.execute(_SQL["mark_experiment"], id=identity, at_us=at_us, deleted_us=at_us)
        tx.execute(_SQL["mark_runs_of_experiment"], id=identity, deleted_us=at_us)

    def restore(self, tx: Transaction, identity: int) -> None:
        """Bring a deleted one back, with all its runs.

        Raises:
            NotFound: there is none, or it is not deleted.
        """
        known = self.get(tx, identity)
        if known.deleted_us is None:
            raise NotFound(f"experiment {identity} is not deleted")
        _record_restored(tx, known)
        tx.execute(_SQL["mark_experiment"], id=identity, at_us=now_us(), deleted_us=None)
        tx.execute(_SQL["mark_runs_of_experiment"], id=identity, deleted_us=None)

    def set_tag(self, tx: Transaction, identity: int, name: str, value: str) -> None:
        """Give it a tag, or another value to one that it has.

        Raises:
            NotFound: there is no such experiment.
            Conflict: it is deleted.
        """
        known = self.get(tx, identity)
        _refuse_deleted(known)
        for key, text in held_tags({name: value}).items():
            tx.execute(_SQL["set_experiment_tag"], experiment_id=identity, name=key, value=text)
            if (before := known.tags.get(key)) != text:
                events.record(tx, "experiment.tagged", known.end, tag=key, before=before, after=text)
        tx.execute(_SQL["touch_experiment"], id=identity, at_us=now_us())

    def remove_tag(self, tx: Transaction, identity: int, name: str) -> None:
        """Take a tag from it.

        Raises:
            NotFound: there is no such experiment, or it has no such tag.
            Conflict: it is deleted.
        """
        known = self.get(tx, identity)
        _refuse_deleted(known)
        if not tx.execute(_SQL["drop_experiment_tag"], experiment_id=identity, name=held(name, "a tag")):
            raise NotFound(f"experiment {identity} has no tag {name!r}")
        events.record(tx, "experiment.untagged", known.end, tag=name, before=known.tags.get(name), after=None)
        tx.execute(_SQL["touch_experiment"], id=identity, at_us=now_us())

    def _refuse_taken(self, tx: Transaction, name: str) -> None:
        if not held(name, "the name of an experiment"):
            raise Invalid("an experiment has a name that is not empty")
        if taken := tx.read(_SQL["experiment_named"], name=name):
            deleted = taken[0]["deleted_us"] is not None
            raise Conflict(
                f"there is {'a deleted' if deleted else 'an'} experiment {name!r} already",
                hint=f"restore experiment {taken[0]['id']}, or take another name" if deleted else None,
            )


def _record_restored(tx: Transaction, experiment: Experiment) -> None:
    events.record(
        tx, "experiment.restored", experiment.end, name=experiment.name, before="deleted", after="active"
    )


def _refuse_deleted(experiment: Experiment) -> None:
    if experiment.deleted_us is not None:
        raise Conflict(f"experiment {experiment.id} is deleted", hint="restore it first")


def _experiment(source: Source, row: dict[str, object]) -> Experiment:
    tags = source.read(_SQL["experiment_tags"], experiment_id=row["id"])
    return Experiment(**row, tags={tag["name"]: tag["value"] for tag in tags})  # type: ignore[arg-type]
