"""Datasets: files under a name, numbered, never changed."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlwright.kernel import edges, leases
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Database, Transaction
from mlwright.kernel.digest import Digest, digest_of, digest_of_file
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Invalid, NotFound
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted
from mlwright.sdk.dataset import Dataset
from mlwright.sdk.ranges import Range
from mlwright.storage import (
    Entry,
    InlineObjects,
    Place,
    Places,
    Source,
    Tree,
    load_tree,
    ranges_of,
    scan,
    store_tree,
    transfer_tree,
    verify_entries,
)
from mlwright.storage.objects import RENEWED_US
from mlwright.storage.trees import KIND as TREE_KIND
from mlwright.versioning.artifacts import Artifact, add_dataset
from mlwright.versioning.catalogue import Catalogue
from mlwright.versioning.checkouts import Checkout, Checkouts
from mlwright.versioning.references import LATEST, Reference, check_name
from mlwright.versioning.status import PlaceStatus, status_of
from mlwright.versioning.tags import check_tags
from mlwright.versioning.versions import Version, Versions


class Datasets(Catalogue):
    """The datasets of a workspace.

    Args:
        places: what this machine remembers of files it has read.
        root: the project's folder.
        summaries: where summaries of tables are remembered.
        python: gives an interpreter that has pyarrow, or None: without one, tables are not summarised.
    """

    def __init__(
        self,
        database: Database,
        objects: InlineObjects,
        places: Places,
        root: Path,
        *,
        summaries: Path | None = None,
        python: Callable[[], Path | None] = lambda: None,
    ) -> None:
        super().__init__(database, Versions(database, "dataset"), summaries, python)
        self._objects = objects
        self._places = places
        self._root = root
        self._checkouts = Checkouts(objects, places, self._is_version)

    def plan_add(self, path: Path, name: str, *, progress: Progress = SILENT) -> Plan:
        """What adding would do. What has changed since it was read last is read, nothing is stored.

        Raises:
            Invalid: the path is missing, empty, or not a table though it ends in .csv.
        """
        sources = _sources(path, name)
        place = self._places.of(path)
        known = place.digests(sources) if place else {}
        with progress.work(f"reading {path.name}", sum(source.size_bytes for source in sources)):
            tree = Tree(tuple(_entry(source, known, progress) for source in sources))
        newest = self.versions.find(Reference(name, alias=LATEST))
        if newest is not None and newest.digest == digest_of(tree.encode(), TREE_KIND):
            same = Change("keep", newest.reference, "the same bytes are there already")
            return Plan(f"dataset {name}", (same,))
        number = self.versions.next_number(name)
        what = f"{counted(len(sources), 'file')}, {counted(tree.size_bytes, 'byte')}"
        return Plan(f"dataset {name}", (Change("add", f"{name}@{number}", what),))

    def add(
        self,
        path: Path,
        name: str,
        *,
        message: str = "",
        tags: Mapping[str, str] | None = None,
        about: Mapping[str, Any] | None = None,
        verify: bool = False,
        stays: bool = True,
        progress: Progress = SILENT,
    ) -> tuple[Version, bool]:
        """Make the files at `path` the next version under `name`.

        Args:
            path: a file or a folder.
            name: the dataset's.
            message: why this version exists.
            tags: keys and values that are kept with the version, shown and searched.
            about: what else is known of it.
            verify: read every file, also one that looks as it did when it was read last, and what is stored.
            stays: the files stay where they are, so that it is worth remembering how they looked.
            progress: hears of every byte.

        Returns:
            The version, and whether it is new: the bytes of the newest version again are that version.

        Raises:
            Invalid: as `plan_add`; a file that cannot be read; a tag that cannot be one.
            Conflict: a file changes or vanishes while it is read.
            Unavailable: the disk is full; nothing half-written is visible.
        """
        tags = check_tags(tags or {})
        sources = _sources(path, name)
        while True:
            began_us = now_us()
            base, known = ("", {}) if verify else self._remembered(path, sources)
            digest, tree, learned = self._store(path, name, sources, known, progress)
            told = {"files": len(tree.entries), "columns": _columns(sources), **(about or {})}
            told |= {"tags": tags} if tags else {}
            with self._database.transaction() as tx:
                # What vouched for bytes may be gone, or so long ago that what was stored first is collected.
                if now_us() - began_us > RENEWED_US or (base and not self.versions.exists(tx, base)):
                    self._places.remember(path, learned)
                    verify = False
                    continue  # each file that is known by now is looked for
                newest = self.versions.find(Reference(name, alias=LATEST))
                if new := newest is None or newest.digest != digest:
                    made = add_dataset(tx, digest, tree.size_bytes, told)
                    newest = self.versions.add(tx, name, made.id, message=message, about=told)
            assert newest is not None
            if stays:
                self._places.remember(path, learned, name=name, of=newest.id, tree=digest)
            else:
                self._places.forget(path)  # of a try that was interrupted
            return newest, new

    def take(
        self,
        tx: Transaction,
        name: str,
        made: Artifact,
        about: Mapping[str, Any],
        made_with: Mapping[str, End],
    ) -> tuple[Version, bool]:
        """Make a folder that a step made the next version under `name`.

        Args:
            made: the folder; its bytes are here.
            about: what is known of it.
            made_with: what it came of, by role.

        Returns:
            The version, and whether it is new: as with `add`.
        """
        newest = self.versions.find(Reference(name, alias=LATEST))
        if newest is not None and newest.digest == made.digest:
            return newest, False
        version = self.versions.add(tx, name, made.id, message="", about=dict(about))
        edges.add(tx, [Edge(version.end, role, end) for role, end in made_with.items()])
        return version, True

    def status(self, names: Sequence[str] = (), *, progress: Progress = SILENT) -> list[PlaceStatus]:
        """What has changed on this machine's disk since it was added, or checked out.

        Args:
            names: of datasets; all by default.
            progress: hears of what has to be read: files that look other than they did.

        Raises:
            NotFound: a dataset that does not exist, or was neither added nor checked out here.
            Invalid: a place holds what cannot be in a dataset.
        """
        names = [self.versions.resolve(name).name for name in names]
        found = [(self.versions.by_id(place.of), place) for place in self._places if self._is_version(place)]
        wanted = [(version, place) for version, place in found if not names or version.name in names]
        if lacking := sorted(set(names) - {version.name for version, _ in wanted}):
            raise NotFound(
                f"dataset `{lacking[0]}` was neither added nor checked out on this machine",
                hint=f"write it out: mlwright datasets checkout {lacking[0]}",
            )
        statuses = [status_of(version, place, self._root, progress) for version, place in wanted]
        return sorted(statuses, key=lambda each: (each.reference, each.where))

    def plan_checkout(
        self, reference: str, dest: str | os.PathLike[str] | None = None, *, progress: Progress = SILENT
    ) -> Checkout:
        """What `checkout` would do.

        Raises:
            NotFound, Invalid: the reference means nothing here, or `dest` is not clear.
            Conflict: a file is where a folder must be, or the other way round.
        """
        version = self.versions.resolve(reference)
        where = self._checkouts.place_of(version, dest)
        return self._checkouts.look(version, where, progress=progress)

    def checkout(
        self,
        reference: str,
        dest: str | os.PathLike[str] | None = None,
        *,
        force: bool = False,
        link: bool = False,
        progress: Progress = SILENT,
    ) -> Checkout:
        """Make a place hold the files of a version: what is there already is left, what is missing written.

        Args:
            reference: of the version.
            dest: a folder; for a version of one file the file, unless a folder is there or meant (`data/`).
                By default where the dataset was added from, or checked out to; else its name.
            force: write over files that were edited since.
            link: make hard links to stored files; who edits one edits the store.
            progress: hears of every byte.

        Raises:
            NotFound, Invalid: as `plan_checkout`.
            Conflict: files there were edited, and `force` is not given; or another checkout writes there.
            Corrupt: stored bytes are damaged; nothing is changed.
            Unavailable: the disk is full; a second try continues.
        """
        version = self.versions.resolve(reference)
        where = self._checkouts.place_of(version, dest)
        real = os.fsencode(os.path.realpath(where)).decode(errors="replace")
        with leases.held(self._database, f"checkout to {real}", f"another checkout writes to {where}"):
            found = self._checkouts.look(version, where, progress=progress)
            self._checkouts.apply(found, force=force, link=link, progress=progress)
        return found

    def adopt(self, version: Version, source: InlineObjects, *, progress: Progress = SILENT) -> Version:
        """Take a version over from another workspace, with its bytes and its number; twice is once."""
        known = self.versions.find(Reference(version.name, number=version.number))
        if known is not None and known.digest == version.digest:
            return known
        transfer_tree(source.packs, self._objects.packs, version.digest, progress)
        with self._database.transaction() as tx:
            return self.record_adopted(tx, version)

    def record_adopted(self, tx: Transaction, version: Version) -> Version:
        """The records of `adopt` only: its bytes are here. Twice is once."""
        known = self.versions.numbered(tx, version.name, version.number)
        if known is not None and known.digest == version.digest:
            return known
        made = add_dataset(tx, version.digest, version.size_bytes, version.about)
        return self.versions.add(
            tx, version.name, made.id, message=version.message, about=version.about, number=version.number
        )

    @property
    def incoming(self) -> Path:
        """Where files may be made that are to be added."""
        return self._objects.incoming

    def open(self, text: str, scratch: Path) -> Dataset:
        """A dataset whose files can be read here and now.

        Args:
            text: a reference.
            scratch: where copies of its files may be made.
        """
        version = self.versions.resolve(text)
        return Dataset(version.reference, files=self.files(version), scratch=scratch)

    def files(self, version: Version) -> dict[str, Range]:
        """Where the bytes of each file of a version lie, verified."""
        entries = self.tree(version).entries
        return dict(
            zip((entry.path for entry in entries), ranges_of(self._objects.packs, entries), strict=True)
        )

    def verify(self, version: Version, *, progress: Progress = SILENT) -> None:
        """Read every file of a version in full, whatever was found of it before.

        Raises:
            NotFound: a file is not in the store.
            Corrupt: one is damaged.
        """
        tree = self.tree(version)
        with progress.work(f"verifying {version.reference}", tree.size_bytes):
            verify_entries(self._objects.packs, tree.entries, progress)

    def tree(self, version: Version) -> Tree:
        """The manifest of a version."""
        return load_tree(self._objects, version.digest)

    def file(self, entry: Entry) -> Range:
        """Where the bytes of one file of a version lie, verified.

        Raises:
            NotFound: they are not in the store.
            Corrupt: they are damaged.
        """
        if self._objects.is_row(entry.digest):
            # What a step made is a row when it is small; to be read by a worker it becomes a file.
            return Range(self._objects.path(entry.digest), 0, entry.size_bytes)
        return next(iter(ranges_of(self._objects.packs, [entry])))

    def _remembered(self, path: Path, sources: Sequence[Source]) -> tuple[str, dict[str, Digest]]:
        """A version that vouches for the bytes of unchanged files, and their digests.

        Where no version does, each file whose bytes are here still.
        """
        place = self._places.of(path)
        if place is None:
            return "", {}
        known = place.digests(sources)
        if self._is_version(place) and self.versions.by_id(place.of).digest == place.tree:
            return place.of, known
        packs = self._objects.packs
        return "", {name: digest for name, digest in known.items() if packs.renew(digest)}

    def _is_version(self, place: Place) -> bool:
        return bool(place.of) and self.versions.exists(self._database, place.of)

    def _store(
        self,
        path: Path,
        name: str,
        sources: Sequence[Source],
        known: Mapping[str, Digest],
        progress: Progress,
    ) -> tuple[Digest, Tree, list[tuple[Source, Digest]]]:
        """Store what is not known; what ends it early leaves the memory of what was read."""
        learned = [(source, known[source.path]) for source in sources if source.path in known]
        try:
            with progress.work(f"adding {name}", sum(source.size_bytes for source in sources)):
                digest, tree = store_tree(
                    self._objects.packs,
                    sources,
                    known,
                    progress=progress,
                    learn=lambda source, digest: learned.append((source, digest)),
                )
        except BaseException:
            self._places.remember(path, learned)
            raise
        return digest, tree, learned


def _sources(path: Path, name: str) -> list[Source]:
    check_name(name, "dataset")
    sources = scan(path)
    if path.is_file():
        if path.suffix.lower() == ".csv":
            _check_csv(path)
        elif not sources[0].size_bytes:
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
    if len(sources) == 1 and sources[0].file.lower().endswith(".csv"):
        return _csv_head(Path(sources[0].file))[0]
    return None


def _entry(source: Source, known: Mapping[str, Digest], progress: Progress) -> Entry:
    """What `store_tree` would make of a file."""
    digest = known.get(source.path) or digest_of_file(Path(source.file))
    progress.advance(source.size_bytes)
    return Entry(source.path, source.size_bytes, digest, source.executable)
