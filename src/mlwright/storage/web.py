"""Bytes from a web server: the one place that speaks to httpx2."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from mlwright.kernel.errors import Invalid, MlwrightError, NotFound, Unavailable
from mlwright.kernel.progress import Progress
from mlwright.kernel.version import VERSION
from mlwright.storage.reach import Reach
from mlwright.storage.retrying import Transient

_REDIRECTS = 5
_CONNECT_S, _STALL_S = 10.0, 60.0
_AGAIN = "run the same command again: it goes on where it was"
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def look_at(url: str, shown: str, reach: Reach) -> tuple[int | None, str]:
    """The size and the ETag of what a server has; its bytes are not read.

    Args:
        url: where.
        shown: how messages name it.
        reach: how far it may lead.
    """
    with _asked(url, shown, {}, reach) as answer:
        return _size(answer), answer.headers.get("etag", "")


def bring(url: str, shown: str, part: Path, progress: Progress, reach: Reach) -> str:
    """Append to a file what it lacks, if the server still has the same; else all.

    Args:
        url: where from.
        shown: how messages name it.
        part: the file.
        progress: hears of every byte.
        reach: how far it may lead.

    Returns:
        The ETag; empty without one.

    Raises:
        Transient: it was cut off; what came stays in the file.
        NotFound: there is nothing.
        Invalid: it is, or leads, where nothing may be fetched from.
        Unavailable: the server cannot be reached, or refuses.
    """
    known = part.with_suffix(".etag")
    begun = part.stat().st_size if part.exists() else 0
    etag = json.loads(known.read_text()) if begun and known.exists() else ""
    asked = {"Range": f"bytes={begun}-", "If-Range": etag} if etag else {}
    with _asked(url, shown, asked, reach) as answer:
        goes_on = _goes_on(answer, begun)
        if answer.status_code != 200 and not goes_on:  # no rest, or another one: all of it, then
            part.unlink(missing_ok=True)
            raise Transient(f"{shown} sends another part than was asked for", hint=_AGAIN)
        told = answer.headers.get("etag", "")
        # A weak one says that bytes mean the same, not that they are.
        known.write_text(json.dumps("" if told.startswith("W/") else told))
        size = _size(answer)
        total = size if size is None or not goes_on else size + begun
        progress.begin(f"fetching {shown}", total)
        with part.open("ab" if goes_on else "wb") as file:
            progress.advance(file.tell())
            for piece in answer.iter_raw():
                file.write(piece)
                progress.advance(len(piece))
            written = file.tell()
    if total is not None and written != total:
        raise Transient(f"{shown} was cut off", hint=_AGAIN)
    known.unlink()
    return str(told)


class _Backend(httpcore2.SyncBackend):
    """Connects to addresses that are within reach."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first of the host's addresses that answers."""
        try:
            addresses = self._reach.addresses(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"getaddrinfo: {error}") from error
        for number, each in enumerate(addresses, 1):
            try:
                stream = super().connect_tcp(each, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses):
                    raise
                continue
            self._reach.check(host, stream.get_extra_info("server_addr")[0])
            return stream
        raise httpcore2.ConnectError("getaddrinfo: no address")


class _Transport(httpx2.BaseTransport):
    """Sends requests within reach, or through the proxy that the user's environment names.

    A proxy connects by itself, so that only an address can be looked at then, and no name.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._direct = httpx2.HTTPTransport()
        self._direct._pool.close()
        self._direct._pool = httpcore2.ConnectionPool(  # httpx2 has no argument for it
            ssl_context=httpx2.create_ssl_context(), network_backend=_Backend(reach)
        )
        self._proxied: dict[str, httpx2.HTTPTransport] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it."""
        host, scheme = request.url.host, request.url.scheme
        proxy = getproxies().get(scheme)
        if proxy is None or proxy_bypass(host):
            return self._direct.handle_request(request)
        try:
            self._reach.addresses(host, request.url.port or 0, numeric=True)
        except socket.gaierror:  # a name
            if host.rstrip(".").lower() == "localhost":
                self._reach.check(host, "127.0.0.1")
        if proxy not in self._proxied:
            self._proxied[proxy] = httpx2.HTTPTransport(proxy=proxy)
        return self._proxied[proxy].handle_request(request)

    def close(self) -> None:
        """Let go of every connection."""
        for each in (self._direct, *self._proxied.values()):
            each.close()


