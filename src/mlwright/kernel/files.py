"""Files that several processes read and write."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, how: int) -> Iterator[int]:
    """Hold a lock on a file, which is made when it is missing and stays; yields its descriptor.

    Args:
        how: of `fcntl.flock`: LOCK_SH, LOCK_EX, with LOCK_NB if it is not to be waited for.

    Raises:
        BlockingIOError: with LOCK_NB, somebody else holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield descriptor
    finally:
        os.close(descriptor)


def content_of(path: Path) -> bytes | None:
    """What a file holds; None for no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in place at once: a reader sees what was there before, or all of `data`.

    Not flushed to the disk: for what can be made again. Bytes that records name belong into the object store.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


def replace_own(path: Path, data: bytes) -> None:
    """Give a file of the user's another content, at once and flushed to the disk.

    It keeps its permissions, or gets those of any new file; of a link, what it leads to is changed.
    """
    real = path.resolve()
    if real.is_file() and real.read_bytes() == data:
        return
    real.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=real.parent, prefix=f".{real.name}-", delete=False) as file:
        making = Path(file.name)
    try:
        write_flushed(making, data)
        making.chmod(real.stat().st_mode & 0o7777 if real.exists() else 0o666 & ~_umask())
        making.replace(real)
    finally:
        making.unlink(missing_ok=True)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file that outlives the loss of power; whoever looks meanwhile sees a part of it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Let a file, or the names in a folder, outlive the loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """What new files are not allowed to be; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
