"""Bodies in a spool: whole, within their limits, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlwright.wire.spool import Body, NoRoom, Spool, TooLarge
from tests.processes import until

KIB = 1 << 10
T = TypeVar("T")


def spool_in(folder: Path, **limits: int) -> Spool:
    """A spool that keeps 10 bytes of a body in memory, 100 KiB of each, and 150 KiB of all."""
    return Spool(folder, **{"memory_bytes": 10, "body_bytes": 100 * KIB, "all_bytes": 150 * KIB, **limits})


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Do it in an event loop of its own."""

    async def awaited() -> T:
        return await work()

    return asyncio.run(awaited())


def opened(folder: Path) -> int:
    """How many files of a folder this process has open, named or not."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            count += str(each.readlink()).startswith(f"{folder}/")
        except FileNotFoundError:  # the one that lists
            continue
    return count


@contextmanager
def smallest_files(most_bytes: int) -> Iterator[None]:
    """While the block runs, no file of this process may grow larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=6), st.booleans())
def test_what_was_written_is_read(tmp_path: Path, pieces: list[bytes], by_name: bool) -> None:
    """In memory or on the disk, a body is the bytes that came, and again when it is read again."""
    spool = spool_in(tmp_path)

    async def work() -> list[bytes]:
        with spool.body() as body:
            for piece in pieces:
                await body.write(piece)
            if by_name:
                path = Path(await body.path())
                return [path.read_bytes(), path.read_bytes()]
            return [(await body.file()).read(), (await body.file()).read()]

    assert run(work) == [b"".join(pieces)] * 2
    assert (spool.held_bytes, opened(tmp_path)) == (0, 0)


def test_only_what_is_large_goes_to_the_disk_and_has_no_name(tmp_path: Path) -> None:
    """Up to its share a body is in memory; beyond, in a file that nobody sees in the folder."""
    folder = tmp_path
    seen = list[tuple[int, bool]]()

    async def work() -> None:
        with spool_in(folder).body() as body:
            for _ in range(2):
                await body.write(b"a" * 10)
                seen.append((opened(folder), any(folder.iterdir())))

    run(work)

    assert seen == [(0, False), (1, False)]
    assert opened(folder) == 0


async def filled(body: Body, size_bytes: int) -> None:
    """Write so much."""
    for _ in range(size_bytes // KIB):
        await body.write(b"a" * KIB)


def test_a_body_has_a_limit(tmp_path: Path) -> None:
    """The byte beyond it is refused, and so is what is declared to be more."""
    spool = spool_in(tmp_path)

    async def work() -> None:
        with spool.body() as body:
            await filled(body, 100 * KIB)
            with pytest.raises(TooLarge) as refused:
                await body.write(b"a")
            assert refused.value.limit_bytes == 100 * KIB

    run(work)
    with pytest.raises(TooLarge):
        spool.body(100 * KIB + 1)


def test_all_bodies_together_have_a_limit(tmp_path: Path) -> None:
    """With too much of others there is no room; when these are gone, there is."""
    spool = spool_in(tmp_path)

    async def work() -> None:
        with spool.body() as first:
            await filled(first, 100 * KIB)
            with spool.body() as second, pytest.raises(NoRoom):
                await filled(second, 51 * KIB)
            assert spool.held_bytes == 100 * KIB
            with pytest.raises(NoRoom):
                spool.body(51 * KIB)
        with spool.body(100 * KIB) as third:
            await filled(third, 100 * KIB)

    run(work)

    assert spool.held_bytes == 0


def test_a_full_disk_is_no_room(tmp_path: Path) -> None:
    """What the disk does not take is told as what may work later."""

    async def work() -> None:
        with spool_in(tmp_path).body() as body, smallest_files(KIB // 2), pytest.raises(NoRoom, match="disk"):
            await filled(body, 4 * KIB)

    run(work)

    assert opened(tmp_path) == 0


def test_who_gives_up_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """A request that is cancelled while its body is being written gives its room back when that has ended."""
    spool = spool_in(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def work() -> None:
        async def request() -> None:
            with spool.body() as body:
                append = body._append
                body._append = lambda block: (pipe.read_bytes(), append(block))  # type: ignore[method-assign, assignment, return-value]
                await body.write(b"a" * KIB)

        task = asyncio.ensure_future(request())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held_bytes = spool.held_bytes
        pipe.write_bytes(b"go on")
        assert held_bytes == KIB

        deadline = asyncio.get_running_loop().time() + 30
        while spool.held_bytes and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0)

    run(work)

    assert spool.held_bytes == 0
    until(lambda: opened(tmp_path) == 0)
