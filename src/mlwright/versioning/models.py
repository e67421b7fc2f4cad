"""Models: the registry. Versions never change; aliases move, each move with its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.database import Database, Queries, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import NotFound
from mlwright.kernel.plan import Plan
from mlwright.storage import InlineObjects
from mlwright.versioning.apart import Apart, apart_of
from mlwright.versioning.artifacts import Artifact, add_artifact, artifact
from mlwright.versioning.conversions import Conversion, conversion_of
from mlwright.versioning.references import Reference
from mlwright.versioning.removal import Removal
from mlwright.versioning.signatures import Signature, signature_from
from mlwright.versioning.snapshots import Snapshot
from mlwright.versioning.versions import TAKEN_OVER, AliasMove, Version, Versions

_SQL = Queries.beside(__file__)
CHAMPION = "champion"


class PredictorCode(Struct, frozen=True):
    """The code of the class that answers with a model; the class itself is in the signature.

    Args:
        snapshot: where it is imported from.
        digest: of all project code that it reaches: with another, the same bytes are another version.
    """

    snapshot: Snapshot
    digest: Digest


class ModelDetail(Struct, frozen=True):
    """A model version and what stands behind it.

    Args:
        signature: what it takes and gives; None of a file for which nobody has told it.
        run: the id of the run that made it; empty of a file that was brought in, as is `code`.
        code: digest of the snapshot.
        data: the dataset versions the run read, by what asked for them.
        environment: digest of the lock of the environment that it can be loaded in.
        licence: as the project says, or whoever registered it; empty if nobody did.
        source: of a file that was brought in: its name and format.
        registered_by: who made it a version.
        predictor: digest of the snapshot that its predictor is imported from; empty without one.
        conversion: to ONNX; None if nobody has tried.
        apart: why it is served by a process of its own; None if it need not be, as far as anybody has tried.
        labels: how code (`snapshot`), environment (`lock`) and run are named to people.
    """

    version: Version
    artifact: Artifact
    aliases: tuple[str, ...]
    moves: tuple[AliasMove, ...]
    metrics: dict[str, float]
    parameters: dict[str, Any]
    signature: Signature | None
    run: str
    code: str
    data: dict[str, str]
    environment: str
    licence: str
    source: dict[str, str]
    registered_by: str
    predictor: str = ""
    labels: dict[str, str] = {}
    conversion: Conversion | None = None
    apart: Apart | None = None


class Models:
    """The models of a workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.versions = Versions(database, "model")
        self._datasets = Versions(database, "dataset")
        self._removal = Removal(database, self.versions)

    def record(
        self,
        tx: Transaction,
        name: str,
        model: Artifact,
        *,
        signature: Artifact | None,
        signature_value: Mapping[str, Any] | None,
        scores: Artifact | None,
        metrics: Mapping[str, float],
        parameters: Mapping[str, Any],
        run: End | None,
        message: str,
        environment: End | None = None,
        licence: str = "",
        source: Mapping[str, str] | None = None,
        by_hand: bool = False,
        predictor: PredictorCode | None = None,
    ) -> tuple[Version, str]:
        """Make an artifact a version, unless one holds the same bytes already.

        Args:
            run: that made it; None for a file that was brought in.
            environment: the lock it is loaded with, if that is not the run's own.
            source: of a file that was brought in: its name and format.
            by_hand: no gate of a pipeline stands before it.
            predictor: the code of the class that answers with it, if its signature names one.

        Returns:
            The version, and what was done in words.
        """
        if signature_value is not None:
            signature_from(signature_value)
        code = "" if predictor is None else predictor.digest
        if (known := self.holding(name, model.digest, code)) is not None:
            return known, f"{known.reference} holds these bytes already"
        about: dict[str, Any] = {
            "metrics": dict(metrics),
            "parameters": dict(parameters),
            "signature": None if signature_value is None else dict(signature_value),
        }
        about |= {"predictor": code} if code else {}
        about |= {"licence": licence} if licence else {}
        about |= {"source": dict(source)} if source else {}
        made = self.versions.add(tx, name, model.id, message=message, about=about)
        made_with = []
        if run is not None:
            made_with.append(Edge(made.end, "run", run))
        if signature is not None:
            made_with.append(Edge(made.end, "signature", signature.end))
        if scores is not None:
            made_with.append(Edge(made.end, "metrics", scores.end))
        if environment is not None:
            made_with.append(Edge(made.end, "environment", environment))
        if predictor is not None:
            made_with.append(Edge(made.end, "predictor", predictor.snapshot.end))
        edges.add(tx, made_with)
        if CHAMPION in self.versions.aliases(name):
            return made, f"{made.reference} registered"
        first = "the first version" if run is None or by_hand else "the first version that passed"
        self.versions.move_alias(tx, made, CHAMPION, reason=first)
        return made, f"{made.reference} registered, {name}@{CHAMPION} from now on"

    def holding(self, name: str, digest: str, predictor: str = "") -> Version | None:
        """The newest version under a name that has these bytes, and was registered here.

        Args:
            predictor: and whose predictor's code has this digest; empty for one that has none.
        """
        same = (
            version
            for version in self.versions.named(name)
            if version.digest == digest and version.about.get("predictor", "") == predictor
        )
        return next((version for version in same if not self.versions.is_taken_over(version)), None)

    def adopt(self, version: Version, model: Artifact, source: InlineObjects, objects: InlineObjects) -> None:
        """Take a version over from another workspace, with its bytes and its number; twice is once.

        No alias moves.
        """
        known = self.versions.find(Reference(version.name, number=version.number))
        if known is not None and known.digest == version.digest:
            return
        objects.put(source.get(model.digest))
        with self._database.transaction() as tx:
            self.record_adopted(tx, version, model)

    def record_adopted(self, tx: Transaction, version: Version, model: Artifact) -> Version:
        """The records of `adopt` only: its bytes are here. Twice is once."""
        known = self.versions.numbered(tx, version.name, version.number)
        if known is not None and known.digest == version.digest:
            return known
        made = add_artifact(
            tx,
            codec=model.codec,
            type_text=model.type,
            digest=model.digest,
            size_bytes=model.size_bytes,
            about=model.about,
            ours=False,
        )
        # A file that was registered there names its `source`, as one that was registered here does.
        about = {**version.about, TAKEN_OVER: True}
        return self.versions.add(
            tx, version.name, made.id, message=version.message, about=about, number=version.number
        )

    def detail(self, text: str) -> ModelDetail:
        """Everything that is known of a version.

        Raises:
            NotFound: there is no such version, or it was taken over from another workspace.
        """
        version = self.versions.resolve(text)
        if self.versions.is_taken_over(version):
            raise NotFound(
                f"{version.reference} was taken over from another workspace:"
                " what it was made from is recorded there",
                hint=f"see what was compared with it: mlwright lineage {version.reference} --down",
            )
        runs = edges.made_from(self._database, version.end, "run")
        source = dict(version.about.get("source") or {})
        run = runs[0].earlier if runs else None
        own = edges.made_from(self._database, version.end, "environment")
        told = version.about["signature"]
        return ModelDetail(
            version=version,
            artifact=artifact(self._database, version.artifact_id),
            aliases=self.versions.aliases_of(version),
            moves=tuple(self.versions.alias_moves(version.name)),
            metrics=version.about["metrics"],
            parameters=version.about["parameters"],
            signature=None if told is None else signature_from(told),
            run=run.id if run else "",
            code=self._behind(run, "code"),
            data={} if run is None else self._data(run),
            environment=own[0].earlier.id if own else self._behind(run, "environment"),
            licence=version.about.get("licence", ""),
            source=source,
            registered_by=self._registered_by(version),
            predictor=self._behind(version.end, "predictor"),
            conversion=conversion_of(self._database, version.id),
            apart=apart_of(self._database, version.id),
        )

    def plan_remove(self, *references: str, every: bool = False) -> Plan:
        """What `remove` would take away.

        Raises:
            Invalid, NotFound, Conflict: as `remove`.
        """
        return self._removal.plan(references, every=every)

    def remove(self, *references: str, every: bool = False, reason: str = "") -> Plan:
        """Take versions away: all that are named, or none. Numbers are not given again.

        The bytes go when garbage is collected, unless the run that made them still names them.

        Args:
            references: each to one version; with `every`, names.
            every: all versions under each name.
            reason: why; kept with who and when.

        Raises:
            Invalid: a bare name without `every`, or a version with it.
            NotFound: there is no such version.
            Conflict: an alias points at one of them, or a gate compared with it; the message names what.
        """
        return self._removal.apply(references, every=every, reason=reason)

    def _data(self, run: End) -> dict[str, str]:
        return {
            edge.role.removeprefix("data:"): self._datasets.by_id(edge.earlier.id).reference
            for edge in edges.made_from(self._database, run)
            if edge.role.startswith("data:")
        }

    def _behind(self, end: End | None, role: str) -> str:
        found = edges.made_from(self._database, end, role) if end else []
        return found[0].earlier.id if found else ""

    def _registered_by(self, version: Version) -> str:
        rows = self._database.read(_SQL["who_added"], id=version.id)
        return str(rows[0]["actor"]) if rows else ""
