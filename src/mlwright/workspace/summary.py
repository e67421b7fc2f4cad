"""What a workspace is, where it lies, and how much room its parts take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from mlwright.kernel import chain
from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest
from mlwright.storage.inline import rows_of
from mlwright.workspace.layout import DATABASE
from mlwright.workspace.workspace import Workspace


class Part(Struct, frozen=True):
    """How many things of one sort there are, and how much room they take."""

    count: int
    size_bytes: int


class Summary(Struct, frozen=True):
    """A workspace at a glance.

    Args:
        database: the file of the records, or the address of a server's database.
        objects: where the bytes lie.
        local: this machine's own side.
        schema: how many migrations the records have seen.
        counts: of what is recorded.
        parts: objects, rows (small values in the records), the database's files, and each folder of the local
            state, as `local/environments`.
        head: the digest of the newest event, for all of them; None when there is none.
        free_bytes: on the disk of the records; of `disk_bytes`.
    """

    id: str
    database: str
    objects: str
    local: str
    schema: int
    counts: dict[str, int]
    parts: dict[str, Part]
    free_bytes: int
    disk_bytes: int
    head: Digest | None = None


def summarise(workspace: Workspace, counts: Mapping[str, int]) -> Summary:
    """Look at a workspace; objects are counted, not read.

    Args:
        counts: of what each room has recorded.
    """
    root = workspace.root
    stored = rows = stored_bytes = row_bytes = 0
    for _, size, _ in rows_of(workspace.database):
        rows, row_bytes = rows + 1, row_bytes + size
    for held in workspace.objects.packs.store:
        stored, stored_bytes = stored + 1, stored_bytes + held.size_bytes
    parts = {
        "objects": Part(stored, stored_bytes),
        "rows": Part(rows, row_bytes),
        "database": Part(len(list(root.glob(f"{DATABASE}*"))) or 1, workspace.database.size_bytes()),
    }
    for folder in sorted(workspace.local.iterdir()) if workspace.local.exists() else ():
        if folder.is_dir():
            parts[f"local/{folder.name}"] = size_of(folder)
    disk = shutil.disk_usage(root)
    return Summary(
        workspace.id,
        workspace.records_at,
        workspace.objects_at,
        str(workspace.local),
        all_migrations()[-1].number,
        dict(counts),
        parts,
        disk.free,
        disk.total,
        chain.head(workspace.database),
    )


def size_of(folder: Path) -> Part:
    """The files below a folder, and their bytes; what vanishes meanwhile does not count."""
    files = size_bytes = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                size_bytes += os.lstat(os.path.join(path, name)).st_size  # noqa: PTH118 - of 100,000 files
            except OSError:
                continue
            files += 1
    return Part(files, size_bytes)
