"""Models as clients of another protocol register them: a name first, then its versions, in our one registry.

A name that has versions of ours is registered with the first of them. What clients may change is the name of
what they registered, and words, tags, stages and aliases of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel import events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.words import cut
from mlwright.versioning.references import is_reported_name
from mlwright.versioning.removal import Removal
from mlwright.versioning.versions import Versions

_SQL = Queries.beside(__file__)
_SHOWN = 100


class RegisteredModel(Struct, frozen=True):
    """A name that models have, or will have.

    Args:
        aliases: what each means, by number.
    """

    name: str
    description: str
    created_us: int
    updated_us: int
    tags: dict[str, str]
    aliases: dict[str, int]


class Registered:
    """The names of models. Whoever changes one gives the transaction."""

    def __init__(self, database: Database) -> None:
        self.versions = Versions(database, "model")
        self.removal = Removal(database, self.versions)

    def create(
        self, tx: Transaction, name: str, *, description: str = "", tags: Mapping[str, str] | None = None
    ) -> RegisteredModel:
        """Register a name.

        Raises:
            Invalid: it cannot be one.
            Conflict: it is registered already.
        """
        self._refuse_taken(tx, name)
        tx.execute(_SQL["add_registered"], name=name, description=description, at_us=now_us())
        for tag, value in (tags or {}).items():
            tx.execute(_SQL["set_registered_tag"], model=name, name=tag, value=value)
        events.record(tx, "model.registered", _end(name), description=description, tags=dict(tags or {}))
        return self.get(tx, name)

    def get(self, source: Source, name: str) -> RegisteredModel:
        """What is known of a name.

        Raises:
            NotFound: it is not registered.
        """
        rows = source.read(_SQL["registered_named"], name=name)
        if not rows:
            raise NotFound(f"there is no registered model {cut(name, _SHOWN)!r}")
        return registered_from(source, rows[0])

    def describe(self, tx: Transaction, name: str, description: str) -> RegisteredModel:
        """Say what it stands for.

        Raises:
            NotFound: it is not registered.
        """
        known = self.get(tx, name)
        tx.execute(_SQL["describe_registered"], name=name, description=description, at_us=now_us())
        if known.description != description:
            events.record(tx, "model.described", _end(name), before=known.description, after=description)
        return self.get(tx, name)

    def rename(self, tx: Transaction, name: str, new: str) -> RegisteredModel:
        """Give it another name; versions, aliases and their history go with it.

        Raises:
            NotFound: it is not registered.
            Invalid: the new one cannot be a name.
            Conflict: that is registered already, or was used before; or a pipeline here made a version under
                the old one.
        """
        self.get(tx, name)
        if name == new:
            return self.get(tx, name)
        self._refuse_taken(tx, new)
        if tx.read(_SQL["removals"], kind="model", name=new, number=None):
            raise Conflict(f"versions named {new!r} were removed: their numbers are not given again")
        if made := tx.read(_SQL["made_here_under"], name=name):
            raise Conflict(
                f"{name}@{made[0]['number']} was made here, and keeps its name: runs have recorded it",
                hint="point an alias at it, or register it under the other name too",
            )
        tx.execute(_SQL["rename_registered"], name=name, new=new, at_us=now_us())
        for query in (
            _SQL["rename_versions"],
            _SQL["rename_aliases"],
            _SQL["rename_alias_moves"],
            _SQL["rename_removals"],
            _SQL["rename_in_search"],
        ):
            tx.execute(query, name=name, new=new)
        events.record(tx, "model.renamed", _end(new), before=name, after=new)
        return self.get(tx, new)

    def delete(self, tx: Transaction, name: str, *, reason: str = "") -> None:
        """Take it away with all its versions and aliases; the numbers are not given again.

        Raises:
            NotFound: it is not registered.
            Conflict: something refers to one of its versions.
        """
        known = self.get(tx, name)
        self.removal.remove_all_reported(tx, name, reason)
        tx.execute(_SQL["remove_registered"], name=name)
        before = {"description": known.description, "tags": known.tags}
        events.record(tx, "model.unregistered", _end(name), before=before, after=None, reason=reason)

    def set_tag(self, tx: Transaction, name: str, tag: str, value: str) -> None:
        """Give it a tag, or another value to one that it has.

        Raises:
            NotFound: it is not registered.
        """
        before = self.get(tx, name).tags.get(tag)
        tx.execute(_SQL["set_registered_tag"], model=name, name=tag, value=value)
        if before != value:
            events.record(tx, "model.tagged", _end(name), tag=tag, before=before, after=value)

    def remove_tag(self, tx: Transaction, name: str, tag: str) -> None:
        """Take a tag from it; one that it has not is none.

        Raises:
            NotFound: it is not registered.
        """
        before = self.get(tx, name).tags.get(tag)
        if tx.execute(_SQL["drop_registered_tag"], model=name, name=tag):
            events.record(tx, "model.untagged", _end(name), tag=tag, before=before, after=None)

    def _refuse_taken(self, tx: Transaction, name: str) -> None:
        if not is_reported_name(name):
            raise Invalid(
                f"{cut(name, _SHOWN)!r} cannot name a model",
                hint="up to 256 letters that can be read, without `/`, `:` and `@`",
            )
        if tx.read(_SQL["registered_named"], name=name):
            raise Conflict(f"the model {name!r} is registered already")


def registered_from(source: Source, row: dict[str, Any]) -> RegisteredModel:
    """A row of the table, with the tags and aliases of that name."""
    tags = source.read(_SQL["registered_tags"], model=row["name"])
    aliases = source.read(_SQL["numbers_of_aliases"], name=row["name"])
    return RegisteredModel(
        **row,
        tags={each["name"]: each["value"] for each in tags},
        aliases={each["alias"]: each["number"] for each in aliases},
    )


def _end(name: str) -> End:
    return End("model", name)
