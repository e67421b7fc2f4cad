"""Which store holds a workspace's objects: its own folder, or the bucket that `objects` names."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mlwright.kernel.errors import Conflict, NotFound
from mlwright.kernel.files import write_whole
from mlwright.storage import LocalObjects, Objects
from mlwright.storage.address import Address, parse_address
from mlwright.storage.bucket import Bucket
from mlwright.storage.cached import CachedObjects
from mlwright.storage.metered import MeteredObjects
from mlwright.storage.remotes import MARK as REMOTE
from mlwright.storage.retrying import RetryingObjects, retrying
from mlwright.storage.s3 import S3Objects
from mlwright.workspace.layout import FOLDER, MARK, OBJECTS, STORE


def in_bucket(folder: Path, setting: str) -> Address | None:
    """The bucket that holds a workspace's objects; None for its own folder.

    Args:
        folder: the workspace's.
        setting: `objects` of the project.

    Raises:
        Invalid: the setting is no address of a bucket.
        Conflict: the objects lie elsewhere.
    """
    address = parse_address(setting) if setting else None
    wanted = str(address) if address else FOLDER
    try:
        settled = (folder / STORE).read_text().strip()
    except FileNotFoundError:
        own = folder / OBJECTS
        settled = FOLDER if own.exists() and any(len(each.name) == 2 for each in own.iterdir()) else wanted
        pinned = False
    else:
        pinned = settled == FOLDER
    if settled != wanted and not pinned:
        here = str(folder / OBJECTS) if settled == FOLDER else settled
        raise Conflict(
            f"the objects of this workspace lie in {here}, and `objects` names"
            f" {wanted if address else 'no bucket'}",
            where=str(folder),
            hint="set `objects` back, or copy them first: see Objects in a bucket in docs/architecture.md",
        )
    return None if pinned else address


def open_bucket(address: Address, folder: Path, local: Path, identity: str) -> tuple[Objects, MeteredObjects]:
    """The store in a bucket, tried again where the network fails, behind a cache on this disk.

    The bucket is asked for its owner at the first time only.

    Returns:
        The store, and what counts how often the bucket is asked.

    Raises:
        Conflict: it belongs to another workspace.
        Unavailable: it cannot be reached, or obstore is not installed.
    """
    bucket = Bucket(address)
    if not (folder / STORE).exists():
        _claim(bucket, identity)
        write_whole(folder / STORE, f"{address}\n".encode())
    cache = LocalObjects(local / "objects", local / "verified")
    metered = MeteredObjects(S3Objects(bucket, local / "transfer"))
    return CachedObjects(RetryingObjects(metered), cache, local / "renewed"), metered


def _claim(bucket: Bucket, identity: str) -> None:
    """A bucket carries its workspace's id, as a folder does; of two that come at once, the later has it."""
    with contextlib.suppress(NotFound):
        retrying(lambda: bucket.read_text(REMOTE))
        raise Conflict(
            f"{bucket.address} is a remote that versions were pushed to: collecting would take them away",
            hint="choose another prefix for `objects`",
        )
    try:
        owner = retrying(lambda: bucket.read_text(MARK))
    except NotFound:
        retrying(lambda: bucket.write_text(MARK, f"{identity}\n".encode()))
        owner = retrying(lambda: bucket.read_text(MARK))
    if (name := owner.decode(errors="replace").strip()) != identity:
        raise Conflict(
            f"{bucket.address} belongs to another workspace",
            hint=f"this workspace is {identity}, the bucket's is {name}: choose another prefix",
        )
