"""Where SQL parts by engine: marked statements, the words of a schema, the places of parameters.

The migrations are written once, as SQLite reads them. A statement that only one engine can run, or needs, has
a line of its own before it: `-- only: sqlite` or `-- only: postgres`. All others are translated here.
"""

from __future__ import annotations

import re
from typing import Literal

Engine = Literal["sqlite", "postgres"]

_ONLY = re.compile(r"^-- only: (sqlite|postgres)\n", re.MULTILINE)
_END = re.compile(r";[ \t]*(?:\n|$)")
_TABLE = re.compile(r"\s*CREATE TABLE (\w+)")
# Text in quotes and comments stay as they are: each rule is tried where those are skipped.
_SKIPPED = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*"
_WORDS = re.compile(
    rf"(?P<skipped>{_SKIPPED})"
    r"|(?P<tail>\) (?:STRICT, WITHOUT ROWID|STRICT|WITHOUT ROWID)(?=;))"
    r"|(?P<counted>\bINTEGER PRIMARY KEY AUTOINCREMENT\b)"
    r"|(?P<numbered>\bINTEGER PRIMARY KEY\b)"
    r"|(?P<word>\b(?:INTEGER|REAL|BLOB|TEXT)\b)"
)
_TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA", "TEXT": 'TEXT COLLATE "C"'}
_PARAMETER = re.compile(rf"{_SKIPPED}|::|:(?P<name>[A-Za-z_]\w*)")


def statements(sql: str, engine: Engine) -> list[str]:
    """The statements of a migration for an engine, in the order they stand, each with its comments.

    A statement ends with a semicolon at the end of a line.
    """
    found = []
    for piece in _split(sql):
        marked = _ONLY.search(piece)
        if marked is not None and marked[1] != engine:
            continue
        whole = _ONLY.sub("", piece)
        found.append(whole if marked is not None or engine == "sqlite" else _translated(whole))
    return found


def placed(sql: str, mark: str = "$") -> tuple[str, tuple[str, ...]]:
    """A query with numbers in the places of its parameters, and their names in that order.

    `a = :x AND b = :y AND c = :x` becomes `a = $1 AND b = $2 AND c = $1`, with `("x", "y")`.

    Args:
        mark: what stands before a number: SQLite reads `?`.
    """
    names: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        if (name := found["name"]) is None:
            return found[0]
        return f"{mark}{names.setdefault(name, len(names) + 1)}"

    return _PARAMETER.sub(place, sql), tuple(names)


def _split(sql: str) -> list[str]:
    return [piece.strip() + ";" for piece in _END.split(sql) if piece.strip()]


def _translated(sql: str) -> str:
    """A statement of a schema as PostgreSQL reads it.

    Text is compared byte by byte, as SQLite does, whatever the language of the database. A number that SQLite
    gives is the next of a counter of the table, which a rollback takes back.
    """
    table = _TABLE.search(sql)

    def word(found: re.Match[str]) -> str:
        match found.lastgroup:
            case "skipped":
                return found[0]
            case "tail":
                return ")"
            case "counted" | "numbered":
                assert table is not None, "a table is created where a key is declared"
                return f"BIGINT PRIMARY KEY DEFAULT next_number('{table[1]}')"
            case _:
                return _TYPES[found[0]]

    return _WORDS.sub(word, sql)
