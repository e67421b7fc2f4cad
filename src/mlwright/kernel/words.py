"""Numbers in a sentence, and texts that are not ours in one of ours."""

from __future__ import annotations

_ENTITIES = str.maketrans(
    {
        '"': "#quot;",
        "#": "#35;",
        "&": "#amp;",
        "<": "#lt;",
        "`": "#96;",
        "*": "#42;",
        "~": "#126;",
        "\\": "#92;",
    }
)


def counted(count: int, noun: str) -> str:
    """`1 element`, `2,000 elements`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def is_or_are(count: int) -> str:
    """The verb behind a number: `1 of 2 is`, `2 of 2 are`."""
    return "is" if count == 1 else "are"


def are_counted(count: int, noun: str) -> str:
    """`1 package is`, `2 packages are`."""
    return f"{counted(count, noun)} {is_or_are(count)}"


def printable(text: str) -> str:
    """A text as a terminal may have it: what it would not show, or obey, is escaped; tabs are not."""
    return text if text.isprintable() else "".join(map(_printable, text))


def in_mermaid(text: str) -> str:
    """A text for Mermaid, between quotes: nothing in it ends these, is a tag or an entity, or Markdown."""
    return text.translate(_ENTITIES)


def cut(text: str, letters: int) -> str:
    """The beginning of a text, on one line and with nothing in it that a terminal obeys."""
    begun = printable(text[: letters + 1]).replace("\t", "\\t")
    return begun if len(begun) <= letters else f"{begun[: letters - 3]}..."


def _printable(letter: str) -> str:
    if letter.isprintable() or letter == "\t":
        return letter
    return letter.encode("unicode_escape", "backslashreplace").decode()
