"""Operations over HTTP: what is asked is read from path, query and body, and done in a thread."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response

from mlwright.kernel.digest import digest_of
from mlwright.kernel.errors import Invalid
from mlwright.kernel.plain import plain
from mlwright.server.answered import Answer, once
from mlwright.server.call import Call
from mlwright.server.operations import MSGPACK, PREFIX, Operation, shown_by
from mlwright.server.problems import Refusal
from mlwright.server.routes import Route
from mlwright.server.streams import head_of_stream, stream

_MOST_IN_QUERY = 1000
_PLACE = re.compile(r"(?P<why>.*) - at `(?:key in )?\$\.?(?P<place>.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_TAG_LETTERS = 32


def routes_of(operations: Iterable[Operation[..., Any]]) -> list[Route]:
    """The routes at which operations are answered."""
    known = list(operations)
    return [
        Route(each.method, PREFIX + each.path, partial(_answer, each, shown_by(each, known)), each.permission)
        for each in known
    ]


async def _answer(operation: Operation[..., Any], shown: Operation[..., Any] | None, call: Call) -> Response:
    asked = await _asked(operation, call)
    if operation.streams:
        if call.method == "HEAD":
            return head_of_stream()
        return stream(call, operation, asked)
    return await call.tracker.threads.run(_done, operation, shown, call.tracker.project, asked, call.headers)


def _done(
    operation: Operation[..., Any],
    shown: Operation[..., Any] | None,
    project: Any,
    asked: dict[str, Any],
    headers: dict[bytes, bytes],
) -> Response:
    """Do it, and write the answer, all in one thread."""
    if operation.method != "GET" and (wanted := headers.get(b"if-match")) is not None:
        _check_match(wanted, shown, project, asked)
    key = headers.get(b"idempotency-key") if operation.takes_key else None
    packed = key is None and headers.get(b"accept") == MSGPACK.encode()

    def do() -> Answer:
        answer = project.perform(operation, **asked)
        body = _packed(answer) if packed else encoded(answer)
        made = operation.location.format_map(_Fields(answer))
        return Answer(operation.status, PREFIX + made if made else "", body)

    if key is None:
        answer = do()
    elif operation.secret:
        raise Invalid("an answer with a secret is not kept", where="idempotency-key", hint="leave it out")
    else:
        request = encoded([operation.name, asked])
        answer = once(project.rooms.database, key.decode("latin-1"), request, do)
    body = answer.body
    told = {"cache-control": "no-cache", "vary": "accept"}
    if answer.location:
        told["location"] = answer.location
    if operation.method == "GET":
        told["etag"] = tag = _tag_of(body)
        if tag in [each.removeprefix("W/") for each in _tags(headers.get(b"if-none-match", b""))]:
            return Response(None, 304, told)
    return Response(body, answer.status, told, MSGPACK if packed else "application/json")


def encoded(value: Any) -> bytes:
    """A value as JSON, as the command line writes it too."""
    return msgspec.json.encode(value, enc_hook=plain)


def _packed(value: Any) -> bytes:
    """A value as MessagePack, which has a word for NaN; a number beyond 64 bits is the text of it."""
    try:
        return msgspec.msgpack.encode(value, enc_hook=plain)
    except OverflowError:
        return msgspec.msgpack.encode(_within(msgspec.to_builtins(value, enc_hook=plain)))


def _within(value: Any) -> Any:
    match value:
        case int() if not -(2**63) <= value < 2**64:
            return str(value)
        case list() | tuple():
            return [_within(each) for each in value]
        case dict():
            return {name: _within(each) for name, each in value.items()}
    return value


class _Fields(dict[str, str]):
    """The fields of an answer by name."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def __missing__(self, name: str) -> str:
        return str(getattr(self._answer, name))


def _tag_of(body: bytes) -> str:
    return f'"{digest_of(body)[:_TAG_LETTERS]}"'


def _tags(header: bytes) -> list[str]:
    return [each.strip() for each in header.decode("latin-1").split(",")]


