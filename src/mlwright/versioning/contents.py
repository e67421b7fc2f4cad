"""What a version of a dataset holds: files by type, the largest, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from mlwright.kernel.errors import NotFound, nearest
from mlwright.storage.trees import Entry
from mlwright.versioning.summaries import Table, TableSummary, table_of
from mlwright.versioning.versions import AliasMove, Version

_LARGEST = 5
_TABLES = 3
"""So many tables are summarised without being named."""


class FileType(Struct, frozen=True):
    """Files that end alike, as `.png`; empty for those without an end."""

    suffix: str
    files: int
    size_bytes: int


class DatasetDetail(Struct, frozen=True):
    """One version of a dataset.

    Args:
        types: most bytes first.
        largest: files, largest first, five at most.
        tables: those that were asked for; by default up to three, if there are no more.
        unsummarised: how many table files there are beside them.
    """

    version: Version
    aliases: tuple[str, ...]
    tags: dict[str, str]
    moves: tuple[AliasMove, ...]
    types: tuple[FileType, ...]
    largest: tuple[Entry, ...]
    tables: tuple[TableSummary, ...]
    unsummarised: int
    files: tuple[Entry, ...]


class ListedDataset(Struct, frozen=True):
    """A version of a dataset in a list.

    Args:
        rows: of its one table, when they were counted before.
    """

    version: Version
    aliases: tuple[str, ...]
    tags: dict[str, str]
    files: int
    rows: int | None


class FoundDataset(Struct, frozen=True):
    """A version that was found by words; `why` holds, by field, a piece with the words in brackets."""

    version: Version
    score: float
    why: dict[str, str]


def file_types(entries: Iterable[Entry]) -> tuple[FileType, ...]:
    """How many files end alike, and how large they are; most bytes first."""
    counts: dict[str, list[int]] = {}
    for entry in entries:
        # Of an archive both ends tell: `.tar.gz`.
        suffixes = PurePosixPath(entry.path).suffixes
        end = "".join(suffixes[-2:]) if suffixes[-2:-1] == [".tar"] else "".join(suffixes[-1:])
        found = counts.setdefault(end.lower(), [0, 0])
        found[0] += 1
        found[1] += entry.size_bytes
    types = [FileType(suffix, files, size_bytes) for suffix, (files, size_bytes) in counts.items()]
    return tuple(sorted(types, key=lambda each: (-each.size_bytes, each.suffix)))


def largest(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The largest files, largest first."""
    return tuple(sorted(entries, key=lambda each: (-each.size_bytes, each.path))[:_LARGEST])


def tables_of(entries: Iterable[Entry]) -> list[Table]:
    """The files that are tables, by path."""
    found = [table_of(entry) for entry in entries]
    return [table for table in found if table is not None]


def chosen_tables(entries: Sequence[Entry], names: Sequence[str], reference: str) -> list[Table]:
    """The tables that are named; without names all, if they are few.

    Raises:
        NotFound: no table has that name.
    """
    tables = tables_of(entries)
    if not names:
        return tables if len(tables) <= _TABLES else []
    by_path = {table.entry.path: table for table in tables}
    for name in names:
        if name not in by_path:
            raise NotFound(
                f"{reference} has no table {name!r}", hint=nearest(name, list(by_path)[:20]) or "it has none"
            )
    return [by_path[name] for name in dict.fromkeys(names)]
