"""A client of gRPC by hand, so that it can send what no good one sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from mlwright.serving.protocols.grpc_messages import INFERENCE
from tests.wire.speaking import Headers, Speaker

SERVICE = "inference.GRPCInferenceService"
OK, INVALID, DEADLINE, NOT_FOUND, DENIED, EXHAUSTED = 0, 3, 4, 5, 7, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16


@dataclass(frozen=True)
class Called:
    """What a call has come to: `message` is why it failed, `body` what was answered, without its length."""

    status: int
    message: str
    body: bytes
    trailers: dict[str, str]

    def read(self, kind: Any) -> Any:
        """The message of the answer; the call has not failed."""
        assert self.status == OK, self.message
        return kind.FromString(self.body)


class Caller:
    """Calls on one connection.

    Args:
        url: of a server.
    """

    def __init__(self, url: str) -> None:
        self.speaker = Speaker(urlsplit(url).port or 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.speaker.stream.close()

    def begin(self, path: str, framed: bytes, metadata: Headers = ()) -> int:
        """Begin a call with what stands after its head; its number."""
        head = [("content-type", "application/grpc"), ("te", "trailers"), *metadata]
        number = self.speaker.ask(path, None, head, ends=not framed)
        if framed:
            self.speaker.pour(number, framed)
        return number

    def end(self, number: int) -> Called:
        """Wait for how it comes out."""
        answer = self.speaker.answer(number)
        assert answer.ended, f"the call was ended with {answer.reset}"
        told = answer.trailers or answer.headers
        body = answer.body
        assert not body or len(body) == 5 + int.from_bytes(body[1:5])
        return Called(int(told["grpc-status"]), unquote(told.get("grpc-message", "")), body[5:], told)

    def call(self, method: str, message: Any = b"", metadata: Headers = ()) -> Called:
        """Call a method of the inference service, or another one by its path."""
        path = method if method.startswith("/") else f"/{SERVICE}/{method}"
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        return self.end(self.begin(path, b"\0" + len(raw).to_bytes(4) + raw, metadata))

    def infer(self, message: Any, metadata: Headers = ()) -> Called:
        """Ask a model."""
        return self.call("ModelInfer", message, metadata)


Given = tuple[str, str, Sequence[int], bytes]
"""The name, the datatype and the shape of a tensor, and its raw bytes."""


def asked(model: str, tensors: Sequence[Given], **fields: Any) -> Any:
    """A `ModelInferRequest` with raw tensors."""
    message = INFERENCE["ModelInferRequest"](model_name=model, **fields)
    for name, datatype, shape, raw in tensors:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_input_contents.append(raw)
    return message
