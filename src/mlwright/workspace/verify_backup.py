"""Verifying a backup where it lies: records as they were written, and every byte that they name."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from mlwright.kernel.database import all_migrations
from mlwright.kernel.digest import Digest
from mlwright.kernel.errors import Corrupt, NotFound
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.storage import LocalObjects
from mlwright.storage.trees import KIND as TREE
from mlwright.workspace.backup import Manifest
from mlwright.workspace.disk import said
from mlwright.workspace.layout import DATABASE, LOCAL, OBJECTS
from mlwright.workspace.restore import copy_records, usable_manifest
from mlwright.workspace.verify import Fault, Verified
from mlwright.workspace.workspace import Workspace, layered

_BEFORE = "it was so when the backup was made; what helps tells, in the project: mlwright workspace verify"


class Backup(Struct, frozen=True):
    """A backup that is looked at.

    Args:
        source: its folder.
        workspace: a copy of its records, and its objects where they lie.
    """

    source: Path
    manifest: Manifest
    workspace: Workspace


@contextmanager
def opened_backup(source: Path) -> Iterator[Backup]:
    """A backup as a workspace that can be verified; nothing in it is changed, and nothing of it is trusted.

    Raises:
        NotFound: there is no backup.
        Corrupt: it is not complete, or its records are not those that were written.
        Incompatible: a newer mlwright made it.
        Unavailable: there is no room for a copy of the records, or the backup cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="mlwright-backup-") as scratch, said(Path(scratch)):
        manifest = usable_manifest(source)
        local = Path(scratch) / LOCAL
        copy_records(source, manifest, Path(scratch) / DATABASE)
        records = SqliteDatabase(Path(scratch) / DATABASE)
        try:
            records.migrate(all_migrations())
            objects = layered(LocalObjects(source / OBJECTS, local / "verified"), records, local)
            yield Backup(source.resolve(), manifest, Workspace(manifest.workspace, records, objects, local))
        finally:
            records.close()


def for_backup(backup: Backup, found: Verified) -> Verified:
    """What was found, with what helps a backup: what it lacks is copied again from where it was made."""

    @cache
    def whole(digest: Digest, kind: str | None) -> bool:
        try:
            backup.workspace.objects.packs.store.path(digest, kind=kind)
        except (Corrupt, NotFound):
            return False
        return True

    def hint(fault: Fault) -> str:
        if fault.kind not in {"object", "tree"}:
            return _BEFORE  # the records are those that were written
        digest, store = Digest(fault.subject), backup.workspace.objects.packs
        beneath: list[tuple[Digest, str | None]] = [(digest, TREE)] if fault.kind == "tree" else []
        try:
            beneath = beneath or store.beneath(digest)
        except (Corrupt, NotFound):
            beneath = [(digest, None)]
        if any(each in backup.manifest.lacking for each, _ in beneath):
            return _BEFORE
        bad = [each for each, kind in beneath if each in store.store and not whole(each, kind)]
        again = f"back up again: mlwright workspace backup {shlex.quote(str(backup.source))}"
        files = " ".join(shlex.quote(str(backup.source / OBJECTS / each[:2] / each[2:])) for each in bad)
        return f"remove {files}, then {again}" if bad else again

    return replace(found, faults=tuple(replace(fault, hint=hint(fault)) for fault in found.faults))
