"""Large files that come in parts, several at a time and in any order; a block of each is in memory.

The parts lie in a folder of the store's incoming ones until they are put together. One whose parts came a day
ago, and was never completed, is taken away when the next begins, or by collecting.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from secrets import token_hex
from shutil import rmtree

import msgspec
from msgspec import Struct

from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from mlwright.kernel.files import content_of, locked, write_whole
from mlwright.storage.objects import Objects
from mlwright.storage.uploads import BLOCK_BYTES, IncomingFile, Received, disk

MOST_PARTS = 10_000
MOST_OPEN = 100
"""Files that may be in parts at once."""
KEPT_S = 24 * 3600
"""How long parts wait for others."""

_PREFIX = "parts-"
_NAME = re.compile(r"[0-9a-f]{32}")


class _Wanted(Struct, frozen=True):
    """What is to become of the parts: for what they are, and how many there will be."""

    what: str
    count: int


class Parts:
    """The files of a store of which parts have come.

    Args:
        objects: the store.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def begin(self, what: str, count: int) -> str:
        """Expect a file in parts.

        Args:
            what: it is for; to end it, or to complete it, the same is named.
            count: of parts.

        Returns:
            A name for it that nobody guesses.

        Raises:
            Invalid: there are no parts, or too many.
            Unavailable: too many files are in parts already.
            DiskFull: there is no room.
        """
        if not 1 <= count <= MOST_PARTS:
            raise Invalid(f"a file comes in 1 to {MOST_PARTS:,} parts, and not in {count}")
        if self._open() >= MOST_OPEN:
            raise Unavailable(f"{MOST_OPEN} files are in parts already", hint="try again later")
        name = token_hex(16)
        folder = self._objects.incoming / f"{_PREFIX}{name}"
        with disk(folder.parent):
            folder.mkdir()
            write_whole(folder / "wanted", msgspec.json.encode(_Wanted(what, count)))
        return name

    def part(self, name: str, number: int) -> Path:
        """The folder that a part is written into, as an `IncomingFile`, before `keep`.

        Raises:
            NotFound: no file is expected under this name.
            Invalid: it has no part of this number.
        """
        folder, wanted = self._find(name)
        if not 1 <= number <= wanted.count:
            raise Invalid(f"there is no part {number}: the file comes in {wanted.count}")
        return folder

    def keep(self, name: str, number: int, file: IncomingFile) -> Digest:
        """Take a part that is whole; one that came before under its number gives way.

        Returns:
            What names these bytes when the file is completed.

        Raises:
            NotFound, Invalid: as `part`; the file may have been completed meanwhile.
        """
        folder, digest = self.part(name, number), file.digest()
        with self._alone(folder), disk(folder):
            before = list(folder.glob(f"{number:05}-*"))
            file.path.replace(folder / f"{number:05}-{digest}")
            for each in before:
                if not each.name.endswith(digest):
                    each.unlink()
        return digest

    def complete(self, name: str, what: str, parts: Mapping[int, str]) -> Received:
        """Put a file together; asked once more, it answers the same.

        Args:
            what: it is for, as it was begun.
            parts: what `keep` answered, by the number of the part; empty where the client does not say.

        Raises:
            NotFound: no file is expected under this name.
            Invalid: it was begun for something else.
            Conflict: a part is missing, or is another one.
            DiskFull, Unavailable: it cannot be written; its parts may be gone then.
        """
        folder, wanted = self._find(name)
        _same(wanted, what)
        with self._alone(folder):
            if (done := content_of(folder / "done")) is not None:
                return msgspec.json.decode(done, type=Received)
            files = _in_order(folder, wanted.count, parts)
            with IncomingFile(folder) as whole:
                for file in files:
                    for block in _blocks(file):
                        whole.write(block)
                    file.unlink()  # so that at no time there are two of all
                digest = whole.digest()
                with disk(folder):
                    stored = self._objects.put(whole.path, take=True, digest=digest)
            received = Received(stored.digest, stored.size_bytes)
            with disk(folder):
                write_whole(folder / "done", msgspec.json.encode(received))
        return received

    def abort(self, name: str, what: str) -> None:
        """Expect no more parts, and forget those that came; nothing happens if there is no such file.

        Raises:
            Invalid: it was begun for something else.
        """
        with suppress(NotFound):
            folder, wanted = self._find(name)
            _same(wanted, what)
            with self._alone(folder):
                rmtree(folder, ignore_errors=True)

    def _open(self) -> int:
        """How many files are in parts; those that were left for long are taken away."""
        count, before_s = 0, time.time() - KEPT_S
        for folder in self._objects.incoming.glob(f"{_PREFIX}*"):
            with suppress(OSError):  # another takes it away
                if max(each.stat().st_mtime for each in (folder, *folder.iterdir())) < before_s:
                    rmtree(folder, ignore_errors=True)
                elif not (folder / "done").exists():
                    count += 1
        return count

    def _find(self, name: str) -> tuple[Path, _Wanted]:
        folder = self._objects.incoming / f"{_PREFIX}{name}"
        wanted = content_of(folder / "wanted") if _NAME.fullmatch(name) else None
        if wanted is None:
            raise NotFound("no file is expected in parts under this name: it was aborted, or is too old")
        return folder, msgspec.json.decode(wanted, type=_Wanted)

    @staticmethod
    def _alone(folder: Path) -> AbstractContextManager[int]:
        return locked(folder / "lock", fcntl.LOCK_EX)


def _same(wanted: _Wanted, what: str) -> None:
    if wanted.what != what:
        raise Invalid("these parts were begun for another file")


def _in_order(folder: Path, count: int, parts: Mapping[int, str]) -> list[Path]:
    """The files of all parts.

    Raises:
        Conflict: one is missing, or is not the one that the client means.
    """
    there = {int(each.name[:5]): each for each in folder.glob("[0-9][0-9][0-9][0-9][0-9]-*")}
    for number in range(1, count + 1):
        if number not in there or number not in parts:
            raise Conflict(f"part {number} of {count} is missing", hint="send it, then complete again")
        if parts[number] and parts[number] != there[number].name[6:]:
            raise Conflict(f"part {number} of {count} is not the one that was sent", hint="send it again")
    if len(parts) != count:
        raise Conflict(f"{len(parts)} parts are named, and there are {count}")
    return [there[number] for number in sorted(there)]


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            yield block
