"""Summaries of tables: worked out by a worker that has pyarrow, remembered by the digest of the bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.compute import LocalExecutor, Place, Task
from mlwright.kernel.digest import composite
from mlwright.kernel.errors import Unavailable
from mlwright.kernel.files import write_whole
from mlwright.kernel.progress import SILENT, Progress
from mlwright.kernel.version import VERSION
from mlwright.sdk.frames import Frame
from mlwright.sdk.ranges import Range
from mlwright.sdk.table_files import format_of
from mlwright.storage.trees import Entry

HINT = "to see rows and columns: uv add 'pyarrow>=20', then mlwright environments lock"


class ColumnSummary(Struct, frozen=True):
    """What a column holds.

    Args:
        type: in Arrow's words; `object`, `list` or `mixed` for what JSON has and Arrow has not.
        kind: `number`, `text`, `boolean`, `time` or `other`.
        nulls: cells without a value; NaN is none.
        distinct: different values; None where they are not counted.
        more: there are more than `distinct`.
        infinite: numbers that are; they are left out of all that follows.
        std: of a sample.
        deciles: nine numbers, the first of them not below a tenth of all. Exact below 8,192 rows (fewer where
            there are many columns), within 0.2% of the ranks above.
        frequent: the most frequent values with their counts, at most 20.
        frequent_error: the counts are too low by at most so much.
        lengths: of texts, in letters: the shortest, the mean, the longest.
    """

    name: str
    type: str
    kind: str
    nulls: int
    distinct: int | None = None
    more: bool = False
    infinite: int = 0
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    mean: float | None = None
    std: float | None = None
    deciles: tuple[float, ...] = ()
    frequent: tuple[tuple[str, int], ...] = ()
    frequent_error: int = 0
    lengths: tuple[int, float, int] | None = None


class Table(Struct, frozen=True):
    """A table file of a dataset, and its format, as `csv`."""

    entry: Entry
    format: str


def table_of(entry: Entry) -> Table | None:
    """The table that a file is, by how its name ends; None for what is none."""
    form = format_of(entry.path)
    return Table(entry, form) if form else None


class TableSummary(Struct, frozen=True):
    """What a table file holds; or why that is not known.

    Args:
        rows: None when it is not known.
        unreadable: why, if the file is the reason; else nothing here can read it.
        hint: what to do about that.
    """

    path: str
    format: str
    rows: int | None = None
    columns: tuple[ColumnSummary, ...] = ()
    unreadable: str = ""
    hint: str = ""


class FirstRows(Struct, frozen=True):
    """The first rows of a table, or why they cannot be told.

    Args:
        rows: how many there are in all.
        columns: names and types.
        cells: of the first rows; None for what is empty.
        unreadable: why, if the file is the reason; else nothing here can read it.
    """

    rows: int = 0
    columns: tuple[tuple[str, str], ...] = ()
    cells: tuple[tuple[str | None, ...], ...] = ()
    unreadable: str = ""
    hint: str = ""


class Summaries:
    """What is known of tables.

    Args:
        folder: where it is remembered; may be deleted at any time. None: nothing is, and nothing is read.
        python: gives an interpreter that has pyarrow, or None.
        file: tells where the bytes of an entry lie.
    """

    def __init__(
        self, folder: Path | None, python: Callable[[], Path | None], file: Callable[[Entry], Range]
    ) -> None:
        self._folder = folder
        self._python = python
        self._file = file

    def known(self, table: Table) -> TableSummary | None:
        """What is remembered of a table; nothing is read."""
        told = self._remembered(_question(table))
        return None if told is None else _summary(table, told)

    def of(self, tables: Sequence[Table], progress: Progress = SILENT) -> list[TableSummary]:
        """What tables hold: remembered, or read now.

        Args:
            tables: one after the other is read.
            progress: hears how many bytes of the files are done.

        Raises:
            Unavailable: the worker that reads died.
            NotFound, Corrupt: a file is not in the store, or damaged there.
        """
        told = self._ask([(table, _question(table)) for table in tables], progress)
        return [_summary(table, each) for table, each in zip(tables, told, strict=True)]

    def counts(
        self, tables: Sequence[tuple[Table, Mapping[str, Any]]], progress: Progress = SILENT
    ) -> list[dict[str, list[int]]]:
        """How many cells of each column lie in the bins that are wanted of it.

        Args:
            tables: each with its bins by column: `cuts`, ascending numbers, or `values`, texts.

        Returns:
            For each table, by column: the counts of the bins, at last that of all other cells. Nothing of a
            column, or a table, that cannot be read.

        Raises:
            Unavailable, NotFound, Corrupt: as `of`.
        """
        questions = [(table, _question(table) | {"bins": dict(bins)}) for table, bins in tables]
        told = self._ask(questions, progress)
        return [(each or {}).get("counts", {}) for each in told]

    def first(self, table: Table, most: int) -> FirstRows:
        """The first rows of a table, at most so many: remembered, or read now.

        Raises:
            Unavailable, NotFound, Corrupt: as `of`.
        """
        (told,) = self._ask([(table, _question(table) | {"first": most})], SILENT)
        if told is None:
            return FirstRows(hint=HINT)
        if refused := told.get("unreadable"):
            return FirstRows(unreadable=refused["message"], hint=refused["hint"])
        return msgspec.convert(told, FirstRows)

    def _ask(
        self, questions: Sequence[tuple[Table, dict[str, Any]]], progress: Progress
    ) -> list[dict[str, Any] | None]:
        answers = [self._remembered(question) for _, question in questions]
        waiting = [at for at, answer in enumerate(answers) if answer is None]
        if not waiting or self._folder is None or (python := self._python()) is None:
            return answers
        self._folder.mkdir(parents=True, exist_ok=True)
        size_bytes = sum(questions[at][0].entry.size_bytes for at in waiting)
        with (
            progress.work("reading tables", size_bytes),
            contextlib.closing(LocalExecutor(slots=1)) as executor,
        ):
            for at in waiting:
                table, question = questions[at]
                answers[at] = self._work_out(executor, Place(python, self._folder), table, question)
                progress.advance(table.entry.size_bytes)
        return answers

    def _work_out(
        self, executor: LocalExecutor, place: Place, table: Table, question: dict[str, Any]
    ) -> dict[str, Any]:
        path, start, size_bytes = self._file(table.entry)
        lies = {"path": str(path), "start": start, "size_bytes": size_bytes}
        head = {"id": "summarise", "op": "summarise", **lies, **question}
        # The worker looks for the user's code in our folder, which has none: nothing of theirs is imported.
        executor.submit(Task("summarise", place, Frame(head)))
        report = executor.wait()[0]
        if report.state != "done":
            told: dict[str, Any] = report.head.get("error", {})
            why = told.get("message") or f"{report.head.get('cause', '')} {report.head.get('words', '')}"
            raise Unavailable(f"the table {table.entry.path} could not be read: {why.strip()}")
        answer = {key: value for key, value in report.head.items() if key not in {"id", "state"}}
        write_whole(place.code / _answered(question), json.dumps(answer).encode())
        return answer

    def _remembered(self, question: dict[str, Any]) -> dict[str, Any] | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            if self._folder is not None:
                return dict(json.loads((self._folder / _answered(question)).read_bytes()))
        return None


def _question(table: Table) -> dict[str, Any]:
    return {"mlwright": VERSION, "digest": table.entry.digest, "format": table.format}


def _answered(question: dict[str, Any]) -> str:
    """The name of the file that holds the answer."""
    return f"{composite('summary', question)}.json"


def _summary(table: Table, told: dict[str, Any] | None) -> TableSummary:
    path, form = table.entry.path, table.format
    if told is None:
        return TableSummary(path, form, hint=HINT)
    if refused := told.get("unreadable"):
        return TableSummary(path, form, unreadable=refused["message"], hint=refused["hint"])
    return TableSummary(path, form, told["rows"], msgspec.convert(told["columns"], tuple[ColumnSummary, ...]))
