"""Versions and aliases, the same for datasets and models: a name, a number, an artifact."""

from __future__ import annotations

import json
from typing import Any, Literal

from msgspec import Struct

from mlwright.kernel import edges, events
from mlwright.kernel.clock import now_us
from mlwright.kernel.clock import show as show_time
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Invalid, NotFound, nearest
from mlwright.kernel.ids import ArtifactId, VersionId, new_id
from mlwright.kernel.pages import Keys, Page, page_of
from mlwright.kernel.plan import Change, Plan
from mlwright.versioning import search
from mlwright.versioning.references import LATEST, Reference, check_name, is_reported_name, parse_reference

_SQL = Queries.beside(__file__)

Kind = Literal["dataset", "model"]
TAKEN_OVER = "taken_over"
"""What stands in the `about` of a model's version that came from another workspace."""


class Version(Struct, frozen=True):
    """One version, which never changes.

    Args:
        about: what is known of it: a dataset's columns and tags, a model's metrics and signature.
    """

    id: VersionId
    kind: Kind
    name: str
    number: int
    artifact_id: ArtifactId
    digest: Digest
    size_bytes: int
    message: str
    about: dict[str, Any]
    created_us: int

    @property
    def reference(self) -> str:
        """`name@3`."""
        return f"{self.name}@{self.number}"

    @property
    def tags(self) -> dict[str, str]:
        """Keys and values that it was given when it was made."""
        return dict(self.about.get("tags") or {})

    @property
    def end(self) -> End:
        """The version as an end of edges."""
        return End("version", self.id)


class AliasMove(Struct, frozen=True):
    """An alias was pointed elsewhere: from which number (None at first) to which, by whom, why, when.

    Args:
        to_number: None when it was taken away.
    """

    alias: str
    from_number: int | None
    to_number: int | None
    actor: str
    reason: str
    at_us: int


