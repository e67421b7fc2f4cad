"""Trees: a manifest of paths to objects, itself an object of the kind `tree`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from mlwright.kernel.digest import Digest, canonical
from mlwright.kernel.errors import Corrupt, Invalid
from mlwright.storage.objects import Objects

KIND = "tree"


class Entry(Struct, frozen=True):
    """One file of a tree. `path` is relative, with `/`; `executable` is all that is kept of its mode."""

    path: str
    size_bytes: int
    digest: Digest
    executable: bool = False


class Tree(Struct, frozen=True, dict=True):
    """Files by path. Equal files under equal paths are the same tree."""

    entries: tuple[Entry, ...]

    @cached_property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(entry.size_bytes for entry in self.entries)

    def encode(self) -> bytes:
        """The manifest's one text."""
        return canonical([asdict(entry) for entry in sorted(self.entries, key=lambda entry: entry.path)])


class Source(Struct, frozen=True):
    """A file on disk that is to become an entry."""

    path: str
    file: Path


def scan(path: Path) -> list[Source]:
    """The files of a folder, or the one file, as they would be stored; nothing is read.

    A link to a file stands for that file.

    Raises:
        Invalid: the path is missing, empty of files, or holds what is neither file nor folder.
        OSError: a folder cannot be read.
    """
    if not path.exists():
        raise Invalid(
            f"there is no file or folder {path}", hint="check the path: it is relative to where you are"
        )
    if path.is_file():
        return [Source(_text(path.name), path)]
    if not path.is_dir():
        raise Invalid(f"{path} is neither a file nor a folder")
    found = []
    for folder, folders, names in os.walk(path, onerror=_refuse):
        for name in folders:
            if (link := Path(folder) / name).is_symlink():
                raise Invalid(f"{link} is a link to a folder", hint="put the folder itself in its place")
        for name in names:
            file = Path(folder) / name
            if not file.is_file():
                what = "a link that leads nowhere" if file.is_symlink() else "not a regular file"
                raise Invalid(f"{file} is {what}", hint="a dataset holds files and folders only")
            found.append(Source(_text(file.relative_to(path).as_posix()), file))
    if not found:
        raise Invalid(f"{path} has no files in it")
    return sorted(found, key=lambda source: source.path)


def store_tree(objects: Objects, sources: Iterable[Source]) -> tuple[Digest, Tree]:
    """Store files and the manifest that names them; returns the tree's own digest.

    Raises:
        OSError: a file cannot be read.
        Unavailable: the disk is full.
    """
    entries = []
    for source in sources:
        stored = objects.put(source.file)
        executable = bool(source.file.stat().st_mode & stat.S_IXUSR)
        entries.append(Entry(source.path, stored.size_bytes, stored.digest, executable))
    tree = Tree(tuple(sorted(entries, key=lambda entry: entry.path)))
    return objects.put(tree.encode(), kind=KIND).digest, tree


def load_tree(objects: Objects, digest: Digest) -> Tree:
    """Read a manifest back.

    Raises:
        NotFound: there is no such tree.
        Corrupt: it is damaged, or names a path that would leave its folder.
    """
    data = objects.get(digest, kind=KIND)
    try:
        entries = msgspec.json.decode(data, type=tuple[Entry, ...])
    except msgspec.DecodeError as error:
        raise Corrupt(f"tree {digest[:12]} is not a manifest: {error}") from error
    for entry in entries:
        if not _safe(entry.path):
            raise Corrupt(f"tree {digest[:12]} names the unsafe path {entry.path!r}")
    return Tree(entries)


def check_out(objects: Objects, tree: Tree, folder: Path) -> None:
    """Write a tree's files into a folder as copies, which may be edited.

    Raises:
        Corrupt: an object is damaged; nothing wrong is written.
    """
    for entry in tree.entries:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(objects.get(entry.digest))
        target.chmod(0o755 if entry.executable else 0o644)


def _safe(path: str) -> bool:
    """Whether a path is the plain one of a file below its folder."""
    plain = PurePosixPath(path)
    return (
        plain.as_posix() == path
        and plain.name != ""
        and not plain.is_absolute()
        and ".." not in plain.parts
        and "\0" not in path
    )


def _refuse(error: OSError) -> None:
    raise error


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"the file name {name!r} is not UTF-8", hint="rename the file") from error
    return name
