"""What differs between two versions of data: files, columns, rows, and how far each column has moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from mlwright.kernel.progress import SILENT, Progress
from mlwright.storage.trees import Entry
from mlwright.versioning.contents import tables_of
from mlwright.versioning.shift import population_stability, shift_by_chance
from mlwright.versioning.summaries import ColumnSummary, Summaries, Table, TableSummary
from mlwright.versioning.versions import Version

MODERATE, LARGE = 0.1, 0.2
"""The usual marks of the population stability index."""
_MOST_TABLES = 10


class ChangedFile(Struct, frozen=True):
    """A file that has other bytes, or is executable in one of both only."""

    path: str
    before: Entry
    after: Entry


class RenamedFile(Struct, frozen=True):
    """The same bytes under another path."""

    before: str
    after: str
    size_bytes: int


class FileDifference(Struct, frozen=True):
    """What became of the files; `unchanged` is how many are the same."""

    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[ChangedFile, ...]
    renamed: tuple[RenamedFile, ...]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.renamed)


class ColumnDifference(Struct, frozen=True):
    """What became of a column that is in both tables.

    Args:
        types: before and after.
        nulls: the share of empty cells, before and after; None for a table without rows.
        psi: how far its values have moved (population stability index, in nats): numbers by the deciles of
            the first table, texts and booleans by the values that are frequent there, empty cells left out.
            None where the two cannot be compared, or a side has no values.
        by_chance: the index that two samples of one distribution, as large as these, have in the mean.
        shift: `large`, `moderate`, or empty.
    """

    name: str
    types: tuple[str, str]
    nulls: tuple[float | None, float | None]
    minimum: tuple[int | float | str | None, int | float | str | None]
    maximum: tuple[int | float | str | None, int | float | str | None]
    mean: tuple[float | None, float | None]
    psi: float | None = None
    by_chance: float | None = None
    shift: str = ""

    @property
    def retyped(self) -> bool:
        """Whether it has another type."""
        return self.types[0] != self.types[1]


class TableDifference(Struct, frozen=True):
    """What became of a table.

    Args:
        paths: before and after.
        rows: before and after; None when a table could not be read.
        added: columns that only the second has, with their types.
        removed: columns that only the first has.
        columns: those in both, in the order of the first.
        unreadable: why nothing is said of it.
        hint: what to do about that.
    """

    paths: tuple[str, str]
    rows: tuple[int | None, int | None] = (None, None)
    added: tuple[tuple[str, str], ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    columns: tuple[ColumnDifference, ...] = ()
    unreadable: str = ""
    hint: str = ""


class DatasetDifference(Struct, frozen=True):
    """What differs between two versions.

    Args:
        size_bytes: of all files, before and after.
        tables: those of both that differ, ten at most.
        uncompared: how many more there are.
    """

    before: Version
    after: Version
    files: FileDifference
    size_bytes: tuple[int, int]
    tables: tuple[TableDifference, ...]
    uncompared: int


def compare_files(before: Sequence[Entry], after: Sequence[Entry]) -> FileDifference:
    """Files that were added, removed, changed or renamed."""
    old, new = ({entry.path: entry for entry in entries} for entries in (before, after))
    changed = [
        ChangedFile(path, entry, new[path])
        for path, entry in old.items()
        if path in new and entry != new[path]
    ]
    removed = {path: entry for path, entry in old.items() if path not in new}
    waiting: dict[str, list[str]] = {}
    for path, entry in removed.items():
        waiting.setdefault(entry.digest, []).append(path)
    added, renamed = [], []
    for path, entry in new.items():
        if path in old:
            continue
        if sources := waiting.get(entry.digest):
            source = sources.pop(0)
            del removed[source]
            renamed.append(RenamedFile(source, path, entry.size_bytes))
        else:
            added.append(entry)
    unchanged = sum(path in new and entry == new[path] for path, entry in old.items())
    return FileDifference(tuple(added), tuple(removed.values()), tuple(changed), tuple(renamed), unchanged)


def tables_to_compare(before: Sequence[Entry], after: Sequence[Entry]) -> list[tuple[Table, Table]]:
    """Tables with one path and different bytes; of two datasets of one file each, these files."""
    old, new = tables_of(before), tables_of(after)
    if len(before) == len(after) == len(old) == len(new) == 1:
        pairs = [(old[0], new[0])]
    else:
        by_path = {table.entry.path: table for table in new}
        pairs = [(table, by_path[table.entry.path]) for table in old if table.entry.path in by_path]
    return [(one, other) for one, other in pairs if one.entry.digest != other.entry.digest]


def compare_tables(
    summaries: Summaries, pairs: Sequence[tuple[Table, Table]], progress: Progress = SILENT
) -> tuple[TableDifference, ...]:
    """Columns, rows and shift of tables, two by two; of the first ten."""
    pairs = pairs[:_MOST_TABLES]
    told = summaries.of([table for pair in pairs for table in pair], progress)
    both = list(zip(told[::2], told[1::2], strict=True))
    wanted = [bins_for(*each) for each in both]
    questions = [(table, bins) for pair, bins in zip(pairs, wanted, strict=True) for table in pair]
    asked = [each for each in questions if each[1]]
    counted = iter(summaries.counts(asked, progress))
    counts = [next(counted) if bins else {} for _, bins in questions]
    return tuple(compare_summaries(*each, *counts[2 * at : 2 * at + 2]) for at, each in enumerate(both))


def bins_for(before: TableSummary, after: TableSummary) -> dict[str, dict[str, list[Any]]]:
    """The bins in which the values of columns are to be counted, from what the first table holds."""
    bins: dict[str, dict[str, list[Any]]] = {}
    new = {column.name: column for column in after.columns}
    twice = {name for name, count in Counter(column.name for column in before.columns).items() if count > 1}
    for column in before.columns:
        if column.name in twice or column.name not in new or new[column.name].kind != column.kind:
            continue
        if column.kind == "number" and column.deciles:
            bins[column.name] = {"cuts": sorted(set(column.deciles))}
        elif column.kind in {"text", "boolean"} and column.frequent:
            bins[column.name] = {"values": [value for value, _ in column.frequent]}
    return bins


def compare_summaries(
    before: TableSummary,
    after: TableSummary,
    counts_before: Mapping[str, Sequence[int]],
    counts_after: Mapping[str, Sequence[int]],
) -> TableDifference:
    """What became of a table, from what is known of it before and after."""
    paths = (before.path, after.path)
    for one in (before, after):
        if one.rows is None:
            why = f"{one.path}: {one.unreadable}" if one.unreadable else ""
            return TableDifference(paths, unreadable=why or "nothing here can read it", hint=one.hint)
    old = _named(before.columns)
    new = _named(after.columns)
    columns = [
        _compare_columns(
            column,
            new[key],
            (before.rows or 0, after.rows or 0),
            counts_before.get(column.name, ()),
            counts_after.get(column.name, ()),
        )
        for key, column in old.items()
        if key in new
    ]
    return TableDifference(
        paths,
        (before.rows, after.rows),
        tuple((column.name, column.type) for key, column in new.items() if key not in old),
        tuple((column.name, column.type) for key, column in old.items() if key not in new),
        tuple(columns),
    )


def _named(columns: Sequence[ColumnSummary]) -> dict[tuple[str, int], ColumnSummary]:
    """Columns by name, and how many of that name stand before: one may be there twice."""
    seen: Counter[str] = Counter()
    found = {}
    for column in columns:
        found[column.name, seen[column.name]] = column
        seen[column.name] += 1
    return found


def _compare_columns(
    before: ColumnSummary,
    after: ColumnSummary,
    rows: tuple[int, int],
    counts_before: Sequence[int],
    counts_after: Sequence[int],
) -> ColumnDifference:
    psi = by_chance = None
    if sum(counts_before) and sum(counts_after):
        psi = population_stability(counts_before, counts_after)
        used = sum(1 for pair in zip(counts_before, counts_after, strict=True) if any(pair))
        by_chance = shift_by_chance(sum(counts_before), sum(counts_after), used)
    return ColumnDifference(
        before.name,
        (before.type, after.type),
        (_share(before.nulls, rows[0]), _share(after.nulls, rows[1])),
        (before.minimum, after.minimum),
        (before.maximum, after.maximum),
        (before.mean, after.mean),
        psi,
        by_chance,
        "" if psi is None or psi <= MODERATE else "large" if psi > LARGE else "moderate",
    )


def _share(nulls: int, rows: int) -> float | None:
    return nulls / rows if rows else None
