"""Taking versions away: never one that something refers to, and never so that its number comes again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel import edges, events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.errors import Conflict, Invalid
from mlwright.kernel.ids import short
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.versioning import search
from mlwright.versioning.apart import remove_apart
from mlwright.versioning.conversions import remove_conversion
from mlwright.versioning.references import parse_reference
from mlwright.versioning.versions import Version, Versions

_SQL = Queries.beside(__file__)
_NAMED = 10
"""More referrers than these are counted."""


class Referrers(Struct, frozen=True):
    """What keeps a version: its aliases, runs that used it, versions that came of it; each by its name."""

    aliases: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.aliases or self.runs or self.versions or self.others)

    def in_words(self) -> str:
        """The first ones by their names, then how many more there are."""
        names = [
            *(f"the alias {name}" for name in self.aliases),
            *self.versions,
            *(f"run {name}" for name in self.runs),
            *self.others,
        ]
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more


class Removal:
    """Removes versions of one kind."""

    def __init__(self, database: Database, versions: Versions) -> None:
        self._database = database
        self._versions = versions

    def plan(self, references: Sequence[str], *, every: bool = False) -> Plan:
        """What removing would take away.

        Args:
            references: each to one version; with `every`, names.
            every: all versions under each name.

        Raises:
            Invalid: a bare name without `every`, or a version with it; or nothing is named.
            NotFound: there is no such version.
            Conflict: something refers to one of them; the message names what.
        """
        return self._plan(self._chosen(references, every=every), self._database)

    def apply(self, references: Sequence[str], *, every: bool = False, reason: str = "") -> Plan:
        """Remove versions: all, or none. Their bytes go when garbage is collected.

        Raises:
            Invalid, NotFound, Conflict: as `plan`.
        """
        with self._database.transaction() as tx:
            chosen = self._chosen(references, every=every)
            plan = self._plan(chosen, tx)
            if every:
                for name in {version.name for version in chosen}:
                    search.remove_name(tx, self._versions.kind, name)
            for version in chosen:
                if not every:
                    search.remove(tx, version.id)
                self._remove(tx, version, reason)
        return plan

    def remove_reported(self, tx: Transaction, version: Version, reason: str) -> None:
        """Remove a version with its aliases, inside a transaction.

        Raises:
            Conflict: something else refers to it; the message names what.
        """
        search.remove(tx, version.id)
        self._remove_reported(tx, version, reason)

    def remove_all_reported(self, tx: Transaction, name: str, reason: str) -> None:
        """Remove every version under a name, as `remove_reported` does each.

        Raises:
            Conflict: something else refers to one of them; the message names what.
        """
        search.remove_name(tx, self._versions.kind, name)
        for version in self._versions.named(name, tx):
            self._remove_reported(tx, version, reason)

    def referrers(self, version: Version, source: Source | None = None) -> Referrers:
        """What keeps a version."""
        aliases = tuple(f"{version.name}@{alias}" for alias in self._versions.aliases_of(version))
        return replace(self._users(version, source or self._database), aliases=aliases)

    def _users(self, version: Version, source: Source) -> Referrers:
        """What keeps a version but for its aliases, which are not looked up."""
        runs, versions, others = set(), set(), set()
        for edge in edges.made_into(source, version.end):
            later = edge.later
            if edge.role == "converted":
                continue  # it goes with its version
            if later.kind == "attempt":
                runs |= {each.earlier.id for each in edges.made_from(source, later, "of")}
            elif later.kind == "run":
                runs.add(later.id)
            elif later.kind == "prediction_batch":
                others.add("its recorded predictions (mlwright predictions rm)")
            elif later.kind != "version":
                others.add(f"{later.kind} {later.id}")
        for edge in edges.walk(source, version.end, down=True):
            if edge.later.kind == "version" and edge.later != version.end:
                made = self._versions.by_id(edge.later.id, source)
                versions.add(f"{made.kind} {made.reference}")
        return Referrers(
            runs=tuple(short(run) for run in sorted(runs, reverse=True)),
            versions=tuple(sorted(versions)),
            others=tuple(sorted(others)),
        )

    def _chosen(self, references: Sequence[str], *, every: bool) -> list[Version]:
        kind = self._versions.kind
        chosen: dict[str, Version] = {}
        for text in references:
            name, at, _ = text.partition("@")
            parse_reference(text, kind)
            if every and at:
                raise Invalid(
                    f"{text!r} names one version, and --all means every one", hint=f"leave out `@...`: {name}"
                )
            if not every and not at:
                newest = self._versions.resolve(name)
                raise Invalid(
                    f"{text!r} does not say which version",
                    hint=f"name one: {newest.reference}; or remove all of them: {name} --all",
                )
            found = self._versions.resolve(text)
            for version in self._versions.named(found.name)[::-1] if every else [found]:
                chosen[version.id] = version
        if not chosen:
            raise Invalid("no version is named", hint=f"mlwright {kind}s list")
        return list(chosen.values())

    def _plan(self, chosen: Sequence[Version], source: Source) -> Plan:
        kept = [(version, found) for version in chosen if (found := self.referrers(version, source))]
        if kept:
            lines = [f"{version.reference} is in use: {found.in_words()}" for version, found in kept]
            more = [f"and {counted(len(lines) - _NAMED, 'version')} more"] if len(lines) > _NAMED else []
            raise Conflict("\n".join(lines[:_NAMED] + more), hint=self._way(kept))
        changes = [
            Change(
                "remove", version.reference, f"{counted(version.size_bytes, 'byte')}; its number stays taken"
            )
            for version in chosen
        ]
        return Plan(f"remove {self._versions.kind}s", tuple(changes))

    def _way(self, kept: Sequence[tuple[Version, Referrers]]) -> str:
        """What to do about what refers to them."""
        for version, found in kept:
            if found.aliases and not (found.runs or found.versions or found.others):
                alias = found.aliases[0].partition("@")[2]
                return f"mlwright {self._versions.kind}s alias {version.name} {alias} --delete"
        version = kept[0][0]
        return (
            f"what a run used stays, so that it can be explained: mlwright lineage {version.reference} --down"
        )

    def _remove_reported(self, tx: Transaction, version: Version, reason: str) -> None:
        """Remove a version with its aliases, but for what searches know of it."""
        if found := self._users(version, tx):
            raise Conflict(f"{version.reference} is in use: {found.in_words()}")
        for row in tx.read(_SQL["aliases_of_version"], version_id=version.id):
            self._versions.take_alias(tx, version, row["alias"], reason=reason)
        self._remove(tx, version, reason)

    def _remove(self, tx: Transaction, version: Version, reason: str) -> None:
        tx.execute(
            _SQL["add_removal"],
            version_id=version.id,
            kind=version.kind,
            name=version.name,
            number=version.number,
            actor=events.actor(),
            reason=reason,
            at_us=now_us(),
        )
        remove_conversion(tx, version.id)
        remove_apart(tx, version.id)
        behind = [edge.earlier for edge in edges.made_from(tx, version.end)]
        edges.remove(tx, version.end)
        tx.execute(_SQL["remove_version"], id=version.id)
        for artifact in [end for end in behind if end.kind == "artifact"]:
            made_by_nobody = all(edge.role == "bytes" for edge in edges.made_from(tx, artifact))
            unused = made_by_nobody and not edges.made_into(tx, artifact)
            if unused and tx.execute(_SQL["remove_artifact"], id=artifact.id):
                edges.remove(tx, artifact)
        events.record(
            tx,
            f"{version.kind}.removed",
            version.end,
            reference=version.reference,
            before={"digest": version.digest, "message": version.message},
            after=None,
            reason=reason,
        )