def _check_match(
    wanted: bytes, shown: Operation[..., Any] | None, project: Any, asked: dict[str, Any]
) -> None:
    """Refuse a change of what is not, any more, as somebody has read it.

    Args:
        wanted: the header If-Match.
        shown: what shows that; None where there is nothing to read at that path.

    Raises:
        Refusal: it is another, or nothing can be compared.

    Source: RFC 9110, 13.1.1: tags are compared strongly, and a weak one is like none.
    """
    if shown is None:
        raise Refusal(412, "what this changes has no ETag to compare with", hint="leave If-Match out")
    value = project.perform(shown, **{name: asked[name] for name in shown.variables})
    tags = {_tag_of(encoded(value)), _tag_of(_packed(value)), "*"}
    if tags.isdisjoint(_tags(wanted)):
        raise Refusal(412, "it is not any more what If-Match names", hint="read it again")


async def _asked(operation: Operation[..., Any], call: Call) -> dict[str, Any]:
    """The arguments of an operation as a request tells them.

    Raises:
        Invalid: one is missing, unknown or wrong; it is named.
        Refusal: the body is no JSON.
    """
    found = converted(dict(call.names), operation.in_path, strict=False)
    if not operation.has_body:
        return found | converted(_query(call.query, operation.lists), operation.beside, strict=False)
    if call.query:
        raise Invalid("this is asked in the body, and the query must be empty", where="query")
    return found | converted(await _body(call), operation.beside, strict=True)


async def _body(call: Call) -> Any:
    body = await call.body()
    kind = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    # Anything else a page of another site may send unasked.
    if kind != b"application/json" and (body or kind):
        raise Refusal(415, "the body must be application/json", hint="content-type: application/json")
    try:
        return msgspec.json.decode(body) if body else {}
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise Refusal(400, f"the body is not valid JSON: {error}") from None


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """Names and values of a query.

    Raises:
        Refusal: it is none.
    """
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_IN_QUERY
        )
    except UnicodeDecodeError:
        raise Refusal(400, "the query is not UTF-8, percent-encoded") from None
    except ValueError:
        raise Refusal(400, f"the query has more than {_MOST_IN_QUERY:,} fields") from None


def _query(query: bytes, lists: frozenset[str]) -> dict[str, Any]:
    """The fields of a query; a list has its name once for each item."""
    found: dict[str, Any] = {}
    for name, value in pairs_of(query):
        if name in lists:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Invalid(f"`{name}` is given twice", where=name)
        else:
            found[name] = value
    return found


def converted(value: Any, kind: type[msgspec.Struct], *, strict: bool) -> dict[str, Any]:
    """Values as the arguments of a function; what was not told is left out.

    Args:
        value: by name.
        kind: what they must be.
        strict: numbers are no texts.

    Raises:
        Invalid: one is missing, unknown or wrong; it is named.
    """
    try:
        _refuse_nul(value)
        made = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except RecursionError:
        raise Refusal(400, "the request is nested too deeply") from None
    return {name: getattr(made, name) for name in value}


def _named(error: msgspec.ValidationError) -> Invalid:
    """A mismatch, by the name of what is wrong."""
    text = str(error)
    if found := _UNKNOWN.match(text):
        return Invalid(f"there is no `{found['name']}` to be asked", where=found["name"])
    if found := _MISSING.match(text):
        return Invalid(f"`{found['name']}` is missing", where=found["name"])
    if found := _PLACE.fullmatch(text):
        return Invalid(f"`{found['place']}` is wrong: {found['why']}", where=found["place"])
    return Invalid(f"the request is wrong: {text}")


def _refuse_nul(value: Any) -> None:
    """Refuse the one letter that no name, filter or text here may have."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("a text has a NUL in it, which nothing here may have")
    elif isinstance(value, dict):
        for each in (*value, *value.values()):
            _refuse_nul(each)
    elif isinstance(value, list):
        for each in value:
            _refuse_nul(each)
