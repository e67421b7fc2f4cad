"""Versions of models as clients of another protocol know them: those that they reported, and ours.

A version that a client reports is frozen: the files at its source become a tree at that moment, which the
client may no longer change. It is never loaded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from mlwright.kernel import edges, events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.words import cut
from mlwright.sdk.codec_names import TREE
from mlwright.versioning.artifacts import add_artifact
from mlwright.versioning.references import LATEST, is_reported_alias
from mlwright.versioning.registered import Registered
from mlwright.versioning.versions import Version

_SQL = Queries.beside(__file__)
_SHOWN = 100
NO_STAGE = "None"
STAGES = (NO_STAGE, "Staging", "Production", "Archived")
"""What clients of MLflow 2 move versions through."""
ACTIVE = frozenset({"Staging", "Production"})


class Reported(Struct, frozen=True):
    """What a client tells of a version that it registers.

    Args:
        source: where its files are, as the client names it.
        tree: digest of the manifest of its files, which is durable; or `copy_of`.
        size_bytes: of all its files.
        flavor: what wrote them: `mlflow.sklearn`.
        copy_of: the id of the version of which this is another; `about` is what that tells of itself.
        known: what the files tell: flavors, requirements, versions of Python and MLflow, the commit.
        run: the id of the run that it came of, as far as it is on record; `run_id` is what the client said.
        metrics, parameters: of that run.
    """

    source: str
    tree: Digest | None = None
    size_bytes: int = 0
    flavor: str = "mlflow"
    copy_of: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    run_id: str = ""
    run_link: str = ""
    model_id: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


class ReportedVersion(Struct, frozen=True):
    """A version of a model as a client knows it.

    Args:
        description: None when the client took it away.
        source: as its client named it; empty of a version that was made here.
        model_id: the logged model that it was made of.
    """

    id: str
    name: str
    number: int
    artifact_id: str
    digest: Digest
    size_bytes: int
    description: str | None
    stage: str
    source: str
    run_id: str
    run_link: str
    model_id: str
    created_us: int
    updated_us: int
    tags: dict[str, str]
    aliases: tuple[str, ...]

    @property
    def end(self) -> End:
        """The version as an end of edges."""
        return End("version", self.id)


class ReportedVersions:
    """The versions of models, for clients. Whoever changes one gives the transaction."""

    def __init__(self, database: Database) -> None:
        self.names = Registered(database)
        self._versions = self.names.versions

    def add(self, tx: Transaction, name: str, told: Reported) -> ReportedVersion:
        """Make what a client reports the next version under a name.

        No alias moves: what is `champion` is decided here.

        Raises:
            NotFound: the name is not registered, or the version to copy is gone.
        """
        self.names.get(tx, name)
        artifact = _artifact_of(tx, told)
        about: dict[str, Any] = told.about or {
            "metrics": told.metrics,
            "parameters": told.parameters,
            "signature": None,
            "source": {"name": told.source, "format": told.flavor},
            "known": told.known,
        }
        about = {name: each for name, each in about.items() if name != "tags"}
        about |= {"tags": told.tags} if told.tags else {}
        made = self._versions.add(tx, name, artifact, message=told.description, about=about, reported=True)
        made_with = [Edge(made.end, "run", End("run", told.run))] if told.run else []
        if told.model_id:
            made_with.append(Edge(made.end, "logged_model", End("logged_model", told.model_id)))
        edges.add(tx, made_with)
        tx.execute(
            _SQL["set_reported"],
            version_id=made.id,
            description=told.description,
            stage=NO_STAGE,
            source=told.source,
            run_id=told.run_id,
            run_link=told.run_link,
            model_id=told.model_id,
            at_us=made.created_us,
        )
        for tag, value in told.tags.items():
            tx.execute(_SQL["set_version_tag"], version_id=made.id, name=tag, value=value)
        return self.get(tx, name, made.number)

    def get(self, source: Source, name: str, number: int) -> ReportedVersion:
        """The version with a number.

        Raises:
            NotFound: there is none.
        """
        held = 0 <= number < 2**63
        rows = source.read(_SQL["reported_by_number"], name=name, number=number) if held else []
        if not rows:
            raise NotFound(f"there is no version {number} of the model {cut(name, _SHOWN)!r}")
        return _version(source, rows[0])

    def by_id(self, source: Source, identity: str) -> ReportedVersion:
        """The version with a whole id.

        Raises:
            NotFound: there is none.
        """
        rows = source.read(_SQL["reported_by_id"], id=identity)
        if not rows:
            raise NotFound(f"there is no version {cut(identity, _SHOWN)!r}")
        return _version(source, rows[0])

    def by_alias(self, source: Source, name: str, alias: str) -> ReportedVersion:
        """The version that an alias means; `latest` is the newest.

        Raises:
            NotFound: the name is not registered; or has no version, for `latest`.
            Invalid: it has no such alias.
        """
        aliases = self.names.get(source, name).aliases
        if alias.lower() == LATEST:
            newest = self._versions.named(name, source)
            return self.get(source, name, newest[0].number if newest else 0)
        if alias not in aliases:
            raise Invalid(f"the model {name!r} has no alias {cut(alias, _SHOWN)!r}")
        return self.get(source, name, aliases[alias])

    def latest(self, source: Source, name: str, stages: Sequence[str] = ()) -> list[ReportedVersion]:
        """The newest version in each stage, or in each of some.

        Raises:
            NotFound: the name is not registered.
            Invalid: there is no such stage.
        """
        self.names.get(source, name)
        wanted = {stage_named(stage) for stage in stages or STAGES}
        rows = source.read(_SQL["newest_by_stage"], name=name)
        found = [self.get(source, name, row["number"]) for row in rows]
        return [version for version in found if version.stage in wanted]

    def describe(self, tx: Transaction, name: str, number: int, description: str | None) -> ReportedVersion:
        """Say what a version is; None takes what was said away.

        Raises:
            NotFound: there is none.
        """
        known = self.get(tx, name, number)
        if known.description != description:
            events.record(
                tx,
                "version.described",
                known.end,
                reference=f"{name}@{number}",
                before=known.description,
                after=description,
            )
        return self._say(tx, known, description=description)

    def move(
        self, tx: Transaction, name: str, number: int, stage: str, *, archive: bool = False
    ) -> ReportedVersion:
        """Put a version into a stage.

        Args:
            archive: the versions that are in that stage now are archived.

        Raises:
            NotFound: there is none.
            Invalid: there is no such stage; or `archive` for one that is not active.
        """
        wanted = stage_named(stage)
        if archive and wanted not in ACTIVE:
            raise Invalid(f"versions are archived for Staging and Production, not for {wanted}")
        known = self.get(tx, name, number)
        for row in tx.read(_SQL["reported_by_number"], name=name, number=None) if archive else []:
            if row["stage"] == wanted and row["number"] != number:
                self._put(tx, _version(tx, row), "Archived")
        tx.execute(_SQL["touch_registered"], name=name, at_us=now_us())
        return self._put(tx, known, wanted)

    def remove(self, tx: Transaction, name: str, number: int, *, reason: str = "") -> None:
        """Take a version away with the aliases that mean it; its number is not given again.

        Raises:
            NotFound: there is none.
            Conflict: something else refers to it: a run that compared with it, a deployment.
        """
        version = self._known(tx, name, number)
        self.names.removal.remove_reported(tx, version, reason)
        tx.execute(_SQL["touch_registered"], name=name, at_us=now_us())

    def set_tag(self, tx: Transaction, name: str, number: int, tag: str, value: str) -> None:
        """Give a version a tag, or another value to one that it has.

        Raises:
            NotFound: there is no such version.
        """
        version = self.get(tx, name, number)
        before = version.tags.get(tag)
        tx.execute(_SQL["set_version_tag"], version_id=version.id, name=tag, value=value)
        if before != value:
            events.record(
                tx,
                "version.tagged",
                version.end,
                reference=f"{name}@{number}",
                tag=tag,
                before=before,
                after=value,
            )

    def remove_tag(self, tx: Transaction, name: str, number: int, tag: str) -> None:
        """Take a tag from a version; one that it has not is none.

        Raises:
            NotFound: there is no such version.
        """
        version = self.get(tx, name, number)
        if tx.execute(_SQL["drop_version_tag"], version_id=version.id, name=tag):
            events.record(
                tx,
                "version.untagged",
                version.end,
                reference=f"{name}@{number}",
                tag=tag,
                before=version.tags.get(tag),
                after=None,
            )

    def set_alias(self, tx: Transaction, name: str, alias: str, number: int) -> None:
        """Point an alias at a version; the move is kept with who, when, from and to.

        Raises:
            NotFound: there is no such version.
            Invalid: the alias cannot be one.
            Conflict: the version was taken over from another workspace.
        """
        version = self._known(tx, name, number)
        if not is_reported_alias(alias) or alias.lower() == LATEST:
            raise Invalid(
                f"{cut(alias, _SHOWN)!r} cannot be an alias",
                hint="letters, digits, `_` and `-`, not digits alone, and not `latest`",
            )
        if self._versions.is_taken_over(version, tx):
            raise Conflict(f"{version.reference} was taken over from another workspace: no alias means it")
        if self.names.get(tx, name).aliases.get(alias) != number:
            self._versions.move_alias(tx, version, alias, reason="")

    def remove_alias(self, tx: Transaction, name: str, alias: str) -> None:
        """Take an alias away; its history stays. One that is not there is none.

        Raises:
            NotFound: the name is not registered.
        """
        number = self.names.get(tx, name).aliases.get(alias)
        if number is not None:
            self._versions.take_alias(tx, self._known(tx, name, number), alias, reason="")

    def _known(self, tx: Transaction, name: str, number: int) -> Version:
        return self._versions.by_id(self.get(tx, name, number).id, tx)

    def _put(self, tx: Transaction, version: ReportedVersion, stage: str) -> ReportedVersion:
        if version.stage != stage:
            reference = f"{version.name}@{version.number}"
            events.record(
                tx, "version.staged", version.end, reference=reference, before=version.stage, after=stage
            )
        return self._say(tx, version, stage=stage)

    def _say(self, tx: Transaction, version: ReportedVersion, **said: str | None) -> ReportedVersion:
        row: Mapping[str, Any] = {"description": version.description, "stage": version.stage} | said
        tx.execute(
            _SQL["set_reported"],
            version_id=version.id,
            source=version.source,
            run_id=version.run_id,
            run_link=version.run_link,
            model_id=version.model_id,
            at_us=now_us(),
            **row,
        )
        return self.get(tx, version.name, version.number)


def stage_named(text: str) -> str:
    """A stage, however its letters are written.

    Raises:
        Invalid: there is none.
    """
    for stage in STAGES:
        if stage.lower() == text.lower():
            return stage
    raise Invalid(
        f"Invalid Model Version stage: {cut(text, _SHOWN)}. Value must be one of {', '.join(STAGES)}."
    )


def _artifact_of(tx: Transaction, told: Reported) -> Any:
    if told.copy_of:
        rows = tx.read(_SQL["version_by_id"], id=told.copy_of)
        if not rows:
            raise NotFound(f"the version that {cut(told.source, _SHOWN)!r} names was deleted meanwhile")
        return rows[0]["artifact_id"]
    assert told.tree is not None
    return add_artifact(
        tx,
        codec=TREE,
        type_text=told.flavor,
        digest=told.tree,
        size_bytes=told.size_bytes,
        about=told.known,
        ours=False,
    ).id


def _version(source: Source, row: dict[str, Any]) -> ReportedVersion:
    """A row as a version; what nobody has said of one that was made here, it tells itself."""
    run, message = row.pop("run"), row.pop("message")
    if row["stage"] is None:
        own = {"run_id": run or "", "updated_us": row["created_us"], "description": message}
        row |= {"stage": NO_STAGE, "source": "", "run_link": "", "model_id": ""} | own
    tags = source.read(_SQL["version_tags"], version_id=row["id"])
    aliases = source.read(_SQL["aliases_of_version"], version_id=row["id"])
    return ReportedVersion(
        **row,
        tags={each["name"]: each["value"] for each in tags},
        aliases=tuple(each["alias"] for each in aliases),
    )
