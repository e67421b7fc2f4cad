"""A project that a server answers for: operations go there, and come back as the same values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast
from urllib.parse import quote

import httpx2
import msgspec

from mlwright.kernel.errors import Incompatible, Invalid, Unavailable
from mlwright.server.operations import MSGPACK, PREFIX, Operation
from mlwright.server.problems import Problem, error_of

_TIMEOUT_S = 60.0
T = TypeVar("T")


class RemoteProject:
    """Does operations on a server. What needs the files or the processes of a project is refused.

    Args:
        url: of the server.
        token: that is sent with what changes anything; empty for none.
    """

    is_here = False

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT_S, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def __getattr__(self, name: str) -> NoReturn:
        raise Invalid(
            "this command needs the files of a project, which are not on a server",
            where=self.url,
            hint="take MLWRIGHT_URL out of the environment, and use it in the project",
        )

    def perform(self, operation: Operation[..., T], *args: Any, **kwargs: Any) -> T:
        """Ask the server to do it.

        Raises:
            MlwrightError: what the server raised.
            Unavailable: it does not answer.
            Incompatible: what it answers is not what this version understands.
        """
        request = self._request(operation, operation.bound(*args, **kwargs))
        if operation.streams:
            return cast("T", self._stream(operation, request))
        request.headers["accept"] = MSGPACK
        response = self._sent(request)
        if response.headers.get("content-type") != MSGPACK:
            raise Incompatible("what answers there is no mlwright server", where=self.url)
        return cast("T", _decoded(response.content, operation.answer))

    def _request(self, operation: Operation[..., Any], asked: Mapping[str, Any]) -> httpx2.Request:
        plain = msgspec.to_builtins(asked)
        path = operation.path.replace(":path}", "}")
        for name in operation.variables:
            path = path.replace(f"{{{name}}}", quote(str(plain.pop(name)), safe=""))
        url = f"{self.url}{PREFIX}{path}"
        if operation.has_body:
            body = msgspec.json.encode(plain)
            return self._client.build_request(
                operation.method, url, content=body, headers={"content-type": "application/json"}
            )
        query: list[tuple[str, str | int | float | bool | None]] = [
            (name, _text(each))
            for name, value in plain.items()
            if value is not None
            for each in (value if isinstance(value, list | tuple) else [value])
        ]
        return self._client.build_request(operation.method, url, params=query)

    def _sent(self, request: httpx2.Request, *, stream: bool = False) -> httpx2.Response:
        try:
            response = self._client.send(request, stream=stream)
            if not response.is_success:
                response.read()
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"the server does not answer: {error or type(error).__name__}",
                where=self.url,
                hint="is it up there? mlwright up",
            ) from error
        if not response.is_success:
            raise error_of(_problem(response))
        return response

    def _stream(self, operation: Operation[..., Any], request: httpx2.Request) -> Iterator[Any]:
        request.extensions = {**request.extensions, "timeout": {"connect": _TIMEOUT_S, "read": _TIMEOUT_S}}
        response = self._sent(request, stream=True)
        kind = "message"
        try:
            for line in response.iter_lines():
                word, _, value = line.partition(": ")
                if not line:
                    kind = "message"
                elif word == "event":
                    kind = value
                elif word == "data" and kind == "end":
                    return
                elif word == "data" and kind == "error":
                    raise error_of(msgspec.json.decode(value, type=Problem))
                elif word == "data":
                    yield msgspec.json.decode(value, type=operation.answer)
        except httpx2.HTTPError as error:
            raise Unavailable(f"the server has stopped answering: {error}", where=self.url) from error
        finally:
            response.close()
        raise Unavailable("the server ended before all was told", where=self.url, hint="ask again")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(response: httpx2.Response) -> Problem:
    try:
        return msgspec.json.decode(response.content, type=Problem)
    except msgspec.MsgspecError:
        return Problem(
            response.reason_phrase, response.status_code, f"the server answers {response.status_code}"
        )


def _decoded(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise Incompatible(
            f"the server's answer is not understood: {error}", hint="is it of the same version?"
        ) from error
