"""Checkout on a file system that can share blocks: XFS, in a file that is mounted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlwright.storage import LocalObjects, check_out, scan, store_tree
from tests.storage.conftest import over

MIB = 1 << 20
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[Path]:
    """An empty file system with reflinks."""
    mkfs = shutil.which("mkfs.xfs", path=SBIN)
    if mkfs is None:
        pytest.skip("mkfs.xfs is not installed: no file system with reflinks can be made")
    image, point = tmp_path / "image", tmp_path / "mounted"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    subprocess.run([mkfs, "-q", "-m", "reflink=1", str(image)], check=True, capture_output=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(point)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def free_bytes(folder: Path) -> int:
    """What a file system has left, when all that was written has its place."""
    os.sync()
    return shutil.disk_usage(folder).free


def test_a_checkout_shares_the_blocks_of_the_store(xfs: Path) -> None:
    """60 MiB checked out twice take no room; an edit of a copy reaches neither the store nor the other."""
    data = os.urandom(60 * MIB)
    (xfs / "source").write_bytes(data)
    objects = over(LocalObjects(xfs / "objects", xfs / "verified"))
    _, tree = store_tree(objects.packs, scan(xfs / "source"))
    before = free_bytes(xfs)

    check_out(objects, tree, xfs / "one")
    check_out(objects, tree, xfs / "two")

    assert before - free_bytes(xfs) < 2 * MIB
    with (xfs / "one" / "source").open("r+b") as file:
        file.write(b"edited")
    assert (xfs / "two" / "source").read_bytes() == data
    assert objects.get(tree.entries[0].digest) == data
    assert re.fullmatch(rb"edited.*", (xfs / "one" / "source").read_bytes()[:10], re.DOTALL)
