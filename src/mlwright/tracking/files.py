"""Files that clients store under a place: `EXPERIMENT/RUN/artifacts/plots/roc.png`.

A place is the key of a row and nothing else: no path of any disk is made of it. The bytes are in the object
store; who overwrites a file, or deletes it, leaves bytes there for collecting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from mlwright.kernel import edges, events
from mlwright.kernel.clock import now_us
from mlwright.kernel.database import Queries, Source, Transaction
from mlwright.kernel.digest import Digest
from mlwright.kernel.edges import Edge, End
from mlwright.kernel.errors import Conflict, Invalid, NotFound
from mlwright.kernel.words import cut
from mlwright.sdk.ranges import Range
from mlwright.storage import InlineObjects
from mlwright.storage.inline import put_inline
from mlwright.storage.parts import Parts
from mlwright.storage.uploads import Received, Upload
from mlwright.tracking.run import REPORTED
from mlwright.tracking.texts import held

_SQL = Queries.beside(__file__)

PLACE_BYTES = 2000
"""A longer key does not fit into the index of every database."""
NAME_BYTES = 255
"""No file system holds a file with a longer name."""
ARTIFACTS = "artifacts"
MODELS = "models"
"""Parts of places: of the folder with a run's files, or a logged model's."""

_SHOWN = 100
_PAGE_ROWS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_LAST = "\U0010ffff"
_NEXT = "\x01"
"""What comes after a place and before all others: no place has such a letter."""


class File(Struct, frozen=True):
    """A file that a client stored."""

    place: str
    digest: Digest
    size_bytes: int
    created_us: int = 0


class Listed(Struct, frozen=True):
    """What lies in a folder.

    Args:
        size_bytes: None for a folder.
    """

    name: str
    size_bytes: int | None


class Owner(Struct, frozen=True):
    """Whose files lie at a place.

    Args:
        kind: `run` or `logged_model`.
        ours: whether we execute the run: what it made is no file that a client stored.
        deleted: whether it is; it can be restored.
        inside: the place, in the folder of its files; empty for that folder itself.
    """

    kind: str
    id: str
    ours: bool
    deleted: bool
    inside: str


def place_of(text: str) -> str:
    """A place, as a client may name one.

    Raises:
        Invalid: it would not be the plain path of a file below a folder, on every system; or is too long.
    """
    shown = repr(cut(text, _SHOWN))
    if len(text) > PLACE_BYTES or len(held(text, "a file's place").encode()) > PLACE_BYTES:
        raise Invalid(f"{shown} is no file's place: it is longer than {PLACE_BYTES:,} bytes")
    for name in text.split("/"):
        if why := _unfit(name):
            raise Invalid(f"{shown} is no file's place: {why}")
    return text


def _unfit(name: str) -> str:
    """Why a part of a place is none; empty when it is one."""
    if not name:
        return "it begins or ends with a slash, or has two in a row"
    if name in {".", ".."}:
        return f"{name!r} leads to another folder"
    if "\\" in name:
        return "it has a backslash in it"
    if _CONTROL.search(name):
        return "it has a control character in it"
    if _DRIVE.match(name):
        return f"{name[:2]!r} is a drive elsewhere"
    if len(name.encode()) > NAME_BYTES:
        return f"one of its names is longer than {NAME_BYTES} bytes"
    return ""


class Files:
    """The files of a workspace.

    Args:
        objects: their bytes.
    """

    def __init__(self, objects: InlineObjects) -> None:
        self._objects = objects
        self.parts = Parts(objects)

    def upload(self) -> Upload:
        """A file on its way here: `with files.upload() as upload: ...`; then `put` it."""
        return Upload(self._objects)

    def put(self, tx: Transaction, place: str, received: Received) -> File:
        """Name bytes that are here; what was there before gives way.

        Raises:
            Invalid: it is no place for a file, or a folder is there, or a file where a folder would be.
            NotFound: there is no such run or logged model in that experiment.
            Conflict: it is deleted, or is a run that we execute.
        """
        self.check(tx, place)
        if received.small is not None:
            put_inline(tx, received.small)
        row = {"place": place, "digest": received.digest, "size_bytes": received.size_bytes}
        made = File(place, received.digest, received.size_bytes, now_us())
        end = End("file", place)
        if (known := tx.read(_SQL["file_at"], place=place)) and known[0]["digest"] != received.digest:
            events.record(tx, "file.replaced", end, before=known[0]["digest"], after=received.digest)
        tx.execute(_SQL["set_file"], **row, created_us=made.created_us)
        edges.remove(tx, end)
        edges.add(tx, [Edge(end, "bytes", End("object", received.digest))])
        return made

    def check(self, source: Source, place: str) -> None:
        """Refuse a place that nothing may be stored at now.

        Raises:
            Invalid, NotFound, Conflict: as `put`.
        """
        owner = self.owner(source, place_of(place))
        if owner is None or not owner.inside:
            raise Invalid(
                f"nothing is stored at {cut(place, _SHOWN)!r}",
                hint="store it below EXPERIMENT/RUN/artifacts or EXPERIMENT/models/MODEL/artifacts",
            )
        what = owner.kind.replace("_", " ")
        if owner.ours:
            raise Conflict(f"run {owner.id} is one of ours: what it made can be read, and not changed")
        if owner.deleted:
            raise Conflict(f"{what} {owner.id} is deleted", hint="restore it first")
        names = place.split("/")
        for depth in range(1, len(names)):
            above = "/".join(names[:depth])
            if source.read(_SQL["file_at"], place=above):
                raise Invalid(f"{cut(above, _SHOWN)!r} is a file, and no folder")
        if self.is_folder(source, place):
            raise Invalid(f"{cut(place, _SHOWN)!r} is a folder, and no file")

    def owner(self, source: Source, place: str) -> Owner | None:
        """Whose files lie at a place; None for a place at which nobody's do.

        Raises:
            NotFound: there is no such run or logged model in that experiment.
        """
        match place.split("/"):
            case [experiment, "models", identity, "artifacts", *inside]:
                kind, query = "logged_model", _SQL["owner_logged_model"]
            case [experiment, identity, "artifacts", *inside]:
                kind, query = "run", _SQL["owner_run"]
            case _:
                return None
        found = source.read(query, id=identity)
        if not found or str(found[0]["experiment_id"]) != experiment:
            what = kind.replace("_", " ")
            raise NotFound(
                f"there is no {what} {cut(identity, _SHOWN)!r} in experiment {cut(experiment, _SHOWN)!r}"
            )
        ours = kind == "run" and found[0]["kind"] != REPORTED
        return Owner(kind, identity, ours, found[0]["deleted_us"] is not None, "/".join(inside))

    def get(self, source: Source, place: str) -> File:
        """The file at a place.

        Raises:
            NotFound: there is none.
            Invalid: it is a folder.
        """
        found = source.read(_SQL["file_at"], place=place)
        if found:
            return File(**found[0])
        if self.is_folder(source, place):
            raise Invalid(f"{cut(place, _SHOWN)!r} is a folder, and no file")
        raise NotFound(f"there is no file {cut(place, _SHOWN)!r}")

    def is_folder(self, source: Source, place: str) -> bool:
        """Whether files lie below a place."""
        return bool(source.read(_SQL["files_in"], first=f"{place}/", end=f"{place}0", limit=1))

    def inside(
        self, source: Source, folder: str, *, after: str = "", limit: int = 10_000
    ) -> tuple[list[Listed], str]:
        """What lies in a folder, one level of it.

        It costs what the folder holds: of what lies deeper, no more than a page is read for each folder in
        it, and of what lies elsewhere nothing.

        Args:
            folder: its place; empty for all there is.
            after: where the page before ended.
            limit: how many at most.

        Returns:
            The page, in the order of places, and where it ended; that is empty after the last.
        """
        begin = f"{folder}/" if folder else ""
        first, end = max(after, begin), f"{folder}0" if folder else _LAST  # "0" comes after "/"
        found: dict[str, Listed] = {}
        while rows := source.read(_SQL["files_in"], first=first, end=end, limit=_PAGE_ROWS):
            for row in rows:
                if row["place"] < first:  # deeper in a folder that is listed already
                    continue
                name, slash, _ = row["place"][len(begin) :].partition("/")
                found[name] = Listed(name, None if slash else row["size_bytes"])
                first = f"{begin}{name}0" if slash else row["place"] + _NEXT
                if len(found) >= limit:
                    return list(found.values()), first
            if len(rows) < _PAGE_ROWS:
                break
        return list(found.values()), ""

    def data(self, digest: Digest) -> bytes | list[Range]:
        """The bytes of a file when they are a row; else where they lie, in files that were verified.

        Raises:
            NotFound, Corrupt: they are not there, or damaged.
        """
        small = self._objects.inline(digest)
        return self._objects.packs.ranges(digest) if small is None else small

    def delete(self, tx: Transaction, place: str, limit: int = 1000) -> int:
        """Forget a file, or files of a folder.

        Args:
            limit: how many at most.

        Returns:
            How many; fewer than `limit` when none is left.

        Raises:
            Invalid: it holds the files of more than one run or model.
            Conflict: it is of a run that we execute.
            NotFound: there is no such run or logged model in that experiment.
        """
        owner = self.owner(tx, place_of(place))
        if owner is None:
            raise Invalid(f"{cut(place, _SHOWN)!r} is not in the folder of one run's or model's files")
        if owner.ours:
            raise Conflict(f"run {owner.id} is one of ours: what it made can be read, and not changed")
        rows = tx.read(_SQL["file_at"], place=place)
        rows = rows or tx.read(_SQL["files_in"], first=f"{place}/", end=f"{place}0", limit=limit)
        for row in rows:
            tx.execute(_SQL["remove_file"], place=row["place"])
            edges.remove(tx, End("file", row["place"]))
            events.record(tx, "file.removed", End("file", row["place"]), before=row["digest"], after=None)
        return len(rows)


def count_files(source: Source) -> int:
    """How many files clients have stored."""
    return int(source.read(_SQL["count_files"])[0]["files"])


def loose_files(source: Source) -> Iterator[Edge]:
    """Edges that come from files which are not there."""
    yield from edges.loose(source, _SQL["loose_edges_of_files"])
