"""Tables larger than memory: cut into parts of some rows, read part by part, written with more columns.

Text (CSV, TSV, JSON Lines) is cut at its bytes and copied as it is, so that what stands in a cell stays what
it was. Parquet and Arrow need pyarrow, which is imported when a file is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from mlwright.kernel.errors import Invalid
from mlwright.sdk.table_files import FORMATS, format_of

ROWS = 50_000
"""Of a part, if nobody says otherwise."""

Columns = Mapping[str, Sequence[Any]]
"""Values by column, all of one length."""


@dataclass(frozen=True)
class Part:
    """Some rows of a file.

    Args:
        first: the number of its first row, counted from 0.
        start: of text, where its bytes begin.
        size_bytes: of text, how many there are.
    """

    file: str
    first: int
    rows: int
    start: int = 0
    size_bytes: int = 0


class Form(Protocol):
    """A format of tables. A source is the file, opened at any place."""

    typed: bool
    """Whether values have types; else each is the text of a cell."""

    def columns(self, source: IO[bytes]) -> list[str]:
        """The names of the columns; of JSON Lines none.

        Raises:
            Invalid: it is no such table.
        """

    def parts(self, source: IO[bytes], file: str, rows: int) -> Iterable[Part]:
        """All of its rows, so many at a time.

        Raises:
            Invalid: it is no such table.
        """

    def read(self, source: IO[bytes], part: Part, names: Sequence[str]) -> dict[str, Any]:
        """Rows as a request has them: `rows`, or `columns`; of these columns, those that there are.

        Raises:
            Invalid: a row of it cannot be read.
        """

    def write(
        self,
        source: IO[bytes],
        target: Path,
        parts: Iterable[tuple[Part, Columns]],
        kinds: Mapping[str, str],
        *,
        only: bool,
    ) -> None:
        """Write all rows with more columns.

        Args:
            parts: of the whole file in its order, each with the new columns.
            kinds: the new columns: `number`, `integer`, `boolean` or `string`.
            only: nothing else is written.
        """


def form_of(file: str, owner: str) -> Form:
    """The format of a file.

    Args:
        owner: how a message names what the file belongs to.

    Raises:
        Invalid: it is no table.
    """
    from mlwright.sdk.parts_arrow import Arrow, Parquet
    from mlwright.sdk.parts_text import Delimited, JsonLines

    match format_of(file):
        case "csv":
            return Delimited(",")
        case "tsv":
            return Delimited("\t")
        case "jsonl":
            return JsonLines()
        case "parquet":
            return Parquet()
        case "arrow":
            return Arrow()
    raise Invalid(f"`{file}` of {owner} is not a table", hint=f"tables are {', '.join(FORMATS)}")
