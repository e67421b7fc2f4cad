"""Trees: a manifest of paths to objects, itself an object of the kind `tree`."""

from __future__ import annotations

from functools import cached_property

import msgspec
from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt
from mlwright.storage.objects import Objects

KIND = "tree"
_UNSAFE_PARTS = {"", ".", ".."}


class Entry(Struct, frozen=True, gc=False):
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

    @property
    def is_file(self) -> bool:
        """Whether it is one file, and no folder of one."""
        return len(self.entries) == 1 and "/" not in self.entries[0].path

    def encode(self) -> bytes:
        """The manifest's one text."""
        ordered = sorted(self.entries, key=lambda entry: entry.path)
        return msgspec.json.encode(
            [_Line(entry.digest, entry.executable, entry.path, entry.size_bytes) for entry in ordered]
        )


class _Line(Struct, gc=False):
    """An entry as `kernel.digest.canonical` would write it, thirty times as fast: its keys in order."""

    digest: Digest
    executable: bool
    path: str
    size_bytes: int


def load_tree(objects: Objects, digest: Digest) -> Tree:
    """Read a manifest back.

    Raises:
        NotFound: there is no such tree.
        Corrupt: it is damaged, or names a path that would leave its folder.
    """
    return tree_from(objects.get(digest, kind=KIND), digest)


def tree_from(data: bytes, digest: Digest) -> Tree:
    """A manifest from its text.

    Args:
        digest: how messages name it.

    Raises:
        Corrupt: as `load_tree`.
    """
    try:
        entries = msgspec.json.decode(data, type=tuple[Entry, ...])
    except msgspec.DecodeError as error:
        raise Corrupt(f"tree {digest[:12]} is not a manifest: {error}") from error
    for entry in entries:
        if not is_safe(entry.path):
            raise Corrupt(f"tree {digest[:12]} names the unsafe path {entry.path!r}")
    return Tree(entries)


def is_safe(path: str) -> bool:
    """Whether a path is the plain one of a file below its folder."""
    return "\0" not in path and not _UNSAFE_PARTS.intersection(path.split("/"))
