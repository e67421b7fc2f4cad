"""What the records name: every object an edge leads to and, of a tree, the objects of its entries.

What is named is kept, verified and backed up; collecting may take the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from msgspec import Struct

from mlwright.kernel import edges
from mlwright.kernel.database import Source
from mlwright.kernel.digest import Digest, is_digest
from mlwright.kernel.edges import End
from mlwright.kernel.errors import Corrupt, MlwrightError, NotFound
from mlwright.storage.inline import InlineObjects
from mlwright.storage.objects import Objects
from mlwright.storage.trees import KIND as TREE
from mlwright.storage.trees import load_tree

COLLECT = "collect"
"""The subject of the lease that whoever removes objects holds, and whoever must not lose any meanwhile."""

Unreadable = Callable[[Digest, MlwrightError], None]
"""Told of a tree that is not there or damaged: what it names cannot be known."""


class Name(Struct, frozen=True):
    """An object that something refers to.

    Args:
        kind: of a composite, `tree`; None for plain bytes.
        size_bytes: where a tree tells it: who reads trees looks into the store, whatever is a row.
    """

    digest: Digest
    kind: str | None = None
    size_bytes: int | None = None


class Namer(Struct, frozen=True):
    """Who refers to an object: the later end of an edge, its role, and the path in the tree if it is one."""

    end: End
    role: str
    path: str = ""


def named(source: Source, objects: Objects, unreadable: Unreadable | None = None) -> Iterator[Name]:
    """Every object that the records name, each once; trees among them.

    A million of them cost 100 MB while it goes on: 32 bytes and their place in a set for each. One tree at a
    time is in memory. Rows that others write meanwhile may be seen or not: give a view or a copy to see one
    moment.

    Args:
        source: the records.
        objects: where trees are read.
        unreadable: told of each tree that cannot be read; without it such a tree is raised.

    Raises:
        NotFound: a tree is not there.
        Corrupt: a tree is damaged.
    """
    seen: set[bytes] = set()
    for digest in map(Digest, edges.ends(source, "tree")):
        yield Name(digest, TREE)
        try:
            tree = load_tree(objects, digest)
        except (NotFound, Corrupt) as error:
            if unreadable is None:
                raise
            unreadable(digest, error)
            continue
        for entry in tree.entries:
            key = compact(entry.digest)
            if key not in seen:
                seen.add(key)
                yield Name(entry.digest, None, entry.size_bytes)
    for digest in map(Digest, edges.ends(source, "object")):
        if compact(digest) not in seen:
            yield Name(digest)


def beneath(source: Source, objects: InlineObjects, unreadable: Unreadable | None = None) -> Iterator[Name]:
    """The objects of the store beneath that hold what the records name, each once: packs and recipes too.

    What is nothing but a row is left out; what is nowhere is told as if it were an object.

    Args:
        unreadable: told of recipes too that cannot be read.

    Raises:
        NotFound, Corrupt: as `named`, of a recipe too.
    """
    looked = objects.seen_in(source)
    seen: set[bytes] = set()
    for name in named(source, looked, unreadable):
        held: list[tuple[Digest, str | None]] = [(name.digest, name.kind)]
        if name.kind is None:
            try:
                held = looked.packs.beneath(name.digest)
            except (NotFound, Corrupt) as error:
                if name.size_bytes is None and looked.is_row(name.digest):
                    continue
                if looked.packs.in_pieces(name.digest):
                    if unreadable is None:
                        raise
                    unreadable(name.digest, error)
        for digest, kind in held:
            if (key := compact(digest)) not in seen:
                seen.add(key)
                yield Name(digest, kind, name.size_bytes if digest == name.digest else None)


def namers(source: Source, objects: Objects, digests: Collection[Digest]) -> dict[Digest, list[Namer]]:
    """Who names each of these digests; trees that cannot be read are passed over.

    It reads every tree there is: for a message, not for each object.
    """
    found: dict[Digest, list[Namer]] = {digest: [] for digest in digests}
    for digest in found:
        for kind in ("object", "tree"):
            found[digest] += [
                Namer(edge.later, edge.role) for edge in edges.made_into(source, End(kind, digest))
            ]
    for tree_digest in map(Digest, edges.ends(source, "tree") if found else ()):
        try:
            entries = load_tree(objects, tree_digest).entries
        except (NotFound, Corrupt):
            continue
        inside = [entry for entry in entries if entry.digest in found]
        if inside:
            above = edges.made_into(source, End("tree", tree_digest))
            for entry in inside:
                found[entry.digest] += [Namer(edge.later, edge.role, entry.path) for edge in above]
    return found


def compact(digest: str) -> bytes:
    """A digest in a third of the memory; what is none (a damaged row) as it is."""
    return bytes.fromhex(digest) if is_digest(digest) else digest.encode()
