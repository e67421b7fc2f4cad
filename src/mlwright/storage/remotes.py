"""Remotes: where versions are pushed to and pulled from, a bucket or a folder. They are never swept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from mlwright.kernel.errors import Conflict, NotFound, Unavailable
from mlwright.kernel.files import write_whole
from mlwright.storage.local import LocalObjects
from mlwright.storage.objects import Objects
from mlwright.storage.retrying import RetryingObjects, retrying

if TYPE_CHECKING:
    from mlwright.storage.bucket import Bucket

MARK = "REMOTE"
"""A key that lets no workspace take a remote for its own store, and collect what others have pushed."""
_OWNERS = ("WORKSPACE", "objects/WORKSPACE")


class Records(Protocol):
    """Small texts of a remote, by key."""

    def read(self, key: str) -> bytes:
        """The text.

        Raises:
            NotFound: there is none.
        """

    def write(self, key: str, data: bytes) -> object:
        """Put a text in place at once."""

    def names(self, folder: str) -> Iterator[str]:
        """The last parts of the keys right below a folder."""


class Remote(Struct, frozen=True):
    """A remote, opened.

    Args:
        where: as it is shown.
        objects: its objects; a path may be moved away if `movable`.
        records: what is said of them.
        movable: its paths are copies of this machine.
    """

    where: str
    objects: Objects
    records: Records
    movable: bool


class BucketRecords:
    """Keys of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, key: str) -> bytes:
        """The text."""
        return retrying(lambda: self._bucket.read_text(key))

    def write(self, key: str, data: bytes) -> object:
        """One request."""
        return retrying(lambda: self._bucket.write_text(key, data))

    def names(self, folder: str) -> Iterator[str]:
        """From a list of the keys."""
        for seen in self._bucket.keys(f"{folder}/"):
            rest = seen.key.removeprefix(f"{folder}/")
            if "/" not in rest:
                yield rest


class FolderRecords:
    """Files of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str) -> bytes:
        """The file."""
        try:
            return (self._root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"there is nothing at {self._root / key}") from None
        except OSError as error:
            raise _refused(self._root / key, error) from error

    def write(self, key: str, data: bytes) -> object:
        """By rename."""
        try:
            write_whole(self._root / key, data)
        except OSError as error:
            raise _refused(self._root / key, error) from error
        return None

    def names(self, folder: str) -> Iterator[str]:
        """The folder's files."""
        place = self._root / folder
        return iter([path.name for path in place.iterdir()] if place.is_dir() else [])


def open_remote(setting: str, root: Path, local: Path) -> Remote:
    """Open a remote; a bucket is not asked yet.

    Args:
        setting: `s3://BUCKET/PREFIX`, a folder, or `file://FOLDER`.
        root: what a relative folder is relative to.
        local: this machine's side, for what is on its way.

    Raises:
        Invalid: it is no address.
        Unavailable: obstore is not installed.
    """
    if "://" in setting and not setting.startswith("file://"):
        from mlwright.storage.address import parse_address
        from mlwright.storage.bucket import Bucket  # 10 ms, for those who have one
        from mlwright.storage.s3 import S3Objects

        bucket = Bucket(parse_address(setting))
        objects = RetryingObjects(S3Objects(bucket, local / "transfer"))
        return Remote(str(bucket.address), objects, BucketRecords(bucket), movable=True)
    folder = (root / setting.removeprefix("file://")).resolve()
    store = LocalObjects(folder / "objects", local / "verified-remotes")
    return Remote(str(folder), store, FolderRecords(folder), movable=False)


def check_remote(remote: Remote, *, mark: bool = False) -> None:
    """See that a remote is nobody's own store.

    Args:
        mark: let nobody make it one.

    Raises:
        Conflict: it is the store of a workspace, which collects there.
    """
    for owner in _OWNERS:
        try:
            remote.records.read(owner)
        except NotFound:
            continue
        raise Conflict(
            f"{remote.where} is the object store of a workspace, which collects what it does not name",
            hint="choose another prefix or folder for the remote",
        )
    if mark:
        try:
            remote.records.read(MARK)
        except NotFound:
            remote.records.write(MARK, b"mlwright datasets push\n")


def _refused(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"the remote cannot be used: {error.strerror}", where=str(path))
