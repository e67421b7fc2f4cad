"""How a message is taken in: no more of its lists than may be, and each name in either spelling.

A list of messages is decoded into a struct that has a place for each item, and one that nothing fits: an item
too many ends the decoding there, where a list would grow to the body's end before it is counted.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from mlwright.server.protocols.mlflow.errors import invalid

MOST_ITEMS = 1000
"""How many items a list has at most, where its field does not say it, by `Meta(max_length=...)`."""
_NOTHING = Annotated[int, Meta(ge=1, le=0)]
_FULL = re.compile(r"Expected `int`.* - at `\$\.(?P<list>.*)\[(?P<most>\d+)\]`")

T = TypeVar("T", bound=Struct)


class Intake(Generic[T]):
    """Takes in messages of a kind.

    Args:
        kind: whose fields are in `snake_case`, and None where they were not sent.
    """

    def __init__(self, kind: type[T]) -> None:
        self._spellings: list[tuple[str, str]] = []
        self._lists: list[tuple[str, Intake[Any]]] = []
        self._parts: list[tuple[str, Intake[Any]]] = []
        fields: list[tuple[str, Any, Any]] = []
        for field in msgspec.structs.fields(kind):
            kept = self._kept(field.name, field.type)
            if kept is not field.type:
                fields.append((field.name, kept, None))
            if (other := camel(field.name)) != field.name:
                self._spellings.append((field.name, other))
                fields.append((other, kept, None))
        self.kind: type[T] = msgspec.defstruct(kind.__name__, fields, bases=(kind,), kw_only=True)  # type: ignore[assignment]
        self._decoder = msgspec.json.Decoder(self.kind, strict=False)

    def decode(self, body: bytes | bytearray) -> T:
        """The message in a body.

        Raises:
            Refused: a list has too many items, or a field is named in both ways.
            msgspec.ValidationError: the body is no such message; the place is told.
            msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError: it is no JSON.
        """
        try:
            found = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            if full := _FULL.fullmatch(str(error)):
                raise invalid(
                    f"Invalid value for parameter '{full['list']}' supplied: it has more than {full['most']}"
                    " items. Send them in several requests."
                ) from None
            raise
        self._settle(found)
        return found

    def _kept(self, name: str, annotation: Any) -> Any:
        """As what a field is decoded."""
        items, most = _list_in(annotation) or (None, 0)
        if items is str:
            return Annotated[list[str], Meta(max_length=most)] | None
        message = _message_in(annotation if items is None else items)
        if message is None:
            assert items is None, f"{name}: a list is of messages or of texts"
            return annotation
        intake = intake_of(message)
        if items is None:
            self._parts.append((name, intake))
            return intake.kind | None
        self._lists.append((name, intake))
        return _places(intake.kind, most) | None  # type: ignore[arg-type]

    def _settle(self, found: Any) -> None:
        """Make a message what its handler knows: one spelling, and lists."""
        for name, other in self._spellings:
            if (value := getattr(found, other)) is not None:
                if getattr(found, name) is not None:
                    raise invalid(f"Request specifies both '{name}' and '{other}'; provide only one of them.")
                setattr(found, name, value)
        for name, intake in self._parts:
            if (part := getattr(found, name)) is not None:
                intake._settle(part)
        for name, intake in self._lists:
            if (places := getattr(found, name)) is not None:
                items = _items(places)
                setattr(found, name, items)
                if intake._spellings or intake._parts or intake._lists:
                    for each in items:
                        intake._settle(each)


@cache
def intake_of(kind: type[Struct]) -> Intake[Any]:
    """What takes in messages of a kind; made once."""
    return Intake(kind)


def camel(name: str) -> str:
    """A name in `lowerCamelCase`."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def is_list(annotation: Any) -> bool:
    """Whether a field is a list."""
    return _list_in(annotation) is not None


def _list_in(annotation: Any) -> tuple[Any, int] | None:
    """The items of a list that a field is, and how many there may be."""
    if get_origin(annotation) is list:
        return get_args(annotation)[0], MOST_ITEMS
    if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) is list:
        plain, meta = get_args(annotation)
        return get_args(plain)[0], meta.max_length
    return next((found for each in get_args(annotation) if (found := _list_in(each)) is not None), None)


def _message_in(annotation: Any) -> type[Struct] | None:
    """The message that a field is."""
    kinds = [annotation] if isinstance(annotation, type) else get_args(annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Struct)), None)


@cache
def _places(item: Any, count: int) -> type[Struct]:
    """So many places, which are filled from a list, and the one behind them."""
    places = [(f"at_{number}", item | UnsetType, UNSET) for number in range(count)]
    return msgspec.defstruct("Places", [*places, ("behind", _NOTHING | UnsetType, UNSET)], array_like=True)


def _items(places: Struct) -> list[Any]:
    """What the places hold that are filled."""
    values = msgspec.structs.astuple(places)
    return list(values[: values.index(UNSET)])
