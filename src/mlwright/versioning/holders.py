"""Who holds bytes: the artifacts, versions and snapshots of a digest, of a file on disk, of a commit."""

from __future__ import annotations

from pathlib import Path

from mlwright.kernel import edges
from mlwright.kernel.database import Database, Queries
from mlwright.kernel.digest import Digest, digest_of, digest_of_file
from mlwright.kernel.edges import End
from mlwright.storage import InlineObjects, Places, Tree
from mlwright.storage.scan import scan
from mlwright.storage.trees import KIND as TREE_KIND
from mlwright.storage.trees import Entry, load_tree
from mlwright.versioning.lineage import Start

_SQL = Queries.beside(__file__)


def artifacts_with(database: Database, beginning: str) -> list[Start]:
    """The artifacts with bytes whose digest begins so; those of equal bytes together, as these bytes."""
    found: dict[End, list[End]] = {}
    for row in database.read(_SQL["artifacts_with_digest"], prefix=beginning):
        found.setdefault(End(row["kind"], row["digest"]), []).append(End("artifact", row["id"]))
    return [Start(made[0]) if len(made) == 1 else Start(data, tuple(made)) for data, made in found.items()]


def commits(database: Database, beginning: str) -> list[Start]:
    """The Git commits that begin so and that snapshots were taken at, each with these."""
    found: dict[str, list[End]] = {}
    for row in database.read(_SQL["snapshots_of_commit"], prefix=beginning):
        found.setdefault(row["git_commit"], []).append(End("snapshot", row["digest"]))
    return [Start(End("commit", commit), tuple(taken), "commit") for commit, taken in found.items()]


def files_with(database: Database, objects: InlineObjects, beginning: str) -> list[Start]:
    """The files of datasets, folders and snapshots whose digest begins so. Every tree on record is looked at.

    Raises:
        NotFound, Corrupt: a tree cannot be read: what it holds cannot be known.
    """
    found: dict[str, list[End]] = {}
    mark = f'"{beginning}'.encode()
    for digest in edges.ends(database, "tree"):
        if mark not in objects.get(Digest(digest), kind=TREE_KIND):
            continue  # most trees do not have it: they are not decoded
        entries = load_tree(objects, Digest(digest)).entries
        for data in {entry.digest for entry in entries if entry.digest.startswith(beginning)}:
            found.setdefault(data, []).extend(_holders(database, End("tree", digest)))
    return [Start(End("object", data), tuple(dict.fromkeys(ends))) for data, ends in found.items()]


def holders_of_path(
    database: Database, objects: InlineObjects, places: Places, path: Path
) -> tuple[End, ...]:
    """What on record holds the bytes of a file, or just the files of a folder, as they are on disk now.

    Raises:
        Invalid: it cannot be read.
        NotFound, Corrupt: as `files_with`.
    """
    if path.is_dir():
        return tuple(_holders(database, End("tree", _digest_of_folder(path, places))))
    digest = digest_of_file(path)
    ends = _holders(database, End("object", digest))
    for start in files_with(database, objects, digest):
        ends += start.holders
    return tuple(dict.fromkeys(ends))


def _holders(database: Database, data: End) -> list[End]:
    """The snapshots and artifacts with these bytes, the versions that artifacts are before each of them."""
    found: list[End] = []
    for edge in edges.made_into(database, data):
        if edge.later.kind == "artifact":
            found += [each.later for each in edges.made_into(database, edge.later, "artifact")]
        if edge.later.kind in {"artifact", "snapshot"}:
            found.append(edge.later)
    return found


def _digest_of_folder(path: Path, places: Places) -> Digest:
    sources = scan(path)
    place = places.of(path)
    known = place.digests(sources) if place else {}
    entries = tuple(
        Entry(
            each.path,
            each.size_bytes,
            known.get(each.path) or digest_of_file(Path(each.file)),
            each.executable,
        )
        for each in sources
    )
    return digest_of(Tree(entries).encode(), TREE_KIND)
