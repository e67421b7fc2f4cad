"""Plain tars of files under plain names: the same bytes for the same files, and read without trust.

A tar from elsewhere may hold links, devices, names that lead out of a folder, sparse files and headers of any
length. Here only a file's header of one block is read, by the standard library, which checks its sum; nothing
is unpacked under a name that the tar gives.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from mlwright.kernel.errors import Corrupt

_BLOCK = tarfile.BLOCKSIZE
_PIECE_BYTES = 1 << 20
_END_BLOCKS = 2


def write_file(tar: BinaryIO, name: str, size_bytes: int, blocks: Iterable[bytes | memoryview]) -> None:
    """Add a file; of its name, size and bytes alone.

    Args:
        tar: where to.
        name: ASCII, at most 100 letters.
        size_bytes: of all blocks together.
        blocks: the file's bytes.
    """
    info = tarfile.TarInfo(name)  # no time, no owner, rights 0644
    info.size = size_bytes
    head = info.tobuf(tarfile.GNU_FORMAT)  # in which a file of any size needs one block
    assert len(head) == _BLOCK
    tar.write(head)
    written = 0
    for block in blocks:
        tar.write(block)
        written += len(block)
    assert written == size_bytes
    tar.write(b"\0" * (-written % _BLOCK))


def write_end(tar: BinaryIO) -> None:
    """Say that nothing follows."""
    tar.write(b"\0" * (_END_BLOCKS * _BLOCK))


def next_file(tar: BinaryIO, where: str) -> tuple[str, int] | None:
    """The name and size of the file that begins here; its bytes are read next, by `blocks_of`.

    Args:
        tar: at the beginning of a header.
        where: how messages name it.

    Returns:
        None at the end of the tar.

    Raises:
        Corrupt: something else than a file begins here, or something follows the end.
    """
    block = tar.read(_BLOCK)
    if block and not block.strip(b"\0"):
        if tar.read(_PIECE_BYTES).strip(b"\0") or tar.read(1):
            raise Corrupt("something follows the end of the tar", where=where)
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeError) as error:
        raise Corrupt(f"this is no tar, or it is cut off: {error}", where=where) from error
    if info.type != tarfile.REGTYPE or info.size < 0:
        raise Corrupt(
            f"the tar holds {info.name[:80]!r}, which is no plain file (type {info.type!r})", where=where
        )
    return info.name, info.size


def blocks_of(tar: BinaryIO, size_bytes: int, where: str) -> Iterator[bytes]:
    """The bytes of the file whose header was read last, a piece at a time; then the next header begins.

    Raises:
        Corrupt: the tar ends before.
    """
    left = size_bytes
    while left:
        piece = tar.read(min(left, _PIECE_BYTES))
        if not piece:
            raise Corrupt("the tar is cut off", where=where)
        left -= len(piece)
        yield piece
    if len(tar.read(-size_bytes % _BLOCK)) != -size_bytes % _BLOCK:
        raise Corrupt("the tar is cut off", where=where)
