"""uvicorn, as this server runs it: bounded, and ended by signals without losing what it has taken."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlwright.kernel.errors import Invalid

if TYPE_CHECKING:
    from mlwright.server.listening import Certificate

DRAIN_S = 30
"""How long requests that are being answered have when the server is told to end."""
MOST_CONNECTIONS = 1000
"""A client of one more is told to come again."""
MOST_HEAD_BYTES = 256 << 10
"""What the request line and the headers of a request may have."""
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_KEEP_ALIVE_S = 65
_SWITCH_S = 0.001
"""How long a thread computes before another may: by default a commit waits 5 ms for the event loop."""


class _Protocol(HttpToolsProtocol):
    """HTTP with heads of bounded length."""

    _head_bytes = 0
    _in_head = False

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LONG)
                self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with _signals(self.handle_exit):
            yield


def serve(
    app: ASGIApp, listener: socket.socket, ready: Callable[[], None], certificate: Certificate | None = None
) -> None:
    """Answer until SIGTERM or Ctrl-C: then what was taken is still answered; a second one ends it at once.

    Args:
        ready: called as soon as it answers.
        certificate: for `https`.

    Raises:
        Invalid: the certificate or its key cannot be used.
    """
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=_Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        ssl_certfile=None if certificate is None else certificate.chain,
        ssl_keyfile=None if certificate is None else certificate.key,
        ssl_keyfile_password=None if certificate is None else "",  # without one OpenSSL asks the terminal
    )
    try:
        config.load()
    except OSError as error:  # also of ssl: not those two, not of each other, encrypted
        assert certificate is not None, error
        raise Invalid(
            f"the certificate and its key cannot be used: {error.strerror or error}",
            where=str(certificate.chain),
            hint="PEM files, the key not encrypted: --tls-cert FILE --tls-key FILE",
        ) from error
    sys.setswitchinterval(_SWITCH_S)
    _Server(config, ready).run(sockets=[listener])


@contextmanager
def _signals(ask: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """The first interrupt asks for the end, the next one is the end; what is ignored (`nohup`) stays so."""
    interrupts = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in interrupts if signal.getsignal(number) is not signal.SIG_IGN]

    def first(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        ask(number, frame)

    before = {number: signal.signal(number, first) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
