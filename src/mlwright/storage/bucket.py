"""A part of a bucket, as keys and bytes: the one place that speaks to obstore."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mlwright.kernel.errors import NotFound, Unavailable
from mlwright.storage.address import Address
from mlwright.storage.refusals import in_our_words
from mlwright.storage.retrying import Transient, retrying

if TYPE_CHECKING:
    from obstore.store import S3Store

PART_BYTES = 8 * 2**20
_MOST_PARTS = 9_000  # the protocol allows 10,000
_AT_ONCE = 8
_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?")


class Seen(Struct, frozen=True):
    """What a server says of one key."""

    key: str
    size_bytes: int
    modified_us: int
    etag: str


class Bucket:
    """Reads, writes and lists keys below an address; nothing is asked before the first of these.

    What a server or a network refuses for a moment is tried again, with growing pauses of random length.

    Args:
        address: where.
        in_flight: at most so many requests at once, over all threads.
        stall_s: after so many seconds without a byte a request is given up and made again.
        retries: how often at most.
    """

    def __init__(
        self, address: Address, *, in_flight: int = 16, stall_s: float = 60.0, retries: int = 8
    ) -> None:
        self.address = address
        self._gate = _Gate(in_flight)
        self._at_once = min(_AT_ONCE, in_flight)
        self._stall_s = stall_s
        self._retries = retries
        self._etags_are_md5 = True
        self._gives_ranges: bool | None = None
        if importlib.util.find_spec("obstore") is None:
            raise Unavailable(
                f"{address} cannot be reached: obstore is not installed", hint="pip install 'mlwright[s3]'"
            )

    def head(self, key: str) -> Seen | None:
        """What is there under a key; None when nothing is."""
        import obstore

        try:
            with self._asking(key):
                return _seen(obstore.head(self._store, key))
        except NotFound:
            return None
        except Unavailable as error:
            if error.message.endswith(("is denied", "status 400")):
                self._say_why()
            raise

    def read(self, key: str) -> bytes:
        """All bytes under a key.

        Raises:
            NotFound: nothing is there.
            Transient: they were cut off on their way.
        """
        import obstore

        with self._asking(key):
            return obstore.get(self._store, key).bytes().to_bytes()

    def read_text(self, key: str) -> bytes:
        """The same for what has no digest in its name: it is held against what the server says of it.

        Raises:
            NotFound, Transient: as `read`.
        """
        import obstore

        with self._asking(key):
            answer = obstore.get(self._store, key)
            etag, data = answer.meta["e_tag"], answer.bytes().to_bytes()
        if not self._agrees(etag, _md5(data).hexdigest()):
            self._look_again(key, data, f"{key} did not come from {self.address} as it lies there")
        return data

    def write_text(self, key: str, data: bytes) -> None:
        """Put what has no digest in its name under a key; it is held against what the server says of it.

        Raises:
            Transient: other bytes have arrived.
        """
        if not self.write(key, data):
            self._look_again(key, data, f"{key} did not reach {self.address} as it was sent")

    def pieces(self, seen: Seen, start: int = 0) -> Iterator[bytes]:
        """The bytes under a key from `start` on, in order; large ones by several requests at once.

        Raises:
            Transient: they were cut off, or others have been written there meanwhile; what came is right as
                far as the server's own checks go.
        """
        ranges = [
            (begin, min(begin + PART_BYTES, seen.size_bytes))
            for begin in range(start, seen.size_bytes, PART_BYTES)
        ]
        if (start == 0 and len(ranges) < 2) or not self._can_give_ranges(seen):
            yield from self._stream(seen, start)
            return
        from concurrent.futures import Future, ThreadPoolExecutor  # 16 ms, for those who have large objects

        with ThreadPoolExecutor(self._at_once) as pool:
            waiting: deque[Future[bytes]] = deque()
            try:
                for begin, end in ranges:
                    waiting.append(pool.submit(self._range, seen, begin, end))
                    if len(waiting) == self._at_once:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def write(self, key: str, data: bytes) -> bool:
        """Put bytes under a key.

        Returns:
            Whether the server's checksum says what ours does, or it has none that can be compared.
        """
        import obstore

        with self._asking(key):
            put = obstore.put(self._store, key, data, use_multipart=False)
        return self._agrees(put["e_tag"], _md5(data).hexdigest())

    def write_parts(self, key: str, pieces: Iterable[bytes], part_bytes: int) -> bool:
        """As `write`, for many bytes: several parts are on their way at a time, visible when all are there.

        Args:
            key: where.
            pieces: of `part_bytes` each, but for the last.
            part_bytes: see `part_bytes_of`.
        """
        import obstore

        sums: list[bytes] = []

        def summed() -> Iterator[bytes]:
            for piece in pieces:
                sums.append(_md5(piece).digest())
                yield piece

        with self._asking(key, self._at_once):
            put = obstore.put(
                self._store,
                key,
                summed(),
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=self._at_once,
            )
        return self._agrees(put["e_tag"], f"{_md5(b''.join(sums)).hexdigest()}-{len(sums)}")

    def trust_no_etag(self) -> None:
        """Its checksums are of its own kind (those of encrypted buckets are): they are compared no longer."""
        self._etags_are_md5 = False

    def keys(self, prefix: str) -> Iterator[Seen]:
        """Every key below a prefix that ends with a slash, in their order."""
        last: str | None = None
        while True:
            page = retrying(lambda: self._page(prefix, last))  # noqa: B023 - called at once
            yield from page
            if not page:
                return
            last = page[-1].key

    def delete(self, *keys: str) -> None:
        """Forget keys; those that are not there are no failure."""
        import obstore

        with self._asking(keys[0]):
            obstore.delete(self._store, list(keys))

    def _look_again(self, key: str, data: bytes, otherwise: str) -> None:
        """The server's checksum is not ours: either it is of another kind, or these are other bytes."""
        if self.read(key) != data:
            raise Transient(otherwise)
        self.trust_no_etag()

    def _page(self, prefix: str, last: str | None) -> list[Seen]:
        import obstore

        with self._asking(prefix):
            stream = obstore.list(self._store, prefix, offset=last, chunk_size=1000)
            return [_seen(each) for each in next(iter(stream), ())]

    def _range(self, seen: Seen, begin: int, end: int) -> bytes:
        def ask() -> bytes:
            import obstore

            options: Any = {"range": (begin, end), "if_match": seen.etag or None}
            with self._asking(seen.key):
                data = obstore.get(self._store, seen.key, options=options).bytes().to_bytes()
            if len(data) != end - begin:
                raise Transient(
                    "a part of an object came shorter than asked for", where=self._where(seen.key)
                )
            return data

        return retrying(ask)

    def _can_give_ranges(self, seen: Seen) -> bool:
        """Whether the server answers with parts as it should: some say 200 where they have to say 206."""
        if self._gives_ranges is None:
            try:
                self._range(seen, 0, 1)
            except Unavailable as error:
                if isinstance(error, Transient):
                    raise
                return False  # what else may be wrong the whole will tell
            self._gives_ranges = True
        return self._gives_ranges

    def _stream(self, seen: Seen, start: int) -> Iterator[bytes]:
        import obstore

        options: Any = {"if_match": seen.etag or None}
        with self._asking(seen.key):
            whole = obstore.get(self._store, seen.key, options=options)
            for piece in whole.stream(min_chunk_size=PART_BYTES):
                if start < len(piece):
                    yield bytes(memoryview(piece)[start:])
                start = max(0, start - len(piece))

    def _agrees(self, etag: str | None, ours: str) -> bool:
        theirs = (etag or "").strip('"')
        return not (self._etags_are_md5 and _MD5.fullmatch(theirs)) or theirs == ours

    @contextmanager
    def _asking(self, key: str, requests: int = 1) -> Iterator[None]:
        """Hold to the number of requests in flight, and say in our words what a server refuses."""
        from obstore.exceptions import BaseError

        with self._gate.entered(requests):
            try:
                yield
            except (BaseError, FileNotFoundError, PermissionError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # of our own disk
                # The cause is not kept: what a server answers may repeat the name of a key.
                raise in_our_words(error, self.address, self._where(key)) from None

    def _say_why(self) -> None:
        """Ask once more in a way that is answered with a reason: to HEAD there is none."""
        import obstore

        with self._asking(""):
            next(iter(obstore.list(self._store, chunk_size=1)), None)

    def _where(self, key: str) -> str:
        return str(self.address.below(key))

    @cached_property
    def _store(self) -> S3Store:
        from obstore.store import S3Store

        from mlwright.storage import credentials

        profile = credentials.profile()
        variable = os.environ.get
        endpoint = (
            self.address.endpoint
            or variable("AWS_ENDPOINT_URL_S3")
            or variable("AWS_ENDPOINT_URL")
            or variable("AWS_ENDPOINT")
            or profile.get("endpoint_url", "")
        )
        region = (
            self.address.region
            or variable("AWS_REGION")
            or variable("AWS_DEFAULT_REGION")
            or profile.get("region")
            or "us-east-1"
        )
        settings: dict[str, Any] = {"region": region}
        if endpoint:
            settings["aws_endpoint_url_s3"] = settings["endpoint"] = endpoint
        if self.address.addressing:
            settings["virtual_hosted_style_request"] = self.address.addressing == "virtual"
        client: dict[str, Any] = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=min(10.0, self._stall_s)),
            "read_timeout": timedelta(seconds=self._stall_s),
            "timeout": timedelta(hours=1),
        }
        if bundle := variable("AWS_CA_BUNDLE"):
            client["root_certificate"] = _certificates(Path(bundle))
        pause: Any = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=10)}
        return S3Store(
            self.address.bucket,
            prefix=self.address.prefix or None,
            config=settings,  # type: ignore[arg-type]
            client_options=client,  # type: ignore[arg-type]
            retry_config={
                "max_retries": self._retries,
                "backoff": pause,
                "retry_timeout": timedelta(minutes=4),
            },
            credential_provider=credentials.provider(),  # type: ignore[arg-type]
        )


def part_bytes_of(size_bytes: int) -> int:
    """How long the parts of so many bytes are: the protocol allows a limited number of them."""
    return max(PART_BYTES, -(-size_bytes // _MOST_PARTS))


class _Gate:
    """At most so many at once; who needs several places waits until all are free."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._free = places
        self._changed = threading.Condition()

    @contextmanager
    def entered(self, places: int) -> Iterator[None]:
        assert places <= self._places
        with self._changed:
            self._changed.wait_for(lambda: self._free >= places)
            self._free -= places
        try:
            yield
        finally:
            with self._changed:
                self._free += places
                self._changed.notify_all()


def _md5(data: bytes) -> Any:
    return hashlib.md5(data, usedforsecurity=False)


def _seen(meta: Any) -> Seen:
    modified_us = round(meta["last_modified"].timestamp() * 1_000_000)
    return Seen(meta["path"], meta["size"], modified_us, (meta["e_tag"] or "").strip('"'))


def _certificates(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"AWS_CA_BUNDLE cannot be read: {error.strerror}", where=str(path)) from error