def _goes_on(answer: httpx2.Response, begun: int) -> bool:
    """Whether an answer is the rest of what is here."""
    found = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    return answer.status_code == 206 and found is not None and int(found[1]) == begun


def _size(answer: httpx2.Response) -> int | None:
    text = answer.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


@contextmanager
def _asked(url: str, shown: str, headers: dict[str, str], reach: Reach) -> Iterator[httpx2.Response]:
    """The answer to a request, its body still to be read; what goes wrong is said in our words."""
    timeout = httpx2.Timeout(_STALL_S, connect=_CONNECT_S)
    wanted = {"Accept-Encoding": "identity", "User-Agent": f"mlwright/{VERSION}", **headers}
    try:
        with httpx2.Client(timeout=timeout, transport=_Transport(reach)) as client:
            answer = _followed(client, client.build_request("GET", url, headers=wanted), shown, reach)
            try:
                _check(answer, shown)
                yield answer
            finally:
                answer.close()
    except httpx2.InvalidURL:
        raise Invalid(f"{shown} is no web address", hint="write https://HOST/PATH") from None
    except httpx2.HTTPError as error:
        raise _in_our_words(error, shown) from None


def _followed(client: httpx2.Client, request: httpx2.Request, shown: str, reach: Reach) -> httpx2.Response:
    for _ in range(_REDIRECTS + 1):
        answer = client.send(request, stream=True)
        following: Any = answer.next_request
        if following is None:
            return answer
        answer.close()
        if following.url.scheme not in {"http", "https"} or (
            request.url.scheme == "https" and following.url.scheme == "http"
        ):
            raise Unavailable(f"{shown} leads to an address that is not safe: {following.url.scheme}://")
        if not reach.redirects:
            raise Unavailable(
                f"{shown} leads to another address, on {following.url.host}",
                hint="follow it with --follow, or name that address",
            )
        request = following
    raise Unavailable(f"{shown} leads from one address to the next, more than {_REDIRECTS} times")


def _check(answer: httpx2.Response, shown: str) -> None:
    status = answer.status_code
    if status in {200, 206, 416}:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise Unavailable(
                f"{shown} is sent compressed though that was not asked for",
                hint="fetch it with another program, and add the file",
            )
        return
    if status in {404, 410}:
        raise NotFound(f"there is nothing at {shown}: status {status}", hint="check the address")
    if status in {401, 403, 407}:
        raise Unavailable(f"access to {shown} is denied: status {status}", hint="check who may read it")
    if status in {408, 425, 429} or status >= 500:
        raise Transient(f"{shown} answers with status {status}", hint=_AGAIN)
    raise Unavailable(f"{shown} answers with status {status}", hint="check the address")


def _in_our_words(error: httpx2.HTTPError, shown: str) -> MlwrightError:
    text = str(error)
    if isinstance(error, httpx2.UnsupportedProtocol):
        return Invalid(f"{shown} is no web address", hint="write https://HOST/PATH")
    if "CERTIFICATE" in text.upper() or "SSL" in text:
        return Unavailable(
            f"{shown} has no certificate that is trusted here",
            hint="name the authorities to trust: SSL_CERT_FILE=FILE",
        )
    if isinstance(error, httpx2.ConnectTimeout):
        return Unavailable(f"{shown} cannot be reached: no answer", hint="check the address and the network")
    if isinstance(error, httpx2.ConnectError):
        why = (
            "no such host" if "Name or service" in text or "getaddrinfo" in text else text.rpartition("] ")[2]
        )
        return Unavailable(
            f"{shown} cannot be reached: {why.lower()}", hint="check the address and the network"
        )
    if isinstance(error, httpx2.TimeoutException):
        return Transient(f"{shown} does not go on", hint=_AGAIN)
    return Transient(f"{shown} was cut off", hint=_AGAIN)
