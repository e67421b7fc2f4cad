"""Where the engines part: marked statements, the words of a schema, the places of parameters."""

from __future__ import annotations

from mlwright.kernel.dialect import placed, statements

MIGRATION = """-- What it is for; in a sentence.
CREATE TABLE thing (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL DEFAULT 'TEXT; INTEGER',
    part REAL, -- not INTEGER
    raw BLOB
) STRICT, WITHOUT ROWID;

-- only: sqlite
CREATE VIRTUAL TABLE words USING fts5 (text);

-- only: postgres
CREATE TABLE words (text TEXT, INTEGER TSVECTOR);

ALTER TABLE thing ADD COLUMN whole INTEGER;
"""


def test_a_schema_is_read_by_each_engine() -> None:
    """SQLite gets what is written, PostgreSQL its own words; what stands in quotes is left alone."""
    assert statements(MIGRATION, "sqlite") == [
        MIGRATION[: MIGRATION.index("\n\n-- only: sqlite")],
        "CREATE VIRTUAL TABLE words USING fts5 (text);",
        "ALTER TABLE thing ADD COLUMN whole INTEGER;",
    ]
    made, words, altered = statements(MIGRATION, "postgres")
    assert (
        made
        == """-- What it is for; in a sentence.
CREATE TABLE thing (
    id BIGINT PRIMARY KEY DEFAULT next_number('thing'),
    text TEXT COLLATE "C" NOT NULL DEFAULT 'TEXT; INTEGER',
    part DOUBLE PRECISION, -- not INTEGER
    raw BYTEA
);"""
    )
    assert words == "CREATE TABLE words (text TEXT, INTEGER TSVECTOR);"
    assert altered == "ALTER TABLE thing ADD COLUMN whole BIGINT;"


def test_parameters_have_places() -> None:
    """The same name is the same place; what stands in quotes, in comments and after `::` is no name."""
    sql = "SELECT ':a', \"b:c\", x::text FROM t WHERE a = :one AND b = :two AND c = :one -- :three\n"

    text, names = placed(sql)

    assert text == sql.replace(":one", "$1").replace(":two", "$2")
    assert names == ("one", "two")
