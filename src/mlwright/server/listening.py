"""Where the server listens: on which address, and for which workspace alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlwright.kernel import leases
from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.sockets import is_loopback, listen, url_of

if TYPE_CHECKING:
    from mlwright.app import Project

_LEASE, _DOING = "server", "this workspace is being answered from"


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


def answer(project: Project, *, host: str, port: int, ready: Callable[[str], None]) -> None:
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
        from mlwright.server.app import App
        from mlwright.server.loop import serve
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{error.name} is not installed, which the server needs", hint="uv pip install 'mlwright[serve]'"
        ) from error

    with listen(address, port) as listener, leases.held(project.rooms.database, _LEASE, _DOING):
        url = url_of(*listener.getsockname()[:2])
        serve(App(project), listener, lambda: ready(url))
