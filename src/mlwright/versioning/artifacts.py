"""Artifacts: values with a type, a codec and a digest, made by an attempt or brought in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Incompatible, Invalid, NotFound
from mlwright.kernel.ids import ArtifactId, new_id
from mlwright.sdk.codec_names import PICKLE, TREE

_SQL = Queries.beside(__file__)


class Artifact(Struct, frozen=True):
    """A value as it is recorded.

    Args:
        codec: what reads its bytes.
        type: what it was in Python, as `pandas.DataFrame`.
        about: what its codec told of it: rows, columns, shape.
        ours: an attempt that our own executor ran wrote it; nothing else is ever trusted with pickle.
    """

    id: ArtifactId
    codec: str
    type: str
    digest: Digest
    size_bytes: int
    about: dict[str, Any]
    ours: bool
    created_us: int

    @property
    def end(self) -> End:
        """The artifact as an end of edges."""
        return End("artifact", self.id)

    @property
    def unsafe(self) -> bool:
        """Whether loading it runs what its bytes say."""
        return self.codec == PICKLE

    def refuse_foreign_pickle(self, what: str) -> None:
        """To be asked before the bytes go to a process that loads them.

        Args:
            what: how the message names it.

        Raises:
            Incompatible: it is a pickle that no attempt of our own executor wrote.
        """
        if self.unsafe and not self.ours:
            raise Incompatible(
                f"{what} is stored as pickle, and was not made by a run of this workspace: loading it could"
                " run anything",
                hint="make it here, by running the pipeline that gives it; or store it by a codec that is"
                " safe to load (docs/codecs.md)",
            )


def new_artifact(
    *, codec: str, type_text: str, digest: Digest, size_bytes: int, about: dict[str, Any], ours: bool
) -> Artifact:
    """An artifact that is to be recorded; its bytes are durable before it is."""
    return Artifact(ArtifactId(new_id()), codec, type_text, digest, size_bytes, about, ours, now_us())


def add_artifacts(tx: Transaction, artifacts: Iterable[Artifact]) -> None:
    """Record artifacts, each with the edge to its bytes."""
    artifacts = list(artifacts)
    tx.execute_many(
        _SQL["add_artifact"],
        [
            {
                "id": each.id,
                "codec": each.codec,
                "type": each.type,
                "digest": each.digest,
                "size_bytes": each.size_bytes,
                "about": json.dumps(each.about, ensure_ascii=False),
                "ours": int(each.ours),
                "created_us": each.created_us,
            }
            for each in artifacts
        ],
    )
    edges.add(
        tx,
        [
            Edge(each.end, "bytes", End("tree" if each.codec == TREE else "object", each.digest))
            for each in artifacts
        ],
    )


def add_artifact(
    tx: Transaction,
    *,
    codec: str,
    type_text: str,
    digest: Digest,
    size_bytes: int,
    about: dict[str, Any],
    ours: bool,
) -> Artifact:
    """Record one artifact, with the edge to its bytes. The bytes must be durable before."""
    made = new_artifact(
        codec=codec, type_text=type_text, digest=digest, size_bytes=size_bytes, about=about, ours=ours
    )
    add_artifacts(tx, [made])
    return made


def add_dataset(tx: Transaction, digest: Digest, size_bytes: int, about: Mapping[str, Any]) -> Artifact:
    """Record the files of a dataset, which were brought in. The bytes must be durable before.

    Args:
        digest: of their tree.
        size_bytes: of all files together.
    """
    return add_artifact(
        tx,
        codec=TREE,
        type_text="mlwright.Dataset",
        digest=digest,
        size_bytes=size_bytes,
        about=dict(about),
        ours=False,
    )


def artifact(source: Source, identity: str) -> Artifact:
    """One artifact by its whole id.

    Raises:
        NotFound: there is none.
    """
    rows = source.read(_SQL["artifact_by_id"], id=identity)
    if not rows:
        raise NotFound(f"there is no artifact {identity}")
    return _artifact(rows[0])


def artifact_by_digest(database: Database, digest: str) -> Artifact | None:
    """The first artifact with these bytes, by a digest or its beginning.

    Raises:
        Invalid: the beginning fits different bytes.
    """
    if len(database.read(_SQL["artifact_digests"], prefix=digest)) > 1:
        raise Invalid(f"b3:{digest} fits several artifacts", hint="type more of the digest")
    rows = database.read(_SQL["artifact_with_digest"], prefix=digest)
    return _artifact(rows[0]) if rows else None


def artifact_by_prefix(database: Database, prefix: str) -> Artifact | None:
    """The artifact with an id, or the beginning of one.

    Raises:
        Invalid: the beginning fits several.
    """
    rows = database.read(_SQL["artifacts_by_prefix"], prefix=prefix)
    if len(rows) > 1:
        raise Invalid(f"{prefix} fits several artifacts", hint="type more of the id")
    return _artifact(rows[0]) if rows else None


def artifacts_of(database: Database, attempt: str) -> dict[str, Artifact]:
    """The outputs of an attempt, by name."""
    found = edges.made_into(database, End("attempt", attempt))
    return {
        edge.role.removeprefix("output:"): artifact(database, edge.later.id)
        for edge in found
        if edge.role.startswith("output:")
    }


def _artifact(row: dict[str, Any]) -> Artifact:
    return Artifact(**{**row, "about": json.loads(row["about"]), "ours": bool(row["ours"])})
