"""A file as an answer, from memory or from ranges of files on the disk: all of it, or what is asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from mimetypes import guess_type
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from mlwright.kernel.digest import Digest
from mlwright.sdk.ranges import Range
from mlwright.storage.uploads import BLOCK_BYTES

_ASKED = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")
_SHOWN = ("image/", "audio/", "video/")
_PLAIN = frozenset({"application/json", "application/pdf", "text/csv", "text/plain"})
_WORD = re.compile(r"[\w.!#$&+^`|~-]+", re.ASCII)


def send(
    name: str, digest: Digest, data: bytes | Sequence[Range], headers: Mapping[bytes, bytes]
) -> Response:
    """The answer with a file; a browser saves it, and never shows it.

    Args:
        name: how it is called.
        digest: of all of it.
        data: its bytes, or where they lie.
        headers: of the request, with names in small letters.
    """
    size = len(data) if isinstance(data, bytes) else sum(each.size_bytes for each in data)
    tag = f'"{digest}"'
    told = {
        "accept-ranges": "bytes",
        "content-disposition": _attachment(name),
        # A page of ours shows images of users: of whatever else it may be, nothing runs.
        "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "etag": tag,
        "x-content-type-options": "nosniff",
    }
    if headers.get(b"if-none-match", b"").decode("latin-1") == tag:
        return Response(None, 304, told)
    begin, end, status = 0, size, 200
    if headers.get(b"if-range", tag.encode()).decode("latin-1") == tag:
        asked = _asked(headers.get(b"range", b""), size)
        if asked is not None:
            begin, end = asked
            status = 206 if begin < end else 416
            told["content-range"] = f"bytes {begin}-{end - 1}/{size}" if begin < end else f"bytes */{size}"
    if status == 416:
        return Response(None, 416, told)
    kind = _kind(name)
    if isinstance(data, bytes):
        return Response(data[begin:end], status, told, kind)
    told["content-length"] = str(end - begin)
    return StreamingResponse(_blocks(_part(data, begin, end)), status, told, kind)


def _kind(name: str) -> str:
    """The type that a file is sent as: of what a browser would run, only that it is bytes."""
    guessed = guess_type(name, strict=False)[0] or ""
    known = guessed.startswith(_SHOWN) and guessed != "image/svg+xml"
    return guessed if known or guessed in _PLAIN else "application/octet-stream"


def _asked(header: bytes, size: int) -> tuple[int, int] | None:
    """The first byte that is asked for, and the one after the last; none for what cannot be had.

    Returns:
        None for all of it, which is also the answer to several ranges, and to what is no range of bytes.
    """
    found = _ASKED.fullmatch(header.strip())
    if found is None or found[1] == found[2] == b"":
        return None
    if not found[1]:
        return max(size - int(found[2]), 0), size
    begin, last = int(found[1]), int(found[2] or size)
    return None if last < begin and found[2] else (begin, min(last + 1, size))


def _part(ranges: Sequence[Range], begin: int, end: int) -> list[Range]:
    """Where some of the bytes lie."""
    part, at = [], 0
    for each in ranges:
        first, last = max(begin - at, 0), min(end - at, each.size_bytes)
        if first < last:
            part.append(Range(each.path, each.start + first, last - first))
        at += each.size_bytes
    return part


async def _blocks(ranges: Sequence[Range]) -> AsyncIterator[bytes]:
    for each in ranges:
        blocks = each.blocks(BLOCK_BYTES)
        while block := await asyncio.to_thread(next, blocks, b""):
            yield block


def _attachment(name: str) -> str:
    """What makes a browser save a file, under a name that may have any letters. Source: RFC 6266."""
    if _WORD.fullmatch(name):
        return f"attachment; filename={name}"
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
