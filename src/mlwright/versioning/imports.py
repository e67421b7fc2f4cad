"""Datasets from elsewhere: the web, or a bucket. What was read is pinned in the version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlwright.kernel.digest import digest_of_file
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.words import counted
from mlwright.storage.fetch import fetched, is_url, look
from mlwright.storage.reach import Reach
from mlwright.versioning.datasets import Datasets
from mlwright.versioning.references import check_name
from mlwright.versioning.versions import Version

_PUBLIC = Reach()


def plan_add_from(
    datasets: Datasets, text: str, name: str, *, progress: Progress = SILENT, reach: Reach = _PUBLIC
) -> Plan:
    """What `add_from` would do; what lies elsewhere is not brought.

    Args:
        datasets: of which one.
        text: a path or a URL.
        name: the dataset's.
        progress: hears of every byte.
        reach: how far a URL of the web may lead.

    Raises:
        NotFound, Invalid, Unavailable: as `add_from`.
    """
    if not is_url(text):
        return datasets.plan_add(Path(text), name, progress=progress)
    check_name(name, "dataset")
    remote = look(text, reach=reach)
    size = "size unknown" if remote.size_bytes is None else counted(remote.size_bytes, "byte")
    what = f"{counted(remote.files, 'file')}, {size}, if they differ from the newest"
    number = datasets.versions.next_number(name)
    changes = (Change("fetch", remote.url, remote.etag), Change("add", f"{name}@{number}", what))
    return Plan(f"dataset {name}", changes)


def add_from(
    datasets: Datasets,
    text: str,
    name: str,
    *,
    message: str = "",
    tags: Mapping[str, str] | None = None,
    verify: bool = False,
    progress: Progress = SILENT,
    reach: Reach = _PUBLIC,
) -> tuple[Version, bool]:
    """Make what a path or a URL means the next version; where it came from stands in its `about`.

    Args:
        datasets: of which one.
        text: a path, `https://...`, `s3://BUCKET/KEY`, or `s3://BUCKET/FOLDER/`.
        name: the dataset's.
        message: why this version exists.
        tags: as `Datasets.add`.
        verify: as `Datasets.add`.
        progress: hears of every byte.
        reach: how far a URL of the web may lead.

    Returns:
        As `Datasets.add`.

    Raises:
        NotFound: there is nothing at the URL.
        Invalid, Conflict, Unavailable: as `Datasets.add`; a URL that cannot be used or reached.
    """
    if not is_url(text):
        return datasets.add(Path(text), name, message=message, tags=tags, verify=verify, progress=progress)
    check_name(name, "dataset")
    with fetched(text, datasets.incoming, progress=progress, reach=reach) as found:
        remote = found.remote
        source = {"url": remote.url, "size_bytes": remote.size_bytes, "etag": remote.etag}
        if found.path.is_file():
            source["digest"] = digest_of_file(found.path)
        return datasets.add(
            found.path,
            name,
            message=message,
            tags=tags,
            about={"source": source},
            stays=False,
            progress=progress,
        )
