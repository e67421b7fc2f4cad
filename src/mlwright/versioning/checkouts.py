"""Checkouts: the files of a dataset's version on a disk, to be read and edited."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from msgspec import Struct

from mlwright.kernel.digest import Digest, digest_of_file
from mlwright.kernel.errors import Conflict, Invalid, Unavailable
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted
from mlwright.storage import Entry, InlineObjects, Place, Places, Source, Tree, check_out, load_tree, scan
from mlwright.storage.scan import State, is_bare, settle
from mlwright.versioning.versions import Version

_NAMED = 5
_ELSEWHERE = "move it away, or name another folder"


class Checkout(Struct, frozen=True):
    """What has to be done so that a version's files stand at a place.

    Args:
        where: a folder, or the file of a version that has one.
        write: the files that are not there as they should be.
        keep: those that are, and how they looked.
        remove: files of the version that stood there before, which this one does not have.
        edited: files among these whose bytes no version that stood there holds: they would be lost.
    """

    version: Version
    tree: Tree
    where: Path
    write: tuple[Entry, ...]
    keep: Mapping[str, State]
    remove: tuple[str, ...]
    edited: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """As it is shown."""
        changes = []
        if self.write:
            size = counted(sum(entry.size_bytes for entry in self.write), "byte")
            changes.append(Change("write", _some([entry.path for entry in self.write]), size))
        if self.remove:
            changes.append(Change("remove", _some(self.remove), "the version has no such file"))
        if self.keep:
            changes.append(Change("keep", _some(list(self.keep)), "the same bytes are there already"))
        return Plan(f"checkout of {self.version.reference} to {self.where}", tuple(changes))


class Checkouts:
    """Writes versions of datasets to the disk of this machine.

    Args:
        places: what this machine remembers of files it has read or written.
        recorded: whether a version that exists holds what stood at a place.
    """

    def __init__(self, objects: InlineObjects, places: Places, recorded: Callable[[Place], bool]) -> None:
        self._objects = objects
        self._places = places
        self._recorded = recorded

    def place_of(self, version: Version, dest: str | os.PathLike[str] | None) -> Path:
        """Where a version goes.

        Args:
            dest: a folder; for a version of one file the file, unless it is a folder that is there or ends
                in a slash. By default where a version of the dataset was added from, or checked out to; else
                a folder, or file, of its name.

        Raises:
            Invalid: several places are known.
        """
        tree = load_tree(self._objects, version.digest)
        if dest is None:
            known = [place.where for place in self._places if place.name == version.name]
            if len(known) > 1:
                raise Invalid(
                    f"{version.name} stands at {len(known)} places of this machine: {_some(known)}",
                    hint=f"say which: mlwright datasets checkout {version.reference} DEST",
                )
            return Path(known[0]) if known else Path(tree.entries[0].path if tree.is_file else version.name)
        where = Path(dest)
        if tree.is_file and (where.is_dir() or os.fspath(dest).endswith(os.sep)):
            return where / tree.entries[0].path
        return where

    def look(self, version: Version, where: Path, *, progress: Progress = SILENT) -> Checkout:
        """What a checkout would do. Files that look other than when they were read last are read.

        Raises:
            Conflict: a file is where a folder must be, or the other way round.
            Invalid: there is what no dataset can hold.
        """
        tree = load_tree(self._objects, version.digest)
        if not os.path.lexists(where) or (where.is_dir() and is_bare(where)):
            return Checkout(version, tree, where, tree.entries, {}, (), ())
        single = self._is_file(tree, where)
        sources = {source.path: source for source in scan(where)}
        place = self._places.of(where)
        digests = self._digests(place, sources, progress)
        # What was only read, by an `add` that was interrupted, or whose version is gone, nobody holds.
        recorded = place is not None and self._recorded(place)
        before = {line.path: line.digest for line in place.lines} if place and recorded else {}
        ours = place is not None and place.name == version.name
        wanted = {where.name if single else entry.path: entry for entry in tree.entries}
        write, keep, edited = [], {}, []
        for path, entry in wanted.items():
            source = sources.get(path)
            if source and (digests[path], source.executable) == (entry.digest, entry.executable):
                keep[path] = source.state
                continue
            write.append(entry)
            if source and digests[path] not in {before.get(path), entry.digest}:
                edited.append(path)
        gone = [path for path in before if ours and path in sources and path not in wanted]
        edited += [path for path in gone if digests[path] != before[path]]
        _check_ways(where, wanted, sources.keys() - set(gone))
        return Checkout(version, tree, where, tuple(write), keep, tuple(gone), tuple(edited))

    def apply(
        self, checkout: Checkout, *, force: bool = False, link: bool = False, progress: Progress = SILENT
    ) -> None:
        """Do what was looked at: all new files are written beside, then put in place.

        Args:
            force: write over files that were edited.
            link: make hard links to stored files; who edits one edits the store.

        Raises:
            Conflict: files were edited, and `force` is not given.
            Corrupt: stored bytes are damaged; nothing is changed.
            Unavailable: the disk is full; the files so far wait beside, and a second try continues.
        """
        if checkout.edited and not force:
            raise Conflict(
                f"{_some(checkout.edited)} at {checkout.where} would be lost: no version holds"
                f" {'it' if len(checkout.edited) == 1 else 'them'} as edited",
                hint="add it as a version first: mlwright datasets add, or write over it: --force",
            )
        if not checkout.write and not checkout.remove:
            self._remember(checkout, {})
            return
        beside = _beside(checkout)
        size_bytes = sum(entry.size_bytes for entry in checkout.write)
        try:
            with progress.work(f"writing {checkout.version.reference}", size_bytes), _in_our_words():
                states = self._write_beside(checkout, beside, link=link, progress=progress)
        finally:
            if not _has_files(beside):
                shutil.rmtree(beside, ignore_errors=True)
        with _in_our_words():
            self._put_in_place(checkout, beside)
        self._remember(checkout, states)

    def _write_beside(
        self, checkout: Checkout, beside: Path, *, link: bool, progress: Progress
    ) -> dict[str, State]:
        states = {}
        waiting = {source.path: source for source in scan(beside)} if _has_files(beside) else {}
        missing = []
        for entry in checkout.write:
            found = waiting.pop(entry.path, None)
            if found and not link and _is(found, entry):
                states[entry.path] = found.state
                progress.advance(entry.size_bytes)
                continue
            if found:
                Path(found.file).unlink()
            missing.append(entry)
        for stale in waiting.values():
            Path(stale.file).unlink()
        beside.mkdir(parents=True, exist_ok=True)
        states |= check_out(self._objects, Tree(tuple(missing)), beside, link=link, progress=progress)
        return states

    def _put_in_place(self, checkout: Checkout, beside: Path) -> None:
        where = Path(os.path.realpath(checkout.where))
        if self._is_file(checkout.tree, where):
            for entry in checkout.write:
                (beside / entry.path).replace(where)
        elif not os.path.lexists(where):
            beside.rename(where)
        else:
            for path in checkout.remove:  # first: a new folder may have the name of an old file
                (where / path).unlink(missing_ok=True)
                _remove_empty((where / path).parent, where)
            for entry in checkout.write:
                target = where / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.is_dir() and not target.is_symlink():
                    target.rmdir()  # looked at before: it is empty
                (beside / entry.path).replace(target)
        shutil.rmtree(beside, ignore_errors=True)

    def _remember(self, checkout: Checkout, states: Mapping[str, State]) -> None:
        """Keep how the files look, of those that nobody touched since they were written or read."""
        where, version = checkout.where, checkout.version
        digests = {entry.path: entry.digest for entry in checkout.tree.entries}
        looks = {**checkout.keep, **states}
        if self._is_file(checkout.tree, where):
            (digests,) = ({where.name: digest} for digest in digests.values())
            (looks,) = ({where.name: state} for state in looks.values())
        files = [
            (source, digests[source.path])
            for source in scan(where)
            # Putting a file in place changes its time of change, the last of these, and nothing else.
            if source.path in looks and source.state[:3] == looks[source.path][:3]
        ]
        self._places.remember(where, files, name=version.name, of=version.id, tree=version.digest)

    def _is_file(self, tree: Tree, where: Path) -> bool:
        """Whether a version of one file goes to a file, and not into a folder.

        Raises:
            Conflict: it cannot go to what is there.
        """
        if where.is_dir():
            return False
        if tree.is_file and not os.path.lexists(where) and (place := self._places.of(where)) and place.name:
            return [line.path for line in place.lines] == [where.name]  # else a folder stood there
        if os.path.lexists(where) and not tree.is_file:
            raise Conflict(f"{where} is a file, and the version has several", hint="name a folder")
        return tree.is_file

    @staticmethod
    def _digests(place: Place | None, sources: Mapping[str, Source], progress: Progress) -> dict[str, Digest]:
        known = place.digests(sources.values()) if place else {}
        unknown = [source for source in sources.values() if source.path not in known]
        with progress.work("reading what is there", sum(source.size_bytes for source in unknown)):
            for source in unknown:
                settle(source.state[3])
                known[source.path] = digest_of_file(Path(source.file))
                progress.advance(source.size_bytes)
        return known


def _some(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED:,} more" if len(names) > _NAMED else shown


def _beside(checkout: Checkout) -> Path:
    """Where new files are written first: in the file system in which they are put in place."""
    where = Path(os.path.realpath(checkout.where))
    name = f".{where.name}.part-{checkout.version.digest[:12]}"
    return where / name if os.path.ismount(where) else where.with_name(name)


def _check_ways(where: Path, wanted: Mapping[str, Entry], stay: Set[str]) -> None:
    """Look whether each file can stand under its name.

    Args:
        stay: the files that are there and are not taken away.

    Raises:
        Conflict: a file is where a folder must be, or the other way round.
    """
    folders = {str(parent) for path in stay for parent in PurePosixPath(path).parents}
    for path in wanted:
        if path in folders:
            raise Conflict(f"{where / path} is a folder with files, and must be a file", hint=_ELSEWHERE)
        for parent in map(str, PurePosixPath(path).parents):
            if parent in stay:
                raise Conflict(f"{where / parent} is a file, and must be a folder", hint=_ELSEWHERE)


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Say what the file system refuses."""
    try:
        yield
    except OSError as error:
        name = error.filename2 or error.filename
        raise Unavailable(
            f"it cannot be written: {error.strerror}",
            where=None if name is None else str(name),
            hint="see who may write there, then run the same command again: it continues",
        ) from error


def _is(source: Source, entry: Entry) -> bool:
    """Whether a file that an interrupted checkout left is whole."""
    same = (source.size_bytes, source.executable) == (entry.size_bytes, entry.executable)
    return same and digest_of_file(Path(source.file)) == entry.digest


def _has_files(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder))


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
