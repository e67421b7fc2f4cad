"""The server's process: one event loop that answers until it is told to end."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mlwright.kernel import leases
from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.sockets import is_loopback, listen, url_of
from mlwright.workflow import Rooms

DRAIN_S = 30
"""How long requests that are being answered have when the server is told to end."""
_KEEP_ALIVE_S = 65
_SWITCH_S = 0.001
"""How long a thread computes before another may: by default a commit waits 5 ms for the event loop."""
_LEASE = "server"


def plan_up(workspace: Path, *, host: str, port: int) -> Plan:
    """What `mlwright up` will do.

    Args:
        workspace: the folder that is answered from.
        host: a loopback address.
        port: 0 for a free one.

    Raises:
        Invalid: others can reach the address.
    """
    url = url_of(loopback(host), port or "PORT")
    why = "MLflow's protocol, for clients on this machine" + ("" if port else "; PORT is any free one")
    return Plan(f"up {workspace}", (Change("add", url, why),))


def loopback(host: str) -> str:
    """The address to listen on.

    Raises:
        Invalid: others can reach it.
    """
    address = "127.0.0.1" if host == "localhost" else host
    if not is_loopback(address):
        raise Invalid(
            f"{host} can be reached from outside, and this server has no accounts yet: they come later",
            hint="leave out --host, and reach it through a tunnel: ssh -L 5000:127.0.0.1:5000 HOST",
        )
    return address


def answer(rooms: Rooms, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Answer until SIGTERM or Ctrl-C: then what was taken is still answered; a second one ends it at once.

    Args:
        host: a loopback address.
        port: 0 for a free one.
        ready: called with the address as soon as it is answered there.

    Raises:
        Invalid: others can reach the address.
        Unavailable: the port cannot be had, or the packages of the extra `serve` are missing.
        Conflict: another process answers on this workspace already.
    """
    address = loopback(host)
    try:
        import uvicorn

        from mlwright.server.app import App
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{error.name} is not installed, which the server needs", hint="uv pip install 'mlwright[serve]'"
        ) from error

    class Server(uvicorn.Server):
        """uvicorn, which says when it answers, and leaves the second signal to the system."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                ready(url)

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            with _signals(self.handle_exit):
                yield

    with listen(address, port) as listener, leases.held(rooms.database, _LEASE, _DOING):
        url = url_of(*listener.getsockname()[:2])
        config = uvicorn.Config(
            App(rooms),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            workers=1,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
        )
        sys.setswitchinterval(_SWITCH_S)
        Server(config).run(sockets=[listener])


_DOING = "this workspace is being answered from"


@contextmanager
def _signals(ask: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks for the end, the next one is the end."""
    numbers = (signal.SIGINT, signal.SIGTERM)

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
