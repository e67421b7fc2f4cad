"""Bringing what lies elsewhere onto this disk: `https://...`, `s3://bucket/key`, `s3://bucket/folder/`.

What was brought before an interruption is kept, and a second try goes on from there if the other side still
has the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from msgspec import Struct, structs

from mlwright.kernel.digest import canonical, digest_of
from mlwright.kernel.errors import Conflict, Invalid, NotFound, disk_full, is_disk_full
from mlwright.kernel.files import locked
from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.address import parse_address
from mlwright.storage.bucket import Bucket, Seen
from mlwright.storage.reach import Reach
from mlwright.storage.retrying import Transient, retrying
from mlwright.storage.trees import is_safe

_REMOTE = re.compile(r"(?i)(https?|s3)://")
_OTHER = re.compile(r"(?i)[a-z][a-z0-9+.-]+://")
_SECRET = re.compile(r"(?i)sig|token|key|secret|pass|credential|auth|expires|policy|session")
_AT_ONCE = 8
_PUBLIC = Reach()


class Remote(Struct, frozen=True):
    """What lies behind a URL, as the other side tells.

    Args:
        url: without credentials.
        size_bytes: None when it does not say.
        etag: its name for these bytes; of a folder, the digest of all of them. May be empty.
        files: how many.
    """

    url: str
    size_bytes: int | None
    etag: str
    files: int = 1


class Fetched(Struct, frozen=True):
    """What was brought: a file or a folder on this disk, and what it is there."""

    path: Path
    remote: Remote


def is_url(text: str) -> bool:
    """Whether a user means something elsewhere, and not a path.

    Raises:
        Invalid: a kind of address that nothing is fetched from.
    """
    if _REMOTE.match(text):
        return True
    if _OTHER.match(text):
        raise Invalid(
            f"nothing can be fetched from {text.partition(':')[0]}://",
            hint="name a file, a folder, https://..., or s3://...",
        )
    return False


def clean(url: str) -> str:
    """A URL that may be recorded and shown: without credentials, and without what signs it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = urlencode(
        [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if _shown(name)]
    )
    return urlunsplit((parts.scheme.lower(), host, parts.path, query, ""))


def look(url: str, *, reach: Reach = _PUBLIC) -> Remote:
    """What lies behind a URL, without bringing it.

    Args:
        url: of the web, or of a bucket.
        reach: how far one of the web may lead.

    Raises:
        NotFound: nothing.
        Invalid: it is no URL that can be used, or leads where nothing may be fetched from.
        Unavailable: the other side cannot be reached, or refuses.
    """
    if url.lower().startswith("s3://"):
        return _remote(url, _in_bucket(url))
    from mlwright.storage.web import look_at

    size, etag = retrying(lambda: look_at(url, clean(url), reach))
    return Remote(clean(url), size, etag)


@contextlib.contextmanager
def fetched(
    url: str, incoming: Path, *, progress: Progress = SILENT, reach: Reach = _PUBLIC
) -> Iterator[Fetched]:
    """Have what lies behind a URL on this disk while the block runs; what fails may be tried again.

    Args:
        url: where from.
        incoming: a folder in which what is on its way is kept.
        progress: hears of every byte.
        reach: how far a URL of the web may lead.

    Raises:
        NotFound, Invalid, Unavailable: as `look`.
        Conflict: another process is fetching the same.
    """
    place = incoming / f"fetch-{digest_of(clean(url).encode())[:24]}"
    (place / "files").mkdir(parents=True, exist_ok=True)
    with _alone(place, url):
        try:
            if url.lower().startswith("s3://"):
                brought = _from_bucket(url, place, progress)
            else:
                brought = _from_web(url, place, progress, reach)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(place) from error
            raise
        finally:
            progress.end()
        yield brought
        shutil.rmtree(place, ignore_errors=True)


def _from_web(url: str, place: Path, progress: Progress, reach: Reach) -> Fetched:
    from mlwright.storage.web import bring

    name = _file_name(PurePosixPath(unquote(urlsplit(url).path)).name)
    target = place / "files" / name
    part = place / "part"
    told = retrying(lambda: bring(url, clean(url), part, progress, reach))
    part.replace(target)
    return Fetched(target, Remote(clean(url), target.stat().st_size, told))


def _from_bucket(url: str, place: Path, progress: Progress) -> Fetched:
    found = _in_bucket(url)
    progress.begin(f"fetching {clean(url)}", sum(seen.size_bytes for seen in found.keys))
    from concurrent.futures import ThreadPoolExecutor  # 16 ms, for those who fetch

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [pool.submit(_bring, found.bucket, seen, place, progress) for seen in found.keys]
        try:
            parts = [job.result() for job in jobs]
        finally:
            for job in jobs:
                job.cancel()
    root = place / "files" / found.name
    for seen, part in zip(found.keys, parts, strict=True):
        target = root if found.single else root / seen.key
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    return Fetched(root, _remote(url, found))


def _bring(bucket: Bucket, seen: Seen, place: Path, progress: Progress) -> Path:
    """One key into a file that is named for what the key means now; a part of it that is here counts."""
    part = place / f"{digest_of(canonical([seen.key, seen.etag, seen.size_bytes]))[:32]}.part"

    def rest() -> None:
        with part.open("ab") as file:
            begun = file.tell()
            for piece in bucket.pieces(seen, begun) if begun < seen.size_bytes else ():
                file.write(piece)
                progress.advance(len(piece))
            if file.tell() != seen.size_bytes:
                file.truncate(0)
                raise Transient(f"{bucket.address.below(seen.key)} came with another size than told")

    if part.exists():
        progress.advance(part.stat().st_size)
    retrying(rest)
    return part


class _Found(Struct, frozen=True):
    """Keys of a bucket: one, or all below a folder."""

    bucket: Bucket
    name: str
    keys: tuple[Seen, ...]
    single: bool


def _in_bucket(url: str) -> _Found:
    address = parse_address(url)
    parent, _, name = address.prefix.rpartition("/")
    if name and not urlsplit(url).path.endswith("/"):
        bucket = Bucket(structs.replace(address, prefix=parent))
        if (seen := retrying(lambda: bucket.head(name))) is not None:
            return _Found(bucket, _file_name(name), (seen,), single=True)
    bucket = Bucket(address)
    keys = tuple(seen for seen in bucket.keys("") if not seen.key.endswith("/"))
    if not keys:
        raise NotFound(f"there is nothing at {address}", hint="check the bucket and the key")
    if wrong := [seen.key for seen in keys if not is_safe(seen.key)]:
        raise Invalid(f"{address} has the key {wrong[0]!r}, which cannot be a file", hint="rename it")
    return _Found(bucket, _file_name(name or address.bucket), keys, single=False)


def _remote(url: str, found: _Found) -> Remote:
    size = sum(seen.size_bytes for seen in found.keys)
    if found.single:
        return Remote(clean(url), size, found.keys[0].etag)
    etag = f"b3:{digest_of(canonical({seen.key: seen.etag for seen in found.keys}))}"
    return Remote(clean(url), size, etag, len(found.keys))


@contextlib.contextmanager
def _alone(place: Path, url: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(place / "LOCK", fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            raise Conflict(
                f"{clean(url)} is being fetched by another process", hint="wait for it, then try again"
            ) from None
        yield


def _file_name(name: str) -> str:
    """What a file is called here."""
    plain = "".join(letter for letter in name if letter.isprintable() and letter not in "/\\:")
    return plain.lstrip(".")[:200] or "data"


def _shown(name: str) -> bool:
    """Whether a part of a query may be recorded: what signs a URL may not."""
    return not _SECRET.search(name)
