"""Datasets: files under a name, numbered, never changed."""

from __future__ import annotations

import csv
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlwright.kernel.database import Database
from mlwright.kernel.digest import digest_of, digest_of_file
from mlwright.kernel.errors import Invalid
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.words import counted
from mlwright.sdk.dataset import Dataset
from mlwright.storage import InlineObjects, Tree, load_tree, scan, store_tree
from mlwright.storage.trees import KIND as TREE_KIND
from mlwright.storage.trees import Entry, Source
from mlwright.versioning.artifacts import TREE, add_artifact
from mlwright.versioning.catalogue import Catalogue
from mlwright.versioning.references import LATEST, Reference, check_name
from mlwright.versioning.tags import check_tags
from mlwright.versioning.versions import Version, Versions


class Datasets(Catalogue):
    """The datasets of a workspace.

    Args:
        summaries: where summaries of tables are remembered.
        python: gives an interpreter that has pyarrow, or None: without one, tables are not summarised.
    """

    def __init__(
        self,
        database: Database,
        objects: InlineObjects,
        *,
        summaries: Path | None = None,
        python: Callable[[], Path | None] = lambda: None,
    ) -> None:
        super().__init__(database, Versions(database, "dataset"), summaries, python)
        self._objects = objects

    def plan_add(self, path: Path, name: str) -> Plan:
        """What adding would do. Everything is read, nothing is stored.

        Raises:
            Invalid: the path is missing, empty, or not a table though it ends in .csv.
        """
        sources = _sources(path, name)
        newest = self.versions.find(Reference(name, alias=LATEST))
        tree = Tree(tuple(_entry(source) for source in sources))
        if newest is not None and newest.digest == digest_of(tree.encode(), TREE_KIND):
            return Plan(
                f"dataset {name}", (Change("keep", newest.reference, "the same bytes are there already"),)
            )
        number = self.versions.next_number(name)
        what = f"{counted(len(sources), 'file')}, {counted(tree.size_bytes, 'byte')}"
        return Plan(f"dataset {name}", (Change("add", f"{name}@{number}", what),))

    def add(
        self, path: Path, name: str, *, message: str = "", tags: Mapping[str, str] | None = None
    ) -> tuple[Version, bool]:
        """Make the files at `path` the next version under `name`.

        Args:
            tags: keys and values that are kept with the version, shown and searched.

        Returns:
            The version, and whether it is new: the bytes of the newest version again are that version.

        Raises:
            Invalid: as `plan_add`; or a tag cannot be one.
            Unavailable: the disk is full; nothing half-written is visible.
        """
        tags = check_tags(tags or {})
        sources = _sources(path, name)
        digest, tree = store_tree(self._objects, sources)
        with self._database.transaction() as tx:
            newest = self.versions.find(Reference(name, alias=LATEST))
            if newest is not None and newest.digest == digest:
                return newest, False
            about = {"files": len(tree.entries), "columns": _columns(sources)}
            made = add_artifact(
                tx,
                codec=TREE,
                type_text="mlwright.Dataset",
                digest=digest,
                size_bytes=tree.size_bytes,
                about=about,
                ours=False,
            )
            told = {**about, "tags": tags} if tags else about
            return self.versions.add(tx, name, made.id, message=message, about=told), True

    def adopt(self, version: Version, source: InlineObjects) -> Version:
        """Take a version over from another workspace, with its bytes and its number; twice is once."""
        known = self.versions.find(Reference(version.name, number=version.number))
        if known is not None and known.digest == version.digest:
            return known
        for entry in load_tree(source, version.digest).entries:
            self._objects.put(source.path(entry.digest))
        self._objects.put(source.get(version.digest, kind=TREE_KIND), kind=TREE_KIND)
        with self._database.transaction() as tx:
            made = add_artifact(
                tx,
                codec=TREE,
                type_text="mlwright.Dataset",
                digest=version.digest,
                size_bytes=version.size_bytes,
                about=version.about,
                ours=False,
            )
            return self.versions.add(
                tx,
                version.name,
                made.id,
                message=version.message,
                about=version.about,
                number=version.number,
            )

    def open(self, text: str, scratch: Path) -> Dataset:
        """A dataset whose files can be read here and now.

        Args:
            text: a reference.
            scratch: where copies of its files may be made.
        """
        version = self.versions.resolve(text)
        return Dataset(version.reference, files=self.files(version), scratch=scratch)

    def files(self, version: Version) -> dict[str, Path]:
        """The stored file behind each path of a version."""
        return {entry.path: self._objects.path(entry.digest) for entry in self.tree(version).entries}

    def verify(self, version: Version) -> None:
        """Read every file of a version in full, whatever was found of it before.

        Raises:
            NotFound: a file is not in the store.
            Corrupt: one is damaged.
        """
        for entry in self.tree(version).entries:
            self._objects.path(entry.digest, verify=True)

    def tree(self, version: Version) -> Tree:
        """The manifest of a version."""
        return load_tree(self._objects, version.digest)

    def file(self, entry: Entry) -> Path:
        """The stored file behind one entry of a manifest."""
        return self._objects.path(entry.digest)


def _sources(path: Path, name: str) -> list[Source]:
    check_name(name, "dataset")
    sources = scan(path)
    for source in sources:
        if source.file.suffix.lower() == ".csv":
            _check_csv(source.file)
        elif path.is_file() and not source.file.stat().st_size:
            raise Invalid(f"{path} is empty")
    return sources


def _check_csv(file: Path) -> None:
    head = _csv_head(file)
    if not head:
        raise Invalid(f"{file} is empty", hint="a table needs a line of column names and at least one row")
    if len(head) < 2:
        raise Invalid(f"{file} has column names but no rows")


def _csv_head(file: Path) -> list[list[str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = (row for row in csv.reader(lines) if row)
            return [row for row, _ in zip(rows, range(2), strict=False)]
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text: {error.reason}", hint="save it as UTF-8") from error
    except csv.Error as error:
        raise Invalid(f"{file} is not CSV: {error}") from error


def _columns(sources: Sequence[Source]) -> list[str] | None:
    if len(sources) == 1 and sources[0].file.suffix.lower() == ".csv":
        return _csv_head(sources[0].file)[0]
    return None


def _entry(source: Source) -> Entry:
    """What `store_tree` would make of a file."""
    status = source.file.stat()
    executable = bool(status.st_mode & stat.S_IXUSR)
    return Entry(source.path, status.st_size, digest_of_file(source.file), executable)
