"""Search: versions by the words in their names, tags, columns and messages, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from mlwright.kernel.database import Database, Queries, Source, Transaction
from mlwright.kernel.errors import Invalid
from mlwright.versioning.found import lexemes, marked, phrases, wanted

_SQL = Queries.beside(__file__)
_FIELDS = ("name", "tags", "columns", "message")
_UNREAD = 200


class Match(Struct, frozen=True):
    """A version that holds all words.

    Args:
        version_id: which.
        score: the larger, the better it fits; to be compared within one search only.
        why: of each field that holds some of the words, a piece of it; the words stand between brackets.
    """

    version_id: str
    score: float
    why: dict[str, str]


def add(
    tx: Transaction, version_id: str, kind: str, name: str, message: str, about: Mapping[str, Any]
) -> None:
    """Let a version be found, in the transaction that makes it."""
    tags = about.get("tags") or {}
    tx.execute(
        _SQL["add_to_search"],
        version_id=version_id,
        kind=kind,
        name=name,
        tags=", ".join(f"{key}={value}" for key, value in tags.items()),
        columns=", ".join(_columns(about)),
        message=message,
    )


def remove(tx: Transaction, version_id: str) -> None:
    """Let a version be found no more, in the transaction that takes it away."""
    tx.execute(_SQL["remove_from_search"], version_id=version_id)


def remove_name(tx: Transaction, kind: str, name: str) -> None:
    """Let no version under a name be found any more, in the transaction that takes them all away."""
    tx.execute(_SQL["remove_name_from_search"], kind=kind, name=name)


def learn_columns(database: Database, version_id: str, columns: Iterable[str]) -> None:
    """Columns that were not known when the version was made: from now on it is found by them too."""
    if _unknown(database, version_id):
        with database.transaction() as tx:
            if _unknown(tx, version_id):
                tx.execute(_SQL["set_columns_in_search"], version_id=version_id, columns=", ".join(columns))


def find(database: Database, kind: str, words: str, limit: int) -> list[Match]:
    """The versions of a kind that hold all words, best first; the last word may be the beginning of one.

    Raises:
        Invalid: there is no word, or the limit is not positive.
    """
    if limit < 1:
        raise Invalid(f"the limit {limit} is not positive")
    asked = _query(words)
    if not asked:
        raise Invalid(f"there is no word in {words!r}", hint="give words of a name, column, tag or message")
    _read_words(database)
    asked_phrases = phrases(words)
    rows = database.read(
        _SQL["search_versions"],
        words=asked,
        lexemes=wanted(asked_phrases),
        kind=kind,
        limit=min(limit, 10_000),
    )
    return [
        Match(
            row["version_id"],
            row["score"],
            {name: piece for name in _FIELDS if (piece := marked(row[name] or "", asked_phrases))},
        )
        for row in rows
    ]


def nearest_names(database: Database, kind: str, words: str) -> list[str]:
    """Names of a kind that are spelt nearly like one of the words; three at most."""
    from difflib import get_close_matches

    names = {row["name"].lower(): row["name"] for row in database.read(_SQL["names_of_kind"], kind=kind)}
    close = [near for word in words.lower().split() for near in get_close_matches(word, names, n=3)]
    return [names[near] for near in dict.fromkeys(close)][:3]


def _query(words: str) -> str:
    """What FTS5 is asked: each word in quotes, so that nothing a user types is an operator."""
    texts = [word.replace("\0", "").replace('"', '""') for word in words.split()]
    texts = [f'"{word}"' for word in texts if any(map(str.isalnum, word))]
    return f"{' AND '.join(texts)}*" if texts else ""


def _read_words(database: Database) -> None:
    """Let an index that does not read for itself know the words of what came since the last search."""
    while database.read(_SQL["unread_in_search"], limit=1):
        with database.transaction() as tx:
            for row in tx.read(_SQL["unread_in_search"], limit=_UNREAD):
                found = lexemes([row[name] or "" for name in _FIELDS])
                tx.execute(_SQL["set_words_in_search"], version_id=row["version_id"], lexemes=found)


def _columns(about: Mapping[str, Any]) -> list[str]:
    """The columns of a dataset's one table, or what a model takes."""
    if about.get("columns"):
        return [str(name) for name in about["columns"]]
    signature = about.get("signature") or {}
    return [str(each["name"]) for each in (*signature.get("inputs", ()), *signature.get("named", ()))]


def _unknown(source: Source, version_id: str) -> bool:
    rows = source.read(_SQL["columns_in_search"], version_id=version_id)
    return bool(rows) and not rows[0]["columns"]
