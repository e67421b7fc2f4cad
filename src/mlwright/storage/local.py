"""Objects in a folder: `ab/cdef...`, read-only, published by rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from mlwright.kernel.clock import boot_id, now_us
from mlwright.kernel.digest import Digest, digest_of, digest_of_file, is_digest
from mlwright.kernel.errors import Corrupt, NotFound, Unavailable, disk_full, is_disk_full
from mlwright.kernel.files import flush, locked
from mlwright.storage.direct import DirectFile
from mlwright.storage.objects import RENEWED_US, Held, Stored, damaged

_LARGE_BYTES = 8 * 2**20
_BROKEN = {errno.EIO, errno.EROFS}


class LocalObjects:
    """Objects under a folder of a local file system.

    Args:
        root: holds the objects; made when it is missing.
        verified: a file of this machine that remembers which objects were read in full and found right.
            One line each: digest, inode, time of last change, boot.
    """

    def __init__(self, root: Path, verified: Path) -> None:
        self.root = root
        self._prefix = f"{root}/"
        self._incoming = root / "incoming"
        self._verified_file = verified
        self._verified: set[str] | None = None

    @property
    def incoming(self) -> Path:
        """Lies in the same file system as the objects."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        return self._incoming

    def put(
        self,
        source: bytes | Path,
        *,
        kind: str | None = None,
        take: bool = False,
        digest: Digest | None = None,
    ) -> Stored:
        """Temporary file, write and hash, fsync, rename, fsync of the folder."""
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with _disk(self.root, size):
            return self._put(source, kind, take, size, digest)

    def get(self, digest: Digest, *, kind: str | None = None) -> bytes:
        """The bytes, of which every one was looked at."""
        data = self._existing(digest).read_bytes()
        if digest_of(data, kind) != digest:
            raise damaged(digest, self._place(digest))
        return data

    def path(self, digest: Digest, *, kind: str | None = None, verify: bool = False) -> Path:
        """The object's own file, verified in full once and again after any change."""
        path = self._existing(digest)
        state = self._state(digest, path)
        if verify or state not in self._known():
            if digest_of_file(path, kind) != digest:
                self._forget(state, path)
                raise damaged(digest, self._place(digest))
            self._remember(state)
        return path

    def renew(self, digest: Digest, *, kind: str | None = None) -> bool:
        """Verify the object's file once, as `path` does, and touch it unless it is young."""
        if digest not in self:
            return False
        try:
            place = self.path(digest, kind=kind)
            if now_us() - place.stat().st_mtime_ns // 1000 >= RENEWED_US:
                with self._held(fcntl.LOCK_SH):
                    os.utime(place)
                    self._remember(self._state(digest, place))
        except (Corrupt, NotFound, FileNotFoundError):  # damaged, or removed since we looked
            return False
        return True

    def __contains__(self, digest: Digest) -> bool:
        return is_digest(digest) and os.path.exists(f"{self._prefix}{digest[:2]}/{digest[2:]}")  # noqa: PTH110

    def __iter__(self) -> Iterator[Held]:
        for folder in self.root.iterdir() if self.root.exists() else ():
            if len(folder.name) == 2:
                for path in folder.iterdir():
                    if is_digest(name := folder.name + path.name):
                        with contextlib.suppress(FileNotFoundError):
                            status = path.stat()
                            yield Held(Digest(name), status.st_size, status.st_mtime_ns // 1000)

    def remove(self, digest: Digest, *, before_us: int | None = None) -> bool:
        """Unlink the object's file."""
        if is_digest(digest) and digest in self:
            place = self._place(digest)
            with self._held(fcntl.LOCK_EX):
                with contextlib.suppress(FileNotFoundError):
                    if before_us is not None and place.stat().st_mtime_ns // 1000 >= before_us:
                        return False
                place.unlink(missing_ok=True)
        return True

    def _put(
        self, source: bytes | Path, kind: str | None, take: bool, size: int, digest: Digest | None
    ) -> Stored:
        moved = take and isinstance(source, Path) and self._can_move(source)
        if not moved:
            known = digest_of(source, kind) if isinstance(source, bytes) else digest_of_file(source, kind)
            if self.renew(known, kind=kind):
                if take and isinstance(source, Path):
                    source.unlink()
                return Stored(known, size)
        descriptor, name = tempfile.mkstemp(dir=self.incoming)
        temporary = Path(name)
        try:
            if isinstance(source, bytes):
                _write(temporary, descriptor, source)
            elif moved:
                os.close(descriptor)
                source.replace(temporary)
                descriptor = os.open(temporary, os.O_RDONLY)
                os.utime(descriptor)  # its age is that of the object, not of the file
            else:
                shutil.copyfile(source, temporary)
            os.fchmod(descriptor, 0o444)
            with _flushing(descriptor) as flushed:
                # What is published is what was hashed: a file that changed meanwhile gets its own name.
                if isinstance(source, bytes):
                    digest = known
                elif not moved or digest is None:
                    digest = digest_of_file(temporary, kind)
                size = os.fstat(descriptor).st_size
                renewed = moved and self.renew(digest, kind=kind)
                if not renewed:
                    flushed()
            if not renewed:
                self._publish(temporary, digest)
                self._remember(self._state(digest, self._place(digest)))
        finally:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
        if take and isinstance(source, Path):
            source.unlink(missing_ok=True)
        return Stored(digest, size)

    def _held(self, how: int) -> AbstractContextManager[int]:
        """Hold the store's lock: an object is renewed before it is removed, or after; never meanwhile."""
        return locked(self.root / "LOCK", how)

    def _can_move(self, file: Path) -> bool:
        """Whether a file itself, no link to it, can be renamed into the store."""
        return not file.is_symlink() and file.stat().st_dev == self.incoming.stat().st_dev

    def _publish(self, temporary: Path, digest: Digest) -> None:
        place = self._place(digest)
        if not place.parent.exists():
            place.parent.mkdir(exist_ok=True)
            flush(self.root)
        # A damaged old file gives way before it is removed, or after.
        with self._held(fcntl.LOCK_SH) if place.exists() else contextlib.nullcontext():
            temporary.replace(place)
        flush(place.parent)

    def _place(self, digest: Digest) -> Path:
        return self.root / digest[:2] / digest[2:]

    def _existing(self, digest: Digest) -> Path:
        if digest not in self:
            raise NotFound(f"object {digest[:12]} is not in the store", where=str(self.root))
        return self._place(digest)

    @staticmethod
    def _state(digest: Digest, path: Path) -> str:
        status = path.stat()
        return f"{digest} {status.st_ino} {status.st_ctime_ns} {boot_id()}"

    def _known(self) -> set[str]:
        if self._verified is None:
            try:
                self._verified = set(self._verified_file.read_text(errors="replace").splitlines())
            except OSError:
                self._verified = set()
        return self._verified

    def _remember(self, state: str) -> None:
        self._known().add(state)
        with contextlib.suppress(OSError):  # what is forgotten is only verified once more
            self._verified_file.parent.mkdir(parents=True, exist_ok=True)
            with self._verified_file.open("a") as file:
                file.write(state + "\n")

    def _forget(self, state: str, path: Path) -> None:
        """Let nobody take a damaged file for right because its state is remembered: it gets another state."""
        self._known().discard(state)
        with contextlib.suppress(OSError):  # a disk that cannot be written
            status = path.stat()
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the time of change is now


def _write(path: Path, descriptor: int, data: bytes) -> None:
    """Fill a new file."""
    if len(data) < _LARGE_BYTES:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(data)
        return
    with contextlib.closing(DirectFile(path)) as direct:
        direct.write(data)
        direct.end()


@contextlib.contextmanager
def _flushing(descriptor: int) -> Iterator[Callable[[], None]]:
    """Flush a file to the disk, a large one while it is hashed; what is given returns when that is done.

    Raises:
        OSError: it cannot be; nothing may rely on the file then.
    """
    if os.fstat(descriptor).st_size < _LARGE_BYTES:
        yield lambda: os.fsync(descriptor)
        return
    from concurrent.futures import ThreadPoolExecutor  # 16 ms, for those who have large files

    with ThreadPoolExecutor(1) as pool:
        flushing = pool.submit(os.fsync, descriptor)
        yield flushing.result


@contextlib.contextmanager
def _disk(root: Path, size: int) -> Iterator[None]:
    """Say the disk's failures in our words."""
    try:
        yield
    except PermissionError as error:
        raise Unavailable(f"no permission: {error.strerror}", where=str(error.filename)) from error
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(root, size) from error
        if error.errno in _BROKEN:
            raise Unavailable(f"the disk cannot be written: {error.strerror}", where=str(root)) from error
        raise
