"""The paths of files as clients write them, in an address or a message, and the places they mean."""

from __future__ import annotations

from urllib.parse import unquote, unquote_to_bytes

from mlwright.server.call import Call
from mlwright.server.protocols.mlflow.errors import Refused, invalid
from mlwright.tracking.files import place_of

_MOST_DECODED = 10
_SHOWN = 100


def place(call: Call, *, folder: bool = False) -> str:
    """The place that the path of a request names, behind that of its route.

    Args:
        folder: whether it may end in a slash, as that of a folder.

    Raises:
        Refused: it is no UTF-8, or is encoded again and again.
        Invalid: it is no place.
    """
    raw = call.request.scope["raw_path"]
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise invalid("the path is not UTF-8, percent-encoded") from None
    text = plain(call.names["path"])
    return place_of(text.rstrip("/") if folder else text)


def folder(given: str | None) -> str:
    """The folder that a message names; empty for the outermost.

    Raises:
        Refused, Invalid: as `place`.
    """
    text = plain(given or "").rstrip("/")
    return text and place_of(text)


def version(place: str) -> tuple[str, str] | None:
    """The version of a model whose files lie at a place, and the path among them; None where none's do."""
    match place.split("/"):
        case ["models", identity, *inside]:
            return identity, "/".join(inside)
    return None


def plain(text: str) -> str:
    """A path with nothing left to decode: clients decode what they are told once more.

    Raises:
        Refused: it is no UTF-8, or is encoded again and again; or has a `#` in it, behind which clients cut.
    """
    shown = text[:_SHOWN]
    for _ in range(_MOST_DECODED):
        try:
            decoded = unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise _invalid_path(shown, "it is not UTF-8, percent-encoded") from None
        if decoded == text:
            if "#" in text:
                raise _invalid_path(shown, "it has a # in it")
            return text
        text = decoded
    raise _invalid_path(shown, "it is percent-encoded again and again")


def _invalid_path(shown: str, why: str) -> Refused:
    return invalid(f"Invalid path {shown!r}: {why}")
