"""Writing files that somebody may be reading."""

from __future__ import annotations

import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in place at once: a reader sees what was there before, or all of `data`.

    Not flushed to the disk: for what can be made again. Bytes that records name belong into the object store.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
