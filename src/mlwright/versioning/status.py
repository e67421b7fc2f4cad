"""Status: what has changed on a disk since it was added as a version, or checked out."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from mlwright.kernel.digest import digest_of_file
from mlwright.kernel.errors import Invalid
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage import Place, Source, scan
from mlwright.storage.places import Line
from mlwright.storage.scan import is_bare
from mlwright.versioning.versions import Version


class PlaceStatus(Struct, frozen=True):
    """What has changed at a place since a version was added from there, or checked out to there.

    Args:
        reference: of the version.
        where: the file or folder.
        missing: there is nothing any more.
    """

    reference: str
    where: str
    missing: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing has changed."""
        return not (self.missing or self.added or self.removed or self.changed)

    @property
    def summary(self) -> str:
        """In a few words."""
        if self.missing:
            return "is not there any more"
        counts = {"added": self.added, "removed": self.removed, "changed": self.changed}
        told = [f"{len(names):,} {what}" for what, names in counts.items() if names]
        return ", ".join(told) or "unchanged"


def status_of(version: Version, place: Place, root: Path, progress: Progress = SILENT) -> PlaceStatus:
    """What has changed at a place since a version was added from there, or checked out to there.

    Args:
        root: what places are shown relative to.
        progress: hears of what has to be read: files that look other than they did.

    Raises:
        Invalid: there is what cannot be in a dataset.
    """
    path = Path(place.where)
    where = str(path.relative_to(root)) if path.is_relative_to(root) else place.where
    if not path.exists():
        return PlaceStatus(version.reference, where, missing=True)
    try:
        sources = scan(path)
    except Invalid:
        if path.is_file() or not is_bare(path):
            raise
        sources = []
    lines = {line.path: line for line in place.lines}
    added, looks_new = [], []
    for source in sources:
        line = lines.pop(source.path, None)
        if line is None:
            added.append(source.path)
        elif line.state != source.state or line.executable != source.executable:
            looks_new.append((source, line))
    with progress.work(f"reading {path.name}", sum(source.size_bytes for source, _ in looks_new)):
        changed = tuple(source.path for source, line in looks_new if _has_changed(source, line, progress))
    return PlaceStatus(version.reference, where, False, tuple(added), tuple(lines), changed)


def _has_changed(source: Source, line: Line, progress: Progress) -> bool:
    progress.advance(source.size_bytes)
    if (source.size_bytes, source.executable) != (line.state[0], line.executable):
        return True
    return digest_of_file(Path(source.file)) != line.digest
