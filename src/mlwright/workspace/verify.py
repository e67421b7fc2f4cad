"""Verifying a workspace: every record, every edge, every byte that the records name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache, partial
from typing import Literal

from msgspec import Struct

from mlwright.kernel import chain, edges
from mlwright.kernel.database import Database
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Corrupt, MlwrightError, NotFound
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage import InlineObjects
from mlwright.storage.inline import rows_of
from mlwright.storage.named import Name, Namer, named, namers
from mlwright.storage.reading import verify_object

BACKUP = "bring it back from a backup: mlwright workspace restore BACKUP DIR"

_TAMPERED = "compare with a backup from before: somebody else than mlwright wrote to the records"

Sort = Literal["records", "events", "edge", "row", "object", "tree"]


class Fault(Struct, frozen=True):
    """Something that is not as it should be.

    Args:
        kind: what it is: the records themselves, the events, an edge, a small value that is a row, an object,
            a tree.
        subject: its digest, the edge, or the part of the records.
        fault: what is wrong: `missing`, `damaged`, or a sentence.
        named_by: what refers to it, as people know it.
        hint: what to do.
    """

    kind: Sort
    subject: str
    fault: str
    named_by: tuple[str, ...] = ()
    hint: str = ""


class Verified(Struct, frozen=True):
    """What was looked at, and all that is wrong with it.

    Args:
        events: how many fit, from the first one that has a digest on.
        head: the digest of the last of them, for all of them.
    """

    edges: int
    rows: int
    row_bytes: int
    objects: int
    object_bytes: int
    faults: tuple[Fault, ...]
    events: int = 0
    head: Digest | None = None


class Words(Struct, frozen=True):
    """How rooms speak of their things: the name of an end, and what makes its bytes anew (empty: nothing)."""

    label: Callable[[End], str]
    remedy: Callable[[End], str]


def verify(
    database: Database,
    objects: InlineObjects,
    loose: Callable[[], Iterable[Edge]],
    words: Words,
    progress: Progress = SILENT,
) -> Verified:
    """Look at everything, whatever is found; nothing is changed.

    Args:
        database: the records.
        objects: the bytes.
        loose: finds the edges with an end that is not there.
        words: for the report.
        progress: hears of bytes that were read.
    """
    faults = [Fault("records", "the database", told, (), BACKUP) for told in database.check()]
    # Of records that are damaged themselves, what can still be read is looked at.
    spared = (Corrupt,) if faults else ()
    told = chain.Chain()
    with suppress(*spared):
        told = chain.verify(database)
        faults += [Fault("events", f"event {told.at}", told.fault, (), _TAMPERED)] if told.fault else []
    with suppress(*spared):
        faults += [_loose(edge, words) for edge in loose()]
    look = _Look(database, objects, progress)
    with suppress(*spared):
        look.at_rows()
    try:
        with suppress(*spared):
            progress.begin("verifying", sum(held.size_bytes for held in objects.packs.store))
            look.at_objects()
    finally:
        progress.end()
    with suppress(*spared):
        faults += look.faults(words)
    ties = 0
    with suppress(*spared):
        ties = edges.count(database)
    return Verified(
        ties,
        look.rows,
        look.row_bytes,
        look.objects,
        look.object_bytes,
        tuple(faults),
        told.covered,
        told.head,
    )


class _Look:
    """One look at all bytes: what was seen, and what of it is wrong."""

    def __init__(self, database: Database, objects: InlineObjects, progress: Progress) -> None:
        self._database = database
        self._store = objects
        self._progress = progress
        self._wrong: dict[Digest, tuple[Sort, str]] = {}
        self._bad: set[Digest] = set()
        self.rows = self.row_bytes = self.objects = self.object_bytes = 0

    def at_rows(self) -> None:
        """Hold each small value against its digest."""
        for digest, size, sound in rows_of(self._database):
            self.rows, self.row_bytes = self.rows + 1, self.row_bytes + size
            if not sound:
                self._wrong[digest] = ("row", "damaged")

    def at_objects(self) -> None:
        """Read all that is named and no row; a tree that cannot be read is found wrong before its entries."""
        for name in named(self._database, self._store, lambda digest, error: None):
            if name.digest in self._wrong:
                continue
            if name.size_bytes is None and self._store.inline(name.digest) is not None:
                continue
            kind: Sort = "tree" if name.kind else "object"
            if self._lies_in_bad(name):
                self._wrong[name.digest] = (kind, "damaged")
                continue
            try:
                size = self._read(name)
            except NotFound:
                self._wrong[name.digest] = (kind, "missing")
            except MlwrightError:
                self._wrong[name.digest] = (kind, "damaged")
                self._remember_bad(name)
            except OSError as error:
                self._wrong[name.digest] = (kind, f"unreadable: {error.strerror}")
            else:
                self.objects, self.object_bytes = self.objects + 1, self.object_bytes + size

    def faults(self, words: Words) -> Iterator[Fault]:
        """What is wrong, with who is hurt by it; what nothing names any more was collected meanwhile."""
        whose = namers(self._database, self._store, self._wrong)
        # A damaged pack hurts thousands of files of the same few owners.
        words = Words(cache(words.label), cache(words.remedy))
        owners = cache(partial(_owners, self._database))
        for digest, (kind, fault) in self._wrong.items():
            if kind == "row" or whose[digest]:
                yield _explained(Fault(kind, digest, fault), whose[digest], owners, words)

    def _read(self, name: Name) -> int:
        """Read an object in full and compare; returns its size."""
        if name.kind is None:
            return verify_object(self._store.packs, name.digest, self._progress)
        size = len(self._store.get(name.digest, kind=name.kind))
        self._progress.advance(size)
        return size

    def _lies_in_bad(self, name: Name) -> bool:
        """Whether the bytes lie in a damaged pack, which is not read again for each of its files."""
        if not self._bad or name.kind is not None:
            return False
        with suppress(MlwrightError):
            return any(digest in self._bad for digest, _ in self._store.packs.beneath(name.digest))
        return False

    def _remember_bad(self, name: Name) -> None:
        with suppress(MlwrightError):
            for digest, kind in self._store.packs.beneath(name.digest) if name.kind is None else ():
                try:
                    self._store.packs.store.path(digest, kind=kind)
                except Corrupt:
                    self._bad.add(digest)


def _loose(edge: Edge, words: Words) -> Fault:
    told = f"{edge.later.kind} {edge.later.id[:12]} -{edge.role}-> {edge.earlier.kind} {edge.earlier.id[:12]}"
    return Fault("edge", told, "one of its ends is not there", (_label(edge.later, words),), BACKUP)


def _explained(fault: Fault, whose: list[Namer], owners: Callable[[End], list[End]], words: Words) -> Fault:
    """The same fault with who is hurt by it, and what can be done."""
    told: dict[str, None] = {}
    remedies: dict[str, None] = {}
    # What makes the bytes anew for sure goes before what may, if nothing has changed since.
    for namer in sorted(whose, key=lambda namer: namer.end.kind in {"snapshot", "lock"}):
        for end in owners(namer.end):
            place = f", {namer.path}" if namer.path else ""
            told[f"{_label(end, words)}{place}"] = None
            if namer.role != "log" and (remedy := _guarded(words.remedy, end)):
                remedies[remedy] = None
    if whose and all(namer.role == "log" for namer in whose):
        remedies["nothing depends on what a step printed"] = None
    return Fault(fault.kind, fault.subject, fault.fault, tuple(told), next(iter(remedies), BACKUP))


def _owners(database: Database, end: End) -> list[End]:
    """What people know: of an artifact the step that made it and the versions that it became; else itself."""
    if end.kind != "artifact":
        return [end]
    makers = [edge.earlier for edge in edges.made_from(database, end) if edge.earlier.kind == "attempt"]
    versions = [edge.later for edge in edges.made_into(database, end, "artifact")]
    return [*makers, *versions] or [end]


def _label(end: End, words: Words) -> str:
    return _guarded(words.label, end) or f"{end.kind} {end.id[:12]}"


def _guarded(speak: Callable[[End], str], end: End) -> str:
    """What a room says of its thing; nothing, when that is what is damaged."""
    try:
        return speak(end)
    except (MlwrightError, LookupError, ValueError):
        return ""
