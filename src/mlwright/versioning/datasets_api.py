"""Doors: the operations on datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from mlwright.kernel.pages import Limit, Page
from mlwright.kernel.plan import Plan
from mlwright.kernel.progress import SILENT, Progress
from mlwright.server.operations import operation
from mlwright.server.permissions import Permission
from mlwright.versioning.contents import DatasetDetail, FoundDataset, ListedDataset
from mlwright.versioning.differences import DatasetDifference

if TYPE_CHECKING:
    from mlwright.app import Project


class FoundDatasets(Struct, frozen=True):
    """What a search found, best first; if nothing, names that are spelt nearly so."""

    found: list[FoundDataset]
    near: list[str]


@operation("GET", "/datasets", Permission.READ)
def list_datasets(
    project: Project, *, name: str = "", newest: bool = False, limit: Limit = 100, token: str = ""
) -> Page[ListedDataset]:
    """The newest version of each dataset, or every version of one.

    Args:
        name: of the dataset.
        newest: what was made last first; otherwise by name.
        limit: at most so many on a page.
        token: of the page before; empty for the first.

    Raises:
        NotFound: there is no such dataset.
        Invalid: the token belongs to another search.
    """
    return project.datasets.page(name, newest=newest, limit=limit, token=token)


@operation("GET", "/datasets/{reference}", Permission.READ)
def show_dataset(
    project: Project,
    reference: str,
    *,
    tables: tuple[str, ...] = (),
    read: bool = True,
    progress: Progress = SILENT,
) -> DatasetDetail:
    """One version of a dataset: its files by type, and rows, columns and statistics of its tables.

    Args:
        reference: `patients`, `patients@3` or `patients@golden`.
        tables: which to summarise, by their paths; by default up to three, if there are no more.
        read: false for what is remembered of them alone, which takes no time.

    Raises:
        NotFound: there is no such version, or no such table in it.
    """
    return project.datasets.show(reference, tables=tables, read=read, progress=progress)


@operation("GET", "/datasets/{before}/diff/{after}", Permission.READ)
def diff_datasets(
    project: Project, before: str, after: str, *, progress: Progress = SILENT
) -> DatasetDifference:
    """What differs between two versions: files; of tables rows, columns, and how far each has moved.

    Args:
        before: the first version.
        after: the second.

    Raises:
        NotFound: one of them is not there.
    """
    return project.datasets.diff(before, after, progress=progress)


@operation("GET", "/search/datasets", Permission.READ)
def search_datasets(
    project: Project,
    words: Annotated[str, Meta(min_length=1)],
    *,
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20,
) -> FoundDatasets:
    """The versions that hold all words in names, tags, columns or messages, best first.

    Args:
        words: the last one may be the beginning of a word.
        limit: at most so many.

    Raises:
        Invalid: there is no word in it.
    """
    found = project.datasets.search(words, limit=limit)
    return FoundDatasets(found, [] if found else project.datasets.nearest_names(words))


@operation("PUT", "/datasets/{reference}/aliases/{alias}", Permission.DEPLOY)
def alias_dataset(
    project: Project, reference: str, alias: str, *, reason: str = "", dry_run: bool = False
) -> Plan:
    """Point an alias at a version of a dataset; the move is kept with who, when, from, to and why.

    Args:
        reference: the version.
        alias: the name that moves.
        reason: why.
        dry_run: only tell what would change.

    Raises:
        NotFound: there is no such version.
        Invalid: the alias cannot be one.
    """
    versions = project.datasets.versions
    if dry_run:
        return versions.plan_alias(reference, alias)
    return versions.set_alias(reference, alias, reason=reason)


@operation("DELETE", "/datasets/{reference}/aliases/{alias}", Permission.DEPLOY)
def unalias_dataset(
    project: Project, reference: str, alias: str, *, reason: str = "", dry_run: bool = False
) -> Plan:
    """Take an alias of a dataset away; its history stays.

    Args:
        reference: the name of the dataset.
        alias: which.
        reason: why.
        dry_run: only tell what would change.

    Raises:
        NotFound: there is no such alias.
    """
    versions = project.datasets.versions
    if dry_run:
        return versions.plan_alias_removal(reference, alias)
    return versions.remove_alias(reference, alias, reason=reason)


@operation("DELETE", "/datasets", Permission.DEPLOY)
def remove_datasets(
    project: Project,
    references: Annotated[tuple[str, ...], Meta(min_length=1)],
    *,
    every: bool = False,
    reason: str = "",
    dry_run: bool = False,
) -> Plan:
    """Take versions away that no alias, run or model refers to: all that are named, or none.

    Args:
        references: each to one version; with `every`, names.
        every: take all versions of the names away.
        reason: why.
        dry_run: only tell what would go.

    Raises:
        NotFound: one of them is not there.
        Conflict: something refers to one.
    """
    if dry_run:
        return project.datasets.plan_remove(*references, every=every)
    return project.datasets.remove(*references, every=every, reason=reason)


OPERATIONS = (
    list_datasets,
    show_dataset,
    diff_datasets,
    search_datasets,
    alias_dataset,
    unalias_dataset,
    remove_datasets,
)
"""All of them."""
