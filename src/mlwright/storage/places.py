"""What lies where on this machine: files that were added or checked out, as they looked then.

A file that still looks so (size, time of last write, inode, time of last change) is not read again. The
memory is disposable: what is forgotten is read once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from mlwright.kernel.digest import Digest, digest_of
from mlwright.kernel.files import write_whole
from mlwright.storage.scan import Source, State, settle


class Line(Struct, frozen=True, array_like=True, gc=False):
    """A file as it looked when its digest was found."""

    path: str
    state: State
    digest: Digest
    executable: bool


class Place(Struct, frozen=True, array_like=True):
    """A file or folder whose digests are remembered.

    Args:
        where: its absolute path.
        name: of the dataset that lies there; empty while none was recorded.
        of: the id of its version.
        tree: the digest of that version.
    """

    where: str
    name: str
    of: str
    tree: str
    lines: tuple[Line, ...]

    def digests(self, sources: Iterable[Source]) -> dict[str, Digest]:
        """By path, the digests of those files that look as they did."""
        known = {line.path: line for line in self.lines}
        return {
            source.path: line.digest
            for source in sources
            if (line := known.get(source.path)) is not None and line.state == source.state
        }


class Places:
    """The remembered places of this machine, a file for each below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[Place]:
        for file in sorted(self._folder.glob("*.place")) if self._folder.exists() else ():
            if (place := _read(file)) is not None:
                yield place

    def of(self, path: Path) -> Place | None:
        """What is remembered of a path."""
        where = _absolute(path)
        place = _read(self._file(where))
        return place if place is not None and place.where == where else None

    def remember(
        self,
        path: Path,
        files: Iterable[tuple[Source, Digest]],
        *,
        name: str = "",
        of: str = "",
        tree: str = "",
    ) -> None:
        """Keep how files look; returns when none of them can change without looking different."""
        lines = tuple(Line(each.path, each.state, digest, each.executable) for each, digest in files)
        settle(max((line.state[3] for line in lines), default=0))
        place = Place(_absolute(path), name, of, tree, lines)
        write_whole(self._file(place.where), msgspec.msgpack.encode(place))

    def forget(self, path: Path) -> None:
        """Remember nothing of a path."""
        self._file(_absolute(path)).unlink(missing_ok=True)

    def _file(self, where: str) -> Path:
        return self._folder / f"{digest_of(where.encode(errors='surrogateescape'))[:32]}.place"


def _absolute(path: Path) -> str:
    return str(path.resolve())


def _read(file: Path) -> Place | None:
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=Place)
    except (OSError, msgspec.MsgspecError):
        return None
