"""Records of versions on a remote: what each is made of, and where its bytes lie there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel.digest import Digest, canonical, is_digest
from mlwright.kernel.errors import Corrupt, Invalid, NotFound
from mlwright.storage.remotes import Remote
from mlwright.versioning.about import wrong_about
from mlwright.versioning.references import LATEST, parse_reference

FORMAT = 1
"""What a record says it is; whoever knows only another refuses it."""


class Part(Struct, frozen=True):
    """Bytes inside an object of the remote."""

    digest: Digest
    start: int
    size_bytes: int


class Record(Struct, frozen=True):
    """What a remote says of a version, as JSON under `datasets/NAME/NUMBER.json`.

    Args:
        packs: by pack, what lies in it of this version: files, or pieces of large ones.
        recipes: by large file, the object that lists its pieces.
        edges: what it was made from, as far as its workspace knew: role, kind and id of the earlier end.
    """

    format: int
    name: str
    number: int
    digest: Digest
    size_bytes: int
    message: str
    about: dict[str, Any]
    created_us: int
    packs: dict[Digest, tuple[Part, ...]]
    recipes: dict[Digest, Digest]
    edges: tuple[tuple[str, str, str], ...] = ()

    @property
    def reference(self) -> str:
        """`name@3`."""
        return f"{self.name}@{self.number}"


def find_record(remote: Remote, name: str, number: int) -> Record | None:
    """The record of a version, if the remote has one.

    Raises:
        Corrupt: it cannot be read, or is of something else.
        Unavailable: the remote cannot be reached.
    """
    try:
        data = remote.records.read(_key(name, number))
    except NotFound:
        return None
    where = f"{remote.where}/{_key(name, number)}"
    try:
        record = msgspec.json.decode(data, type=Record)
    except msgspec.DecodeError as error:
        raise Corrupt(f"the record of {name}@{number} cannot be read: {error}", where=where) from error
    digests = [record.digest, *record.packs, *record.recipes, *record.recipes.values()]
    digests += [part.digest for parts in record.packs.values() for part in parts]
    said = (record.format, record.name, record.number)
    if said != (FORMAT, name, number) or not all(map(is_digest, digests)):
        raise Corrupt(f"the record of {name}@{number} is of something else", where=where)
    if wrong := wrong_about("dataset", record.about):
        raise Corrupt(f"the record of {name}@{number} cannot be: {wrong}", where=where)
    return record


def record_meant(remote: Remote, text: str) -> Record:
    """The record that a reference means on a remote: of a number, or the newest.

    Raises:
        Invalid: it is a reference that only a workspace knows.
        NotFound: the remote has no such version.
        Corrupt: the record cannot be read.
    """
    reference = parse_reference(text, "dataset")
    number = reference.number
    if number is None and reference.alias != LATEST:
        raise Invalid(f"{text} is unknown to a remote", hint=f"write {reference.name}@3, or the name alone")
    there = sorted(_numbers(remote, reference.name))
    if number is None and there:
        number = there[-1]
    record = None if number is None else find_record(remote, reference.name, number)
    if record is None:
        known = f"it has @{', @'.join(map(str, there[-5:]))}" if there else "push it there first"
        raise NotFound(f"{remote.where} has no dataset {text}", hint=known)
    return record


def write_record(remote: Remote, record: Record) -> None:
    """Put a record in place; all that it names must be there before."""
    remote.records.write(_key(record.name, record.number), canonical(msgspec.to_builtins(record)))


def _numbers(remote: Remote, name: str) -> Iterator[int]:
    for each in remote.records.names(f"datasets/{name}"):
        stem = each.removesuffix(".json")
        if stem != each and stem.isdecimal():
            yield int(stem)


def _key(name: str, number: int) -> str:
    return f"datasets/{name}/{number}.json"
