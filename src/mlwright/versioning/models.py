"""Models: the registry. Versions never change; aliases move, each move with its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import NotFound
from mlwright.storage import InlineObjects
from mlwright.versioning.artifacts import Artifact, add_artifact, artifact
from mlwright.versioning.references import Reference
from mlwright.versioning.signatures import Signature, signature_from
from mlwright.versioning.versions import AliasMove, Version, Versions

CHAMPION = "champion"


class ModelDetail(Struct, frozen=True):
    """A model version and what stands behind it.

    Args:
        run: the id of the run that registered it.
        code: digest of the snapshot.
        data: the dataset versions the run read, by what asked for them.
        environment: digest of the lock of the environment that it can be loaded in.
    """

    version: Version
    artifact: Artifact
    aliases: tuple[str, ...]
    moves: tuple[AliasMove, ...]
    metrics: dict[str, float]
    parameters: dict[str, Any]
    signature: Signature
    run: str
    code: str
    data: dict[str, str]
    environment: str


class Models:
    """The models of a workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.versions = Versions(database, "model")
        self._datasets = Versions(database, "dataset")

    def register(
        self,
        tx: Transaction,
        name: str,
        model: Artifact,
        *,
        signature: Artifact,
        signature_value: Mapping[str, Any],
        scores: Artifact | None,
        metrics: Mapping[str, float],
        parameters: Mapping[str, Any],
        run: End,
        message: str,
        environment: End | None = None,
    ) -> tuple[Version, str]:
        """Make an artifact a version, unless one holds the same bytes already.

        Args:
            environment: the lock it is loaded with, if that is not the run's own.

        Returns:
            The version, and what was done in words.
        """
        signature_from(signature_value)
        known = [version for version in self.versions.named(name) if version.digest == model.digest]
        if known:
            return known[0], f"{known[0].reference} holds these bytes already"
        about = {"metrics": dict(metrics), "parameters": dict(parameters), "signature": dict(signature_value)}
        made = self.versions.add(tx, name, model.id, message=message, about=about)
        made_with = [Edge(made.end, "run", run), Edge(made.end, "signature", signature.end)]
        if scores is not None:
            made_with.append(Edge(made.end, "metrics", scores.end))
        if environment is not None:
            made_with.append(Edge(made.end, "environment", environment))
        edges.add(tx, made_with)
        if CHAMPION in self.versions.aliases(name):
            return made, f"{made.reference} registered"
        self.versions.move_alias(tx, made, CHAMPION, reason="the first version that passed")
        return made, f"{made.reference} registered, {name}@{CHAMPION} from now on"

    def adopt(self, version: Version, model: Artifact, source: InlineObjects, objects: InlineObjects) -> None:
        """Take a version over from another workspace, with its bytes and its number; twice is once.

        No alias moves.
        """
        known = self.versions.find(Reference(version.name, number=version.number))
        if known is not None and known.digest == version.digest:
            return
        objects.put(source.get(model.digest))
        with self._database.transaction() as tx:
            made = add_artifact(
                tx,
                codec=model.codec,
                type_text=model.type,
                digest=model.digest,
                size_bytes=model.size_bytes,
                about=model.about,
                ours=False,
            )
            self.versions.add(
                tx,
                version.name,
                made.id,
                message=version.message,
                about=version.about,
                number=version.number,
            )

    def detail(self, text: str) -> ModelDetail:
        """Everything that is known of a version.

        Raises:
            NotFound: there is no such version, or it was taken over from another workspace.
        """
        version = self.versions.resolve(text)
        runs = edges.made_from(self._database, version.end, "run")
        if not runs:
            raise NotFound(
                f"{version.reference} was taken over from another workspace:"
                " what it was made from is recorded there"
            )
        run = runs[0].earlier
        own = edges.made_from(self._database, version.end, "environment")
        aliases = self.versions.aliases(version.name)
        return ModelDetail(
            version=version,
            artifact=artifact(self._database, version.artifact_id),
            aliases=tuple(alias for alias, target in aliases.items() if target.id == version.id),
            moves=tuple(self.versions.alias_moves(version.name)),
            metrics=version.about["metrics"],
            parameters=version.about["parameters"],
            signature=signature_from(version.about["signature"]),
            run=run.id,
            code=self._behind(run, "code").id,
            data={
                edge.role.removeprefix("data:"): self._datasets.by_id(edge.earlier.id).reference
                for edge in edges.made_from(self._database, run)
                if edge.role.startswith("data:")
            },
            environment=own[0].earlier.id if own else self._behind(run, "environment").id,
        )

    def _behind(self, end: End, role: str) -> End:
        return edges.made_from(self._database, end, role)[0].earlier