class Versions:
    """The versions of one kind."""

    def __init__(self, database: Database, kind: Kind) -> None:
        self._database = database
        self.kind: Kind = kind

    def add(
        self,
        tx: Transaction,
        name: str,
        artifact_id: ArtifactId,
        *,
        message: str,
        about: dict[str, Any],
        number: int | None = None,
        reported: bool = False,
    ) -> Version:
        """Give an artifact the next number under a name, or a certain one, with the edge that ties them.

        Args:
            reported: a client named it, so that its name need not be one that we give.

        Raises:
            Invalid: it cannot be named so.
            Conflict: the version with that number is there already, or was removed.
        """
        if not (reported and is_reported_name(name)):
            check_name(name, self.kind)
        if number is not None and (gone := self._removed(name, number)):
            raise Conflict(f"{gone}: its number is not given again")
        identity = VersionId(new_id())
        tx.read(
            _SQL["add_version"],
            id=identity,
            kind=self.kind,
            name=name,
            number=number,
            artifact_id=artifact_id,
            message=message,
            about=json.dumps(about, ensure_ascii=False),
            created_us=now_us(),
        )
        made = _version(tx.read(_SQL["version_by_id"], id=identity)[0])
        if self.kind == "model":
            tx.execute(_SQL["ensure_registered"], name=name, at_us=made.created_us)
        edges.add(tx, [Edge(made.end, "artifact", End("artifact", artifact_id))])
        search.add(tx, made.id, self.kind, name, message, about)
        events.record(
            tx,
            f"{self.kind}.added",
            made.end,
            reference=made.reference,
            digest=made.digest,
            message=message,
        )
        return made

    def next_number(self, name: str) -> int:
        """The number that the next version under a name will have."""
        return int(self._database.read(_SQL["next_number"], kind=self.kind, name=name)[0]["number"])

    def resolve(self, text: str) -> Version:
        """The version a reference means now.

        Raises:
            Invalid: it is no reference, or a digest that fits several.
            NotFound: it means nothing here; the message names what is near.
        """
        reference = parse_reference(text, self.kind)
        if (found := self.find(reference)) is not None:
            return found
        if reference.number is not None and (gone := self._removed(reference.name, reference.number)):
            raise NotFound(gone)
        versions = self.named(reference.name)
        if not versions and (gone := self._removed(reference.name)):
            raise NotFound(f"no version of {self.kind} `{reference.name}` is left: {gone}")
        if not versions:
            known = [row["name"] for row in self._database.read(_SQL["names_of_kind"], kind=self.kind)]
            add = (
                "mlwright datasets add PATH --name"
                if self.kind == "dataset"
                else "mlwright run PIPELINE, or mlwright models register RUN/STEP --name"
            )
            raise NotFound(
                f"there is no {self.kind} `{reference.name}`",
                hint=nearest(reference.name, known) or f"make it: {add} {reference.name}",
            )
        selectors = [str(version.number) for version in versions[:5]] + sorted(self.aliases(reference.name))
        raise NotFound(
            f"{self.kind} `{reference.name}` has no version `{str(reference).partition('@')[2]}`",
            hint=f"it has @{', @'.join(selectors)}",
        )

    def find(self, reference: Reference) -> Version | None:
        """The version a reference means, or None."""
        name = {"kind": self.kind, "name": reference.name}
        if reference.number is not None:
            return self.numbered(self._database, reference.name, reference.number)
        if reference.digest is not None:
            rows = self._database.read(_SQL["version_with_digest"], **name, prefix=reference.digest)
            if len({row["digest"] for row in rows}) > 1:
                raise Invalid(f"{reference} fits several versions", hint="type more of the digest")
        else:
            rows = self._database.read(_SQL["alias_target"], **name, alias=reference.alias)
            if rows:
                return self.by_id(rows[0]["version_id"])
            if reference.alias == LATEST:
                rows = self._database.read(_SQL["versions_named"], **name)
        return _version(rows[0]) if rows else None

    def numbered(self, source: Source, name: str, number: int) -> Version | None:
        """The version with a number under a name, as it is seen in `source`."""
        rows = source.read(_SQL["version_numbered"], kind=self.kind, name=name, number=number)
        return _version(rows[0]) if rows else None

    def by_id(self, identity: str, source: Source | None = None) -> Version:
        """The version with a whole id, as it is seen in `source`.

        Raises:
            NotFound: there is none.
        """
        rows = (source or self._database).read(_SQL["version_by_id"], id=identity)
        if not rows:
            raise NotFound(f"there is no version {identity}")
        return _version(rows[0])

    def label(self, identity: str) -> str:
        """How a version is named to people, by its whole id, of either kind; also one that was removed.

        Raises:
            NotFound: there is none, and was none.
        """
        if gone := self._database.read(_SQL["removal_by_id"], version_id=identity):
            return f"{gone[0]['kind']} {gone[0]['name']}@{gone[0]['number']} (removed)"
        version = self.by_id(identity)
        return f"{version.kind} {version.reference}"

    def exists(self, source: Source, identity: str) -> bool:
        """Whether a version is there, as it is seen in `source`."""
        return bool(source.read(_SQL["version_by_id"], id=identity))

    def newest(self) -> list[Version]:
        """The newest version under each name."""
        return [_version(row) for row in self._database.read(_SQL["newest_versions"], kind=self.kind)]

    def page(self, name: str = "", *, newest: bool = False, limit: int, token: str = "") -> Page[Version]:
        """The newest version under each name, by name; or every version under one, newest first.

        Args:
            name: the one.
            newest: what was made last first, instead of by name.
            limit: at most so many.
            token: of the page before.

        Raises:
            NotFound: there is no such name.
            Invalid: the token is of another search.
        """
        found = self.named(self.resolve(name).name) if name else self.newest()

        def key(version: Version) -> Keys:
            when = (-version.created_us,) if newest else ()
            return (*when, version.name, -version.number)

        return page_of(found, key, f"{self.kind} {newest} {name}", limit, token)

    def named(self, name: str, source: Source | None = None) -> list[Version]:
        """Every version under a name, newest first, as it is seen in `source`."""
        rows = (source or self._database).read(_SQL["versions_named"], kind=self.kind, name=name)
        return [_version(row) for row in rows]

    def is_taken_over(self, version: Version, source: Source | None = None) -> bool:
        """Whether a model is here only since something was compared with it: nobody registered it here."""
        if self.kind != "model" or TAKEN_OVER in version.about:
            return self.kind == "model"
        made_by = edges.made_from(source or self._database, version.end, "run")
        return not (made_by or version.about.get("source"))

    def aliases(self, name: str) -> dict[str, Version]:
        """What each alias under a name means."""
        rows = self._database.read(_SQL["aliases_of_name"], kind=self.kind, name=name)
        return {row["alias"]: self.by_id(row["version_id"]) for row in rows}

    def aliases_of(self, version: Version) -> tuple[str, ...]:
        """The aliases that mean a version now."""
        return tuple(alias for alias, target in self.aliases(version.name).items() if target.id == version.id)

    def alias_moves(self, name: str) -> list[AliasMove]:
        """The history of the aliases under a name, newest first."""
        rows = self._database.read(_SQL["alias_moves"], kind=self.kind, name=name)
        return [AliasMove(**row) for row in rows]

    def plan_alias(self, text: str, alias: str) -> Plan:
        """What pointing an alias at a version would change.

        Raises:
            Invalid: the alias cannot be one.
            NotFound: there is no such version.
        """
        target = self.resolve(text)
        _check_alias(alias)
        if self.is_taken_over(target):
            raise Invalid(
                f"{target.reference} was taken over from another workspace: it is not one of this one",
                hint=f"see by what: mlwright lineage {target.reference} --down",
            )
        now = self.aliases(target.name).get(alias)
        subject = f"{target.name}@{alias}"
        if now == target:
            return Plan("alias", (Change("keep", subject, f"is {target.reference} already"),))
        why = f"{now.reference if now else 'nothing'} -> {target.reference}"
        return Plan("alias", (Change("move", subject, why),))

    def set_alias(self, text: str, alias: str, *, reason: str = "") -> Plan:
        """Point an alias at a version; the move is kept with who, when, from, to and why."""
        plan = self.plan_alias(text, alias)
        if not plan.empty:
            with self._database.transaction() as tx:
                self.move_alias(tx, self.resolve(text), alias, reason=reason)
        return plan

    def move_alias(self, tx: Transaction, version: Version, alias: str, *, reason: str) -> None:
        """Point an alias at a version, inside a transaction."""
        before = self._alias_before(tx, version.name, alias)
        tx.execute(_SQL["set_alias"], kind=self.kind, name=version.name, alias=alias, version_id=version.id)
        self._keep_move(tx, version.name, alias, before.number if before else None, version.number, reason)
        events.record(
            tx,
            "alias.moved",
            version.end,
            alias=f"{version.name}@{alias}",
            before=before.reference if before else None,
            after=version.reference,
            reason=reason,
        )

    def plan_alias_removal(self, name: str, alias: str) -> Plan:
        """What taking an alias away would change.

        Raises:
            NotFound: there is no such alias.
        """
        target = self._alias_target(name, alias)
        return Plan("alias", (Change("remove", f"{target.name}@{alias}", f"is {target.reference} now"),))

    def remove_alias(self, name: str, alias: str, *, reason: str = "") -> Plan:
        """Take an alias away; its history stays, with who, when and why.

        Raises:
            NotFound: there is no such alias.
        """
        plan = self.plan_alias_removal(name, alias)
        with self._database.transaction() as tx:
            self.take_alias(tx, self._alias_target(name, alias), alias, reason=reason)
        return plan

    def take_alias(self, tx: Transaction, target: Version, alias: str, *, reason: str) -> None:
        """Take an alias away from the version that it means, inside a transaction."""
        tx.execute(_SQL["remove_alias"], kind=self.kind, name=target.name, alias=alias)
        self._keep_move(tx, target.name, alias, target.number, None, reason)
        events.record(
            tx,
            "alias.removed",
            target.end,
            alias=f"{target.name}@{alias}",
            before=target.reference,
            after=None,
            reason=reason,
        )

    def _alias_target(self, name: str, alias: str) -> Version:
        name = parse_reference(name, self.kind).name
        aliases = self.aliases(name)
        if alias not in aliases:
            self.resolve(name)
            raise NotFound(
                f"{self.kind} `{name}` has no alias `{alias}`",
                hint=nearest(alias, sorted(aliases)) or "it has none",
            )
        return aliases[alias]

    def _alias_before(self, tx: Transaction, name: str, alias: str) -> Version | None:
        rows = tx.read(_SQL["alias_target"], kind=self.kind, name=name, alias=alias)
        return _version(tx.read(_SQL["version_by_id"], id=rows[0]["version_id"])[0]) if rows else None

    def _keep_move(
        self, tx: Transaction, name: str, alias: str, before: int | None, after: int | None, reason: str
    ) -> None:
        tx.execute(
            _SQL["add_alias_move"],
            kind=self.kind,
            name=name,
            alias=alias,
            from_number=before,
            to_number=after,
            actor=events.actor(),
            reason=reason,
            at_us=now_us(),
        )

    def _removed(self, name: str, number: int | None = None) -> str:
        """What became of a version, or of the newest one, that was removed; empty if none was."""
        rows = self._database.read(_SQL["removals"], kind=self.kind, name=name, number=number)
        if not rows:
            return ""
        newest = rows[0]
        why = f": {newest['reason']}" if newest["reason"] else ""
        return f"{name}@{newest['number']} was removed {show_time(newest['at_us'])} by {newest['actor']}{why}"


def _check_alias(alias: str) -> None:
    check_name(alias, "alias")
    if alias == LATEST:
        raise Invalid(
            f"`{LATEST}` always means the newest version: it cannot be set", hint="choose another alias"
        )


def _version(row: dict[str, Any]) -> Version:
    return Version(**{**row, "about": json.loads(row["about"])})
