"""Doors: the operations on artifacts, and lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mlwright.kernel.edges import End
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.storage.trees import Entry
from mlwright.versioning.lineage import Walk
from mlwright.versioning.summaries import FirstRows
from mlwright.workflow.artifacts import NamedArtifact
from mlwright.workflow.impact import Impact

if TYPE_CHECKING:
    from mlwright.app import Project


class ArtifactDetail(Struct, frozen=True):
    """An artifact, and its value where that is short JSON or text.

    Args:
        maker: the attempt that made it, as it is named to people; empty where none did.
        value: as JSON, in ASCII; None where it is not shown.
        lines: the same for people; what a terminal would not show, or obey, is escaped.
    """

    artifact: NamedArtifact
    maker: str
    value: str | None
    lines: list[str]


@operation("GET", "/artifacts", Permission.READ)
def list_artifacts(project: Project, *, run: str = "latest") -> list[NamedArtifact]:
    """What the steps of a run made, reuse and logged.

    Args:
        run: its id, the beginning of it, or `latest`.

    Raises:
        NotFound: there is no such run.
    """
    return project.artifacts.list(run)


@operation("GET", "/artifacts/{reference:path}", Permission.READ)
def show_artifact(project: Project, reference: str) -> ArtifactDetail:
    """One artifact, and what is known of its value without loading it; small JSON and text as it is.

    Args:
        reference: `RUN/STEP/NAME`, `RUN/STEP`, `b3:DIGEST` or its id.

    Raises:
        NotFound: there is none.
        Invalid: it fits several.
    """
    found = project.artifacts.get(reference)
    value = project.artifacts.value(found)
    maker = project.lineage.label(End("attempt", found.made_by)) if found.made_by else ""
    shown = (bytes(value.json).decode("ascii"), value.lines) if value else (None, [])
    return ArtifactDetail(found, maker, *shown)


@operation("GET", "/rows/artifacts/{reference:path}", Permission.READ)
def first_rows(project: Project, reference: str) -> FirstRows:
    """The first 20 rows of an artifact that is a small table.

    Args:
        reference: as for an artifact.

    Raises:
        NotFound: there is none.
        Invalid: it is no table, or larger than 8 MiB.
    """
    found = project.artifacts.get(reference)
    made = found.artifact
    return project.datasets.first_rows(Entry(found.file_name, made.size_bytes, made.digest))


@operation("GET", "/lineage/{reference:path}", Permission.READ)
def show_lineage(project: Project, reference: str, *, down: bool = False, with_bytes: bool = False) -> Walk:
    """What a thing was made from, or what came of it: edges, and how each thing is called.

    Args:
        reference: a dataset or model version, a run, `RUN/STEP`, a prediction id, a digest, a Git commit.
        down: what came of it.
        with_bytes: objects and trees too.

    Raises:
        NotFound: nothing has that name.
        Invalid: it fits several things.
    """
    return project.lineage.walk(reference, down=down, with_bytes=with_bytes)


@operation("GET", "/impact/{reference:path}", Permission.READ)
def show_impact(project: Project, reference: str) -> Impact:
    """What is affected if a thing was wrong: runs, models, datasets; and what makes them again.

    Args:
        reference: as for lineage.

    Raises:
        NotFound: nothing has that name.
        Invalid: it fits several things.
    """
    return project.impact(reference)


@operation("GET", "/openlineage/{reference:path}", Permission.READ)
def show_openlineage(project: Project, reference: str, *, down: bool = False) -> list[dict[str, Any]]:
    """The events of a run in OpenLineage's words; of another thing, of all runs that it came of.

    Args:
        reference: as for lineage.
        down: of all runs that came of it.

    Raises:
        NotFound: nothing has that name.
        Invalid: it fits several things.
    """
    return project.openlineage(reference, down=down)


OPERATIONS = (list_artifacts, show_artifact, first_rows, show_lineage, show_impact, show_openlineage)
"""All of them."""
