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


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in place at once: a reader sees what was there before, or all of `data`.

    Not flushed to the disk: for what can be made again. Bytes that records name belong into the object store.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
