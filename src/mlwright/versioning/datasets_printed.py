"""Datasets on a terminal: what they hold and what differs, readable without colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlwright.kernel.clock import show as show_time
from mlwright.kernel.words import counted, cut, printable
from mlwright.terminal import say, say_table, show_size
from mlwright.versioning.differences import LARGE, MODERATE

if TYPE_CHECKING:
    from mlwright.storage.trees import Entry
    from mlwright.versioning.contents import DatasetDetail, FoundDataset, ListedDataset
    from mlwright.versioning.differences import (
        ColumnDifference,
        DatasetDifference,
        FileDifference,
        TableDifference,
    )
    from mlwright.versioning.status import PlaceStatus
    from mlwright.versioning.summaries import ColumnSummary, TableSummary

_FILES = 10
"""More files than these are counted by type."""
_CHANGES = 10
_COLUMNS = 40
_NAME, _VALUE = 32, 24


def say_list(listed: Sequence[ListedDataset]) -> None:
    """Versions, one a line."""
    say_table(
        [
            (
                each.version.reference,
                f"b3:{each.version.digest[:12]}",
                show_size(each.version.size_bytes),
                f"{each.files:,}",
                "-" if each.rows is None else f"{each.rows:,}",
                ", ".join(each.aliases) or "-",
                _tags(each.tags) or "-",
                show_time(each.version.created_us),
                cut(each.version.message, 80),
            )
            for each in listed
        ],
        ["version", "digest", "size", "files", "rows", "aliases", "tags", "made", "message"],
    )


def say_detail(detail: DatasetDetail, *, every_file: bool) -> None:
    """One version: what every version has, then files and tables."""
    if source := detail.version.about.get("source"):
        say(f"source     {cut(source['url'], 200)}{'  ' if source['etag'] else ''}{cut(source['etag'], 80)}")
    if detail.tags:
        say(f"tags       {_tags(detail.tags)}")
    if every_file or len(detail.files) <= _FILES:
        say("files")
        say_table([_file(entry) for entry in detail.files], indent="  ")
    else:
        say(f"files      {len(detail.files):,}")
        say_table(
            [
                (cut(each.suffix, _NAME) or "(none)", counted(each.files, "file"), show_size(each.size_bytes))
                for each in detail.types
            ],
            ["type", "files", "size"],
            indent="  ",
        )
        say("largest")
        say_table([_file(entry) for entry in detail.largest], indent="  ")
    columns = detail.version.about.get("columns") or []
    for table in detail.tables:
        _say_table(table)
        if table.rows is None and columns:
            named = ", ".join(cut(str(name), _NAME) for name in columns[:_COLUMNS])
            say(f"  {counted(len(columns), 'column')}: {named}{', ...' if len(columns) > _COLUMNS else ''}")
    if detail.unsummarised:
        say(f"tables     {counted(detail.unsummarised, 'table')} not summarised: name one with --table PATH")


def say_difference(difference: DatasetDifference, *, every_file: bool) -> None:
    """What differs between two versions."""
    before, after = difference.before, difference.after
    say(f"{before.reference} -> {after.reference}")
    if before.digest == after.digest:
        say("the same bytes")
        return
    old, new = difference.size_bytes
    say(f"size       {_moved(show_size(old), show_size(new))}")
    _say_files(difference.files, every_file=every_file)
    for table in difference.tables:
        _say_table_difference(table)
    if difference.uncompared:
        say(f"tables     {counted(difference.uncompared, 'table')} more not compared")


def say_found(found: Sequence[FoundDataset], near: Sequence[str]) -> None:
    """What a search found, best first; if nothing, what is spelt nearly so."""
    say_table(
        [
            (
                each.version.reference,
                show_time(each.version.created_us),
                "; ".join(f"{field}: {cut(piece, 80)}" for field, piece in each.why.items()),
            )
            for each in found
        ],
        ["version", "made", "because of"] if found else [],
    )
    if near and not found:
        say(f"hint: there is {', '.join(f'`{name}`' for name in near)}")


def _say_table(table: TableSummary) -> None:
    if table.rows is None:
        say(f"table      {cut(table.path, 80)}")
        say(f"  {table.unreadable or 'rows and columns are not known'}")
        if table.hint:
            say(f"  hint: {table.hint}")
        return
    rows, columns = counted(table.rows, "row"), counted(len(table.columns), "column")
    say(f"table      {cut(table.path, 80)}: {rows}, {columns}")
    say_table(
        [
            (
                cut(column.name, _NAME),
                cut(column.type, _VALUE),
                _nulls(column, table.rows),
                _distinct(column),
                _values(column, table.rows),
            )
            for column in table.columns
        ],
        ["column", "type", "nulls", "distinct", "values"],
        indent="  ",
    )


def _nulls(column: ColumnSummary, rows: int) -> str:
    return f"{column.nulls:,} ({column.nulls / rows:.1%})" if column.nulls else "0"


def _distinct(column: ColumnSummary) -> str:
    if column.distinct is None:
        return "-"
    return f"> {column.distinct:,}" if column.more else f"{column.distinct:,}"


def _values(column: ColumnSummary, rows: int) -> str:
    match column.kind:
        case "number" if column.deciles:
            low, middle, high = (column.deciles[at] for at in (0, 4, 8))
            ends = [("min", column.minimum), ("10%", low), ("median", middle), ("90%", high)]
            ends += [("max", column.maximum), ("mean", column.mean), ("std", column.std)]
            told = [f"{name} {_number(value)}" for name, value in ends if value is not None]
            infinite = [f"infinite {column.infinite:,}"] if column.infinite else []
            return ", ".join(told + infinite)
        case "time" if column.minimum is not None:
            return f"{column.minimum} to {column.maximum}"
        case "text" | "boolean":
            often = [(value, count) for value, count in column.frequent if count > 1 or rows <= _FILES]
            told = [f"{cut(value, _VALUE) or '(empty)'} {count / rows:.1%}" for value, count in often[:5]]
            told += ["..."] if len(often) > 5 else []
            if not told and column.lengths:
                told = [f"{column.lengths[0]:,} to {counted(column.lengths[2], 'letter')}"]
            return ", ".join(told)
    return ""


def _say_files(files: FileDifference, *, every_file: bool) -> None:
    counts = [
        f"{len(each):,} {word}"
        for word, each in (
            ("added", files.added),
            ("removed", files.removed),
            ("changed", files.changed),
            ("renamed", files.renamed),
        )
        if each
    ]
    say(f"files      {', '.join([*counts, f'{files.unchanged:,} unchanged'])}")
    _say_some(_changes(files), every_file=every_file)


def _changes(files: FileDifference) -> Iterable[list[tuple[str, str, str]]]:
    yield [("add", cut(each.path, 80), show_size(each.size_bytes)) for each in files.added]
    yield [("remove", cut(each.path, 80), show_size(each.size_bytes)) for each in files.removed]
    yield [
        (
            "change",
            cut(each.path, 80),
            f"{show_size(each.before.size_bytes)} -> {show_size(each.after.size_bytes)}"
            if each.before.digest != each.after.digest
            else f"is {'' if each.after.executable else 'not '}executable now",
        )
        for each in files.changed
    ]
    yield [("rename", cut(each.before, 80), f"-> {cut(each.after, 80)}") for each in files.renamed]


def _say_some(kinds: Iterable[list[tuple[str, str, str]]], *, every_file: bool) -> None:
    rows: list[tuple[str, str, str]] = []
    for lines in kinds:
        shown = lines if every_file else lines[:_CHANGES]
        rows += shown
        if len(lines) > len(shown):
            rows.append((lines[0][0], "...", f"{len(lines) - len(shown):,} more: --files lists them"))
    if rows:
        say_table(rows, indent="  ")


def _say_table_difference(table: TableDifference) -> None:
    old, new = (cut(path, 80) for path in table.paths)
    say(f"table      {old if old == new else f'{old} -> {new}'}")
    if table.rows[0] is None or table.rows[1] is None:
        say(f"  not compared: {table.unreadable}")
        if table.hint:
            say(f"  hint: {table.hint}")
        return
    say(f"  rows     {_moved(*(f'{rows:,}' for rows in table.rows))}")
    for word, columns in (("added", table.added), ("removed", table.removed)):
        if columns:
            listed = ", ".join(
                f"{cut(name, _NAME)} ({cut(kind, _VALUE)})" for name, kind in columns[:_COLUMNS]
            )
            say(f"  {word:8} {listed}{', ...' if len(columns) > _COLUMNS else ''}")
    _say_columns(table.columns)


def _say_columns(columns: Sequence[ColumnDifference]) -> None:
    # Those that moved most are looked for; the order of the table is in its summary.
    ordered = sorted(columns, key=lambda each: (not each.retyped, -(each.psi or 0.0)))
    say_table(
        [
            (
                cut(each.name, _NAME),
                _moved(*(cut(kind, _VALUE) for kind in each.types)),
                _moved(*(_share(share) for share in each.nulls)),
                _moved(_number(each.minimum[0]), _number(each.minimum[1])),
                _moved(_number(each.mean[0]), _number(each.mean[1])),
                _moved(_number(each.maximum[0]), _number(each.maximum[1])),
                "-" if each.psi is None else f"{each.psi:.3f}",
                each.shift,
            )
            for each in ordered[:_COLUMNS]
        ],
        ["column", "type", "nulls", "min", "mean", "max", "psi", "shift"],
        indent="  ",
    )
    if len(columns) > _COLUMNS:
        say(f"  {counted(len(columns) - _COLUMNS, 'column')} more, which moved less: --json has them")
    if any(each.psi is not None for each in columns):
        say(f"  psi: population stability index; above {MODERATE} moderate, above {LARGE} large")
    chance = max((each.by_chance or 0.0 for each in columns), default=0.0)
    if chance > MODERATE:
        say(f"  few rows: chance alone gives a psi of {chance:.2f} or so")


def _moved(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _number(value: int | float | str | None) -> str:
    match value:
        case None:
            return "-"
        case str():
            return cut(value, _VALUE)
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e12 else f"{value:.4g}"


def _file(entry: Entry) -> tuple[str, str, str]:
    return cut(entry.path, 100), show_size(entry.size_bytes), f"b3:{entry.digest[:12]}"


def _tags(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={cut(value, 40)}" for key, value in tags.items())


def say_statuses(found: Sequence[PlaceStatus]) -> None:
    """What has changed at each place, under a line for it."""
    widths = [max((len(text) for text in texts), default=0) for texts in zip(*map(_head, found), strict=True)]
    for each in found:
        cells = [text.ljust(width) for text, width in zip(_head(each), widths, strict=True)]
        say("  ".join([*cells, each.summary]))
        for what, names in (("added", each.added), ("removed", each.removed), ("changed", each.changed)):
            for name in names[:_CHANGES]:
                say(f"  {what}  {printable(name)}")
            if len(names) > _CHANGES:
                say(f"  {what}  {len(names) - _CHANGES:,} more")
    if not found:
        say("no dataset was added or checked out on this machine")


def _head(status: PlaceStatus) -> tuple[str, str]:
    return status.reference, printable(status.where)
