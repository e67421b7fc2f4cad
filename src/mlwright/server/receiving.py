"""A body that goes to the disk while it comes: no more than a block of it is in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from shutil import disk_usage

from starlette.requests import ClientDisconnect

from mlwright.kernel.errors import Invalid, Unavailable, disk_full
from mlwright.server.bodies import check_plain
from mlwright.server.call import Call
from mlwright.storage.uploads import BLOCK_BYTES

_SMALL_BYTES = 64 << 10
"""What of a body is kept uncounted: its connection holds no more."""


async def receive(call: Call, write: Callable[[bytes], object], folder: Path) -> None:
    """Hand a body on, a block at a time, in threads; in small ones where too much is held already.

    Args:
        write: takes a block; of an empty body nothing.
        folder: where it is written.

    Raises:
        Invalid: the client has gone before its end, or has encoded it.
        DiskFull: it says that it is larger than what is free.
        MlwrightError: what `write` raised.
    """
    check_plain(call.headers)
    declared = call.headers.get(b"content-length", b"0")[:20]
    size_bytes = int(declared) if declared.isdigit() else 0
    if size_bytes > BLOCK_BYTES and size_bytes > disk_usage(folder).free:
        raise disk_full(folder, size_bytes)
    async with AsyncExitStack() as stack:
        chunks: list[bytes] = []
        held, block_bytes = 0, _SMALL_BYTES
        try:
            async for chunk in call.request.stream():
                if block_bytes == _SMALL_BYTES < held + len(chunk):
                    with suppress(Unavailable):
                        await stack.enter_async_context(call.tracker.bodies.held(BLOCK_BYTES))
                        block_bytes = BLOCK_BYTES
                chunks.append(chunk)
                held += len(chunk)
                if held >= block_bytes:
                    await asyncio.to_thread(write, b"".join(chunks))
                    chunks, held = [], 0
        except ClientDisconnect:
            raise Invalid("the body ended too early") from None
        if held > _SMALL_BYTES:
            await asyncio.to_thread(write, b"".join(chunks))
        elif held:
            write(b"".join(chunks))
