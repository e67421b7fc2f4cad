"""Requests and answers as JSON, by the rules of Protocol Buffers.

On the way in: integers of 64 bits as numbers or texts, NaN and the infinities as texts, enumerations by name
or number, names in `snake_case` or `lowerCamelCase`, null as if it were not there, unknown names left out. On
the way out, as MLflow's server: integers as numbers; what was not set is left out.

Source: ProtoJSON format, protobuf.dev/programming-guides/json; MLflow 3.17, `mlflow.utils.proto_json_utils`.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct

from mlwright.server.call import Call
from mlwright.server.protocols.mlflow.errors import invalid, missing_value
from mlwright.server.protocols.mlflow.intake import Intake, camel, intake_of, is_list

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
EMPTY: dict[str, Any] = {}
"""The answer of a method that answers nothing."""
_PLACE = re.compile(r"(?P<why>.*) - at `(?:key in )?\$\.?(?P<place>.*)`", re.DOTALL)
_MOST_IN_QUERY = 5_000

T = TypeVar("T", bound=Struct)


class Message(Struct, omit_defaults=True, kw_only=True):
    """What is sent either way. A field that is None was not sent, or is not."""


class Tag(Message):
    """A key and a value: of a tag or a parameter."""

    key: str | None = None
    value: str | None = None


async def message(call: Call, kind: type[T], *required: str) -> T:
    """What a request asks: its body, or the query of a `GET` that has one.

    Args:
        kind: of message.
        required: its fields that must be there, and not empty.

    Raises:
        Refused: it is no such message; the field is named.
    """
    query = call.query if call.method == "GET" else b""
    asked = _of_query(query, kind) if query else _of_body(await _json(call), kind)
    require(asked, *required)
    return asked


def require(asked: Struct, *names: str) -> None:
    """Refuse a message that lacks one of these fields, or has an empty one.

    Raises:
        Refused: it names the first.
    """
    for name in names:
        value = getattr(asked, name)
        if value is None or value == "":
            raise missing_value(name)


def number(value: float) -> float | str:
    """A float as JSON has it: what is no number is a text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


async def _json(call: Call) -> bytes | bytearray:
    body = await call.body()
    if not body:
        return b"{}"
    kind = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":  # anything else, a page of another site may send unasked
        raise invalid("Bad Request. Content-Type must be one of ['application/json'].")
    return body


def _of_body(body: bytes | bytearray, kind: type[T]) -> T:
    intake: Intake[T] = intake_of(kind)
    try:
        return intake.decode(body)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise invalid(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise invalid("the body is nested too deeply") from None


def _of_query(query: bytes, kind: type[T]) -> T:
    """A message of which each field stands in the query; a list has its name once for each item."""
    fields = _fields(kind)
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_IN_QUERY
        )
    except UnicodeDecodeError:
        raise invalid("the query is not UTF-8, percent-encoded") from None
    except ValueError:
        raise invalid(f"the query has more than {_MOST_IN_QUERY:,} fields") from None
    for name, value in pairs:
        if (field := fields.get(name)) is None:
            continue
        if is_list(field.type):
            found.setdefault(field.name, []).append(value)
        else:
            found.setdefault(field.name, value)
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _named(error) from None


def _named(error: msgspec.ValidationError) -> Exception:
    """A mismatch as MLflow tells it, by the name of the field."""
    found = _PLACE.fullmatch(str(error))
    if found is None:
        return invalid(f"the body is no such message: {error}")
    why = found["why"].replace(" | null", "").replace("`", "")
    return invalid(f"Invalid value for parameter '{found['place']}' supplied: {why}")


@lru_cache
def _fields(kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """The fields of a message by both of their names."""
    fields = msgspec.structs.fields(kind)
    return {camel(field.name): field for field in fields} | {field.name: field for field in fields}
