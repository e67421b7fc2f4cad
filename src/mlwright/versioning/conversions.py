"""Conversions of model versions to ONNX: bytes that answer the same, or why there are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel import edges, events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.versioning.artifacts import Artifact, add_artifacts, artifact, new_artifact
from mlwright.versioning.versions import Version

_SQL = Queries.beside(__file__)


class Conversion(Struct, frozen=True):
    """What became of converting a version.

    Args:
        used: whether a server answers with it.
        why: it is not used; empty if it is.
        rows: of the training's table that it was compared on.
        of: how many rows that table has.
        difference: the largest between two probabilities; 0 where there are none.
        by: the libraries that converted, with their versions.
        recipe: what was asked for and how; another one is reason to convert anew.
        digest: of the ONNX bytes; empty if it is not used, as is `environment`, the lock they are served in.
    """

    used: bool
    why: str = ""
    rows: int = 0
    of: int = 0
    difference: float = 0.0
    by: str = ""
    recipe: str = ""
    digest: Digest = Digest("")
    size_bytes: int = 0
    environment: str = ""
    created_us: int = 0


def conversion_of(source: Source, version: str) -> Conversion | None:
    """What became of converting a version; None where nobody has tried.

    Args:
        version: its id.
    """
    rows = source.read(_SQL["conversion_of"], version_id=version)
    if not rows:
        return None
    row = rows[0]
    made = End("artifact", row["artifact_id"] or "")
    locks = edges.made_from(source, made, "environment") if made.id else []
    return Conversion(
        used=bool(row["used"]),
        why=row["why"],
        **json.loads(row["about"]),
        digest=Digest(row["digest"] or ""),
        size_bytes=row["size_bytes"] or 0,
        environment=locks[0].earlier.id if locks else "",
        created_us=row["created_us"],
    )


def converted_artifact(source: Source, version: Version, digest: str) -> Artifact | None:
    """The bytes of a conversion of a version, also of one that another has replaced; None if it is gone.

    Args:
        digest: of the bytes.
    """
    made = (artifact(source, edge.later.id) for edge in edges.made_into(source, version.end, "converted"))
    return next((each for each in made if each.digest == digest), None)


def adopt_conversion(tx: Transaction, version: Version, made: Artifact) -> Artifact:
    """Take the bytes of a conversion over from another workspace, for a run that predicted; twice is once.

    No server answers with them: nothing is on record of how they were compared.

    Args:
        made: as it is recorded there; its bytes are here.
    """
    known = converted_artifact(tx, version, made.digest)
    if known is not None:
        return known
    adopted = new_artifact(
        codec=made.codec,
        type_text=made.type,
        digest=made.digest,
        size_bytes=made.size_bytes,
        about=made.about,
        ours=False,
    )
    add_artifacts(tx, [adopted])
    edges.add(tx, [Edge(adopted.end, "converted", version.end)])
    return adopted


def record_conversion(
    tx: Transaction,
    version: Version,
    told: Mapping[str, Any],
    recipe: str,
    made: Artifact | None = None,
    environment: End | None = None,
) -> Conversion:
    """Write down what became of converting a version, instead of what was on record.

    Args:
        told: by the step that converted: `used`, `why`, `rows`, `of`, `difference`, `by`.
        made: the ONNX bytes, durable already.
        environment: the lock that they are served in.
    """
    remove_conversion(tx, version.id)
    if made is not None:
        add_artifacts(tx, [made])
        made_from = [Edge(made.end, "converted", version.end)]
        if environment is not None:
            made_from.append(Edge(made.end, "environment", environment))
        edges.add(tx, made_from)
    about = {name: told[name] for name in ("rows", "of", "difference", "by") if name in told}
    tx.execute(
        _SQL["add_conversion"],
        version_id=version.id,
        used=int(made is not None),
        why=told.get("why", ""),
        about=json.dumps({**about, "recipe": recipe}, ensure_ascii=False),
        artifact_id=None if made is None else made.id,
        created_us=now_us(),
    )
    events.record(
        tx,
        "model.converted",
        version.end,
        reference=version.reference,
        used=made is not None,
        reason=told.get("why", ""),
    )
    found = conversion_of(tx, version.id)
    assert found is not None
    return found


def remove_conversion(tx: Transaction, version: str) -> None:
    """Take the conversion of a version away; its bytes go when garbage is collected.

    Those that a run has predicted with stay, so that it can be explained and made again.
    """
    for row in tx.read(_SQL["conversion_of"], version_id=version):
        tx.execute(_SQL["remove_conversion"], version_id=version)
        made = row["artifact_id"]
        if made is not None and not edges.made_into(tx, End("artifact", made)):
            edges.remove(tx, End("artifact", made))
            tx.execute(_SQL["remove_artifact"], id=made)
