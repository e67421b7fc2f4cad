"""Objects in a bucket of any S3-compatible server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from mlwright.kernel.clock import now_us
from mlwright.kernel.digest import Digest, Hasher, digest_of, digest_of_blocks, digest_of_file, is_digest
from mlwright.kernel.errors import Conflict, Corrupt, NotFound, disk_full, is_disk_full
from mlwright.kernel.files import locked
from mlwright.storage.bucket import PART_BYTES, Bucket, Seen, part_bytes_of
from mlwright.storage.objects import RENEWED_US, Held, Stored, damaged
from mlwright.storage.retrying import Transient

_OBJECTS = "objects"
_RENEWED = "renewed"
"""Empty keys whose age is that of an object: no server lets it be touched or copied onto itself."""


class S3Objects:
    """Objects under `objects/ab/cdef...` of a bucket.

    Whoever removes with `before_us` must do so on the machine that puts: a lock in `folder` keeps the two
    apart, since no bucket can.

    Args:
        bucket: where.
        folder: of this machine, for what is on its way, half-read objects among it: a later `path` goes on
            from there.
    """

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket = bucket
        self._folder = folder

    @property
    def incoming(self) -> Path:
        """Beside what is on its way."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """One request, or parts of it at the same time; what the server says of the bytes is compared."""
        stored = self._put(source, kind, digest)
        if take and isinstance(source, Path):
            source.unlink()
        return stored

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes, of which every one was looked at."""
        with self._existing(digest):
            data = self.bucket.read(_key(_OBJECTS, digest))
        if digest_of(data, kind) != digest:
            raise self._corrupt(digest)
        self._suspect(digest).unlink(missing_ok=True)
        return data

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """A file read anew from the server, which may be moved away."""
        with self._existing(digest):
            seen = self.bucket.head(_key(_OBJECTS, digest)) if is_digest(digest) else None
            if seen is None:
                raise NotFound("")
            with self._alone(digest) as part:
                self._fetch(seen, part, digest, kind)
                part.chmod(0o444)
                return part.replace(self.incoming / digest)

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Give an old object a young sign of life."""
        if not is_digest(digest):
            return False
        with self._held(fcntl.LOCK_SH):
            seen = self.bucket.head(_key(_OBJECTS, digest))
            if seen is None or self._suspect(digest).exists():
                return False
            self._refresh(digest, seen)
            return True

    def __contains__(self, digest: Digest) -> bool:
        return is_digest(digest) and self.bucket.head(_key(_OBJECTS, digest)) is not None

    def __iter__(self) -> Iterator[Held]:
        renewed = {_digest(seen.key): seen.modified_us for seen in self.bucket.keys(f"{_RENEWED}/")}
        for seen in self.bucket.keys(f"{_OBJECTS}/"):
            if is_digest(digest := _digest(seen.key)):
                yield Held(Digest(digest), seen.size_bytes, max(seen.modified_us, renewed.get(digest, 0)))

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Delete the object, and its sign of life."""
        if not is_digest(digest):
            return True
        key, sign = _key(_OBJECTS, digest), _key(_RENEWED, digest)
        with self._held(fcntl.LOCK_EX):
            if before_us is not None:
                ages = [seen.modified_us for seen in map(self.bucket.head, (key, sign)) if seen is not None]
                if ages and max(ages) >= before_us:
                    return False
            self.bucket.delete(key, sign)
        return True

    def _put(self, source: bytes | Path, kind: str | None, digest: Digest | None) -> Stored:
        if isinstance(source, Path) and source.stat().st_size <= PART_BYTES:
            source, digest = source.read_bytes(), None
        if isinstance(source, bytes):
            size, digest = len(source), digest_of(source, kind)
        else:
            size, digest = source.stat().st_size, digest or digest_of_file(source, kind)
        key = _key(_OBJECTS, digest)
        with self._held(fcntl.LOCK_SH):
            seen = self.bucket.head(key)
            if seen is not None and seen.size_bytes == size and not self._suspect(digest).exists():
                self._refresh(digest, seen)
                return Stored(digest, size)
            if isinstance(source, bytes):
                agreed = self.bucket.write(key, source)
            else:
                part = part_bytes_of(size)
                agreed = self.bucket.write_parts(key, _unchanged(source, digest, kind, part), part)
            if not agreed:
                self._look_again(digest, kind)
        self._suspect(digest).unlink(missing_ok=True)
        return Stored(digest, size)

    def _look_again(self, digest: Digest, kind: str | None) -> None:
        """The server's checksum is not ours: either it is of another kind, or other bytes have arrived.

        Raises:
            Transient: other bytes have; they are taken away.
        """
        key = _key(_OBJECTS, digest)
        seen = self.bucket.head(key)
        if digest_of_blocks(self.bucket.pieces(seen) if seen is not None else (), kind) == digest:
            self.bucket.trust_no_etag()
            return
        self.bucket.delete(key)
        raise Transient(
            f"object {digest[:12]} did not reach {self.bucket.address} as it was sent",
            hint="run the same command again: what was done is kept",
        )

    def _refresh(self, digest: Digest, seen: Seen) -> None:
        if now_us() - seen.modified_us >= RENEWED_US:
            self.bucket.write(_key(_RENEWED, digest), b"")

    def _fetch(self, seen: Seen, part: Path, digest: Digest, kind: str | None) -> None:
        """Bring a file to what the server has; it holds the beginning already, or nothing."""
        hasher = Hasher(kind)
        with part.open("r+b") as file:
            if part.stat().st_size > seen.size_bytes:
                file.truncate(0)
            while piece := file.read(PART_BYTES):
                hasher.update(piece)
            begun = file.tell()
            try:
                for piece in self.bucket.pieces(seen, begun):
                    file.write(piece)
                    hasher.update(piece)
            except OSError as error:
                if is_disk_full(error):
                    raise disk_full(part, seen.size_bytes) from error
                raise
        if hasher.digest() != digest:
            part.unlink()  # nobody knows which of its bytes are wrong
            raise self._corrupt(digest)
        self._suspect(digest).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self, digest: Digest) -> Iterator[Path]:
        """The half-read file of an object; a file of its own for whoever finds that another reads it now."""
        part = self.incoming / f"{digest}.part"
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken = part.exists() and os.fstat(descriptor).st_ino == part.stat().st_ino
            except BlockingIOError:
                taken = False
            if taken:
                yield part
                return
        finally:
            os.close(descriptor)
        own, name = tempfile.mkstemp(dir=self.incoming, suffix=".part")
        os.close(own)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _existing(self, digest: Digest) -> Iterator[None]:
        try:
            if not is_digest(digest):
                raise NotFound("")
            yield
        except NotFound:
            raise NotFound(
                f"object {digest[:12]} is not in the store", where=str(self.bucket.address)
            ) from None

    def _corrupt(self, digest: Digest) -> Corrupt:
        with contextlib.suppress(OSError):
            (self.incoming / f"{digest}.suspect").touch()
        return damaged(digest, self.bucket.address.below(_key(_OBJECTS, digest)))

    def _suspect(self, digest: Digest) -> Path:
        """Stands here while an object was found damaged: whoever has its bytes stores them anew."""
        return self._folder / f"{digest}.suspect"

    def _held(self, how: int) -> AbstractContextManager[int]:
        """An object is renewed before it is removed, or after; never meanwhile."""
        return locked(self.incoming / "LOCK", how)


def _unchanged(file: Path, digest: Digest, kind: str | None, part_bytes: int) -> Iterator[bytes]:
    """The parts of a file; it fails before the last is sent when they are not what was hashed before."""
    hasher = Hasher(kind)
    with file.open("rb", buffering=0) as parts:
        piece = parts.read(part_bytes)
        while piece:
            hasher.update(piece)
            following = parts.read(part_bytes)
            if not following and hasher.digest() != digest:
                raise Conflict(
                    f"{file} changed while it was stored", hint="wait until nobody writes it, then try again"
                )
            yield piece
            piece = following


def _key(folder: str, digest: Digest) -> str:
    return f"{folder}/{digest[:2]}/{digest[2:]}"


def _digest(key: str) -> str:
    return "".join(key.split("/")[-2:])
