"""A project that a server answers for: operations go there, and come back as the same values."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, cast
from urllib.parse import quote, urlsplit

import httpx2
import msgspec

from mlwright.kernel.errors import FateUnknown, Incompatible, Invalid, NotFound, Unavailable
from mlwright.kernel.ids import new_id
from mlwright.kernel.sockets import is_loopback
from mlwright.server.operations import MSGPACK, PREFIX, Operation
from mlwright.server.problems import Problem, error_of

_CONNECT_S, _ANSWER_S = 10.0, 1800.0
_SILENT_S = 60.0
"""A stream says every ten seconds that it goes on."""
_TOKEN = re.compile(r"[\x21-\x7e]*")
T = TypeVar("T")


class RemoteProject:
    """Does operations on a server. What needs the files or the processes of a project is refused.

    Args:
        url: of the server.
        token: that is sent with every request; empty for none.

    Raises:
        Invalid: the address is none, or the token cannot be one; or a proxy of the environment is none.
    """

    is_here = False

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        if not _TOKEN.fullmatch(token):
            raise Invalid("the token has letters that no token has", where="MLWRIGHT_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        # What goes to this machine, the workspace's own token with it, is no proxy's business.
        far = not _is_here(self.url)
        try:
            self._client = httpx2.Client(
                headers=headers,
                timeout=httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S),
                follow_redirects=False,
                trust_env=far,
                verify=_trusted(self.url),
            )
        except (ImportError, ValueError) as error:
            raise Invalid(
                f"a proxy of the environment cannot be used: {error}", hint="see HTTP_PROXY, ALL_PROXY"
            ) from error

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
        if operation.takes_key and not operation.secret:
            request.headers["idempotency-key"] = new_id()  # it is done once, whoever sends it again
        if operation.streams:
            return cast("T", self._stream(operation, request))
        request.headers["accept"] = MSGPACK
        response = self._sent(request)
        return cast("T", self._decoded(response, operation.answer))

    def _request(self, operation: Operation[..., Any], asked: Mapping[str, Any]) -> httpx2.Request:
        plain = msgspec.to_builtins(asked)
        path = operation.path.replace(":path}", "}")
        for name in operation.variables:
            named = str(plain.pop(name))
            if named in {"", ".", ".."}:
                raise NotFound(f"nothing is named {named!r}")
            path = path.replace(f"{{{name}}}", quote(named, safe=""))
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
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise self._away(error) from error
        except httpx2.HTTPError as error:
            if request.method != "GET":
                raise FateUnknown(
                    f"the server was asked and has not answered: {error or type(error).__name__}",
                    where=self.url,
                    hint="look whether it was done, before you ask again",
                ) from error
            raise self._away(error) from error
        if not response.is_success:
            raise error_of(self._problem(response))
        return response

    def _away(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"the server does not answer: {error or type(error).__name__}",
            where=self.url,
            hint="is it up there? mlwright up",
        )

    def _none(self, error: Exception | None = None) -> Incompatible:
        why = f"its answer is not understood: {error}" if error else "it answers something else"
        what = "what answers there is no mlwright server of this version"
        return Incompatible(f"{what}: {why}", where=self.url)

    def _stream(self, operation: Operation[..., Any], request: httpx2.Request) -> Iterator[Any]:
        waits = {"connect": _CONNECT_S, "read": _SILENT_S, "write": _SILENT_S, "pool": _SILENT_S}
        request.extensions = {**request.extensions, "timeout": waits}
        response = self._sent(request, stream=True)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.close()
            raise self._none()
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
        except msgspec.MsgspecError as error:
            raise self._none(error) from error
        except httpx2.HTTPError as error:
            raise Unavailable(f"the server has stopped answering: {error}", where=self.url) from error
        finally:
            response.close()
        raise Unavailable("the server ended before all was told", where=self.url, hint="ask again")

    def _decoded(self, response: httpx2.Response, kind: Any) -> Any:
        told = response.headers.get("content-type", "")
        try:
            if told == MSGPACK:
                return msgspec.msgpack.decode(response.content, type=kind)
            if told == "application/json":  # an answer that is kept for who asks it again
                return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            raise self._none(error) from error
        raise self._none()

    def _problem(self, response: httpx2.Response) -> Problem:
        try:
            return msgspec.json.decode(response.content, type=Problem)
        except msgspec.MsgspecError:
            status = response.status_code
            return Problem(response.reason_phrase, status, f"the server answers {status}", where=self.url)


def _is_here(url: str) -> bool:
    """Whether an address is one of this machine's loopback.

    Raises:
        Invalid: it is no address of a server.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        fits = fits and not (parts.query or parts.fragment or parts.username or parts.password)
        if not fits or not url.isascii() or any(each.isspace() for each in url):
            raise ValueError
    except ValueError:
        raise Invalid(
            "this is no address of a server", where=f"MLWRIGHT_URL={url}", hint="http://127.0.0.1:5000"
        ) from None
    assert parts.hostname is not None
    return parts.hostname == "localhost" or is_loopback(parts.hostname)


def _trusted(url: str) -> ssl.SSLContext:
    """Whose certificates count: those that this machine trusts; to read them takes 20 ms, so only for TLS."""
    return (
        ssl.create_default_context()
        if urlsplit(url).scheme == "https"
        else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
