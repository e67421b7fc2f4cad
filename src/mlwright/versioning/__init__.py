"""Versions of everything a result is made of: code, datasets, models; and the way back from each.

Law: a version never changes; names that move keep their history.
"""

from mlwright.versioning.apart import Apart
from mlwright.versioning.artifacts import (
    Artifact,
    add_artifact,
    add_artifacts,
    artifact,
    artifacts_of,
    new_artifact,
)
from mlwright.versioning.conversions import Conversion
from mlwright.versioning.datasets import Datasets
from mlwright.versioning.lineage import Finder, Labeller, Lineage, LineageNode, Start
from mlwright.versioning.models import ModelDetail, Models
from mlwright.versioning.references import Reference, parse_reference
from mlwright.versioning.signatures import Signature
from mlwright.versioning.snapshots import Snapshot, Snapshots
from mlwright.versioning.versions import Version, Versions

__all__ = [
    "Apart",
    "Artifact",
    "Conversion",
    "Datasets",
    "Finder",
    "Labeller",
    "Lineage",
    "LineageNode",
    "ModelDetail",
    "Models",
    "Reference",
    "Signature",
    "Snapshot",
    "Snapshots",
    "Start",
    "Version",
    "Versions",
    "add_artifact",
    "add_artifacts",
    "artifact",
    "artifacts_of",
    "new_artifact",
    "parse_reference",
]
