"""A disk's failures in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlwright.kernel.errors import Unavailable, disk_full, is_disk_full


@contextmanager
def said(folder: Path) -> Iterator[None]:
    """Say what the system refused while a folder is written.

    Raises:
        Unavailable: there is no room left, no permission, or the disk fails.
    """
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(folder) from error
        raise Unavailable(
            f"the system refused: {error.strerror}", where=str(error.filename or folder)
        ) from error
