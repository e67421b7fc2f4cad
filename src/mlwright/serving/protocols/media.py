"""Our own protocol for models that are asked by name: JSON, a form with files, or the bytes of one file.

Answers are JSON; those of a predictor that streams are server-sent events.
Source: WHATWG HTML Living Standard, 9.2 Server-sent events.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from mlwright.sdk.kinds import MEDIA, is_taken
from mlwright.sdk.rows import plain
from mlwright.sdk.values import Misfit, media_of, one_of
from mlwright.serving.named import Named, recordable, told_of
from mlwright.serving.openapi_named import raw_types, single
from mlwright.serving.problems import Fault, Problem
from mlwright.serving.protocols.multipart import FORM, parts_of
from mlwright.serving.request import JSON, Endpoint, Reply, Request
from mlwright.serving.served import Served, shares_by_class
from mlwright.serving.spool import Kept, Spool
from mlwright.serving.walk import Columns
from mlwright.versioning.signatures import Input

EVENTS = "text/event-stream"
_TEXT = "text/plain"
_UNKNOWN = "application/octet-stream"
_FLAT = {"number", "integer", "boolean", "json", "tensor"}
"""What stands as JSON in a part of a form, and behind a question mark."""


class Reader:
    """Reads requests of one model.

    Args:
        served: the model.
    """

    def __init__(self, served: Served) -> None:
        self._limits = served.limits
        self._named: Named = served.named
        inputs = served.spec.signature.named
        self._single = single(inputs)
        self.taken = (JSON, FORM, *raw_types(inputs))

    async def columns(self, request: Request, kept: Kept) -> Columns:
        """What a request asks about.

        Args:
            kept: where its files go.

        Raises:
            Problem: 400, 413, 415, 422 or 503.
        """
        kind = request.media_type
        if kind in {JSON, ""}:
            return self._named.read(await request.body(self._limits.body_bytes))
        request.check_coding()
        if kind == FORM:
            return await self._form(request, kept)
        single = self._single
        if single is not None and self._takes(single, kind):
            return await self._raw(request, single, kept)
        raise Problem(415, f"the content type must be {one_of(self.taken)}, not {kind[:60]}")

    def _takes(self, asked: Input, kind: str) -> bool:
        if asked.kind == "text":
            return kind == _TEXT
        return kind == _UNKNOWN or is_taken(kind, asked.media_types)

    async def _raw(self, request: Request, asked: Input, kept: Kept) -> Columns:
        """The body is the value of the only input that is needed; others stand behind the question mark."""
        content = await kept.keep(request.pieces(), self._most(asked), "the body")
        others = {
            name: _flat(self._named, name, text) for name, text in request.query.items() if name != "proba"
        }
        return self._named.columns(others, {asked.name: [self._value(asked, content, request.media_type)]})

    async def _form(self, request: Request, kept: Kept) -> Columns:
        """A field for each input; of one that takes many, several of one name."""
        told: dict[str, Any] = {}
        files: dict[str, list[Any]] = {}
        left = self._limits.file_bytes
        async for part in parts_of(request.headers.get("content-type", ""), request.pieces()):
            asked = self._named.inputs.get(part.name)
            if asked is None:
                if faults := list(self._named.unknown(iter([part.name]))):
                    raise Problem(422, faults=faults)
                continue
            if (part.name in told or part.name in files) and not asked.many:
                raise Problem(422, faults=[Fault("is given twice", field=part.name)])
            most = min(left, self._most(asked))
            content = await kept.keep(part.content, most, f"`{part.name}`")
            left -= len(content) if isinstance(content, bytes) else content.stat().st_size
            if content == b"" and (not asked.required or asked.kind != "text"):
                continue  # what a form sends for a field that nobody filled in
            if asked.kind in MEDIA:
                files.setdefault(part.name, []).append(self._value(asked, content, part.media_type))
            elif part.media_type.partition(";")[0].strip().lower() == JSON:
                if part.name in told:
                    raise Problem(422, faults=[Fault("is given twice", field=part.name)])
                told[part.name] = _from_json(part.name, asked.kind, _decoded(part.name, content))
            elif asked.many and asked.kind != "tensor":
                told.setdefault(part.name, []).append(
                    _flat(self._named, part.name, _decoded(part.name, content))
                )
            else:
                told[part.name] = _flat(self._named, part.name, _decoded(part.name, content))
        return self._named.columns(told, files)

    def _most(self, asked: Input) -> int:
        return self._limits.file_bytes if asked.kind in MEDIA else self._limits.body_bytes

    def _value(self, asked: Input, content: bytes | Path, media_type: str) -> Any:
        if asked.kind == "text":
            return _decoded(asked.name, content)
        try:
            return media_of(asked, content, media_type, folder=self._named.folder)
        except Misfit as misfit:
            raise Problem(415, f"`{asked.name}` {misfit}") from None


def endpoint(served: Served, wants_probabilities: Callable[[Request, Served], bool]) -> Endpoint:
    """What answers for one model that is asked by name.

    Args:
        wants_probabilities: reads `?proba=`.
    """
    reader, model = Reader(served), served.spec.model.encode()
    spool = Spool(served.named.folder, served.limits.spool_bytes)
    inputs, streams = served.spec.signature.named, served.spec.signature.output.stream

    def headers(identity: str) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"x-mlwright-prediction-id", identity.encode()), (b"x-mlwright-model", model))

    async def predict(request: Request) -> Reply:
        began = perf_counter()
        proba = wants_probabilities(request, served)
        with spool.begin() as kept:
            columns = await reader.columns(request, kept)
            outputs = await served.ask(columns, proba=proba)
            recorded = recordable(columns)
        told: dict[str, Any] = {"predictions": plain(outputs.labels)}
        if outputs.shares is not None:
            told["probabilities"] = shares_by_class(served.class_names, outputs.shares)
        told["model"] = served.spec.model
        identity = told["id"] = served.answered(recorded, told["predictions"], began, 0, asked=columns)
        return Reply(msgspec.json.encode(told), headers=headers(identity))

    async def stream(request: Request) -> Reply:
        began = perf_counter()
        wants_probabilities(request, served)
        kept = spool.begin()
        try:
            columns = await reader.columns(request, kept)
            pieces = served.pieces(told_of(inputs, columns))
            first = await anext(pieces, _END)  # what is refused at once has a status of its own
        except BaseException:
            kept.close()
            raise
        identity = served.answered(recordable(columns), [] if first is _END else [first], began, 0)
        body = _events(first, pieces, kept, {"model": served.spec.model, "id": identity})
        return Reply(body, media_type=EVENTS, headers=(*headers(identity), (b"cache-control", b"no-store")))

    return stream if streams else predict


_END = object()


async def _events(
    first: Any, pieces: AsyncGenerator[Any], kept: Kept, last: dict[str, str]
) -> AsyncGenerator[bytes]:
    """The pieces as events; an `error` if one is not made, an `end` behind the last."""
    try:
        if first is not _END:
            yield _event(first)
            async for piece in pieces:
                yield _event(piece)
        yield b"event: end\n" + _event(last)
    except Problem as problem:
        yield b"event: error\ndata: " + problem.document() + b"\n\n"
    finally:
        await pieces.aclose()
        kept.close()


def _event(value: Any) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"  # JSON has no line breaks of its own


def _decoded(name: str, content: bytes | Path) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            422, faults=[Fault(f"must be UTF-8, and byte {error.start} is not", field=name)]
        ) from None


def _flat(named: Named, name: str, text: str) -> Any:
    """The value of a field, which is text: as it is, or as JSON."""
    asked = named.inputs.get(name)
    if asked is None or asked.kind not in _FLAT:
        return text
    return _from_json(name, asked.kind, text)


def _from_json(name: str, kind: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        raise Problem(422, faults=[Fault(f"must be {kind} in JSON", field=name)]) from None
