"""Where the server listens: on which address, for whom, and for which workspace alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from mlwright.kernel import leases
from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.events import actor
from mlwright.kernel.plan import Change, Plan
from mlwright.kernel.sockets import is_loopback, listen, url_of
from mlwright.server.permissions import Role
from mlwright.server.running import left
from mlwright.server.tokens import digest_of_secret, has_admin, issue_link, new_secret
from mlwright.wire.bounds import Bounds
from mlwright.wire.tls import Certificate, tls_of

if TYPE_CHECKING:
    from mlwright.app import Project
    from mlwright.server.identity import Admission
    from mlwright.server.oidc.settings import Login

BOUNDS = Bounds()
"""What clients are allowed."""
_LEASE, _DOING = "server", "this workspace is being answered from"


class Up(Struct, frozen=True):
    """A server that answers.

    Args:
        url: where.
        login: a link that lets a browser in, once, within 10 minutes.
        exposed: whether others than this machine reach it, so that everybody needs a token or a session.
        encrypted: whether what is sent there is, from here on or from the proxy before it.
    """

    url: str
    login: str
    exposed: bool
    encrypted: bool


def plan_up(project: Project, *, host: str, port: int, certificate: Certificate | None = None) -> Plan:
    """What `mlwright up` will do.

    Args:
        host: an address of this machine.
        port: 0 for a free one.
        certificate: for `https`.

    Raises:
        Invalid: others can reach the address, and nobody could prove who they are; or it is none.
    """
    address = address_of(host)
    login = login_of(project)
    exposed = check_exposed(project, address, login)
    url = _url(address, port or "PORT", certificate)
    why = "pages, the REST API and MLflow's protocol, " + (
        "for who has a token or a session" if exposed else "for this machine"
    )
    free = "" if port else "; PORT is any free one"
    return Plan(f"up {project.rooms.workspace.root}", (Change("add", url, why + free),))


def address_of(host: str) -> str:
    """The address to listen on.

    Raises:
        Invalid: it is none.
    """
    try:
        return str(ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]")))
    except ValueError:
        raise Invalid(
            f"--host {host} is no address of this machine",
            hint="write an address, as 0.0.0.0 for all; a name that leads here is the setting `url`",
        ) from None


def login_of(project: Project) -> Login | None:
    """Where people log in, with all that it needs in its place; None where they do not.

    Raises:
        Invalid: something is wrong in the setting.
        Unavailable: the client's secret is not where it should be, or the packages of the extra `login` are
            missing.
    """
    from mlwright.server.oidc.settings import check_packages, parse_login

    here = project.rooms.project
    login = parse_login(here.settings.login, here.root)
    if login is not None:
        login.secret()
        check_packages()
    return login


def check_exposed(project: Project, address: str, login: Login | None) -> bool:
    """Whether others than this machine can reach a server.

    Args:
        project: whose setting `url` counts too: a proxy before a server on loopback brings everybody.
        address: that it will listen on.
        login: where people log in.

    Raises:
        Invalid: they can, and there is no admin who could begin; or who logs in could not be sent back.
    """
    from mlwright.server.guard import parse_url

    settings = project.rooms.project.settings
    public = parse_url(settings.url).name if settings.url else "localhost"
    if is_loopback(address) and (public == "localhost" or is_loopback(public)):
        return False
    if login is not None and not settings.url:
        raise Invalid(
            "people log in at a provider, which must be told where to send them back to",
            hint='set `url` in [tool.mlwright]: url = "https://HOST"',
        )
    if not (login is not None and login.has_admin) and not has_admin(project.rooms.database):
        shown = settings.url if is_loopback(address) else address
        raise Invalid(
            f"{shown} can be reached from outside, and nobody could prove there who they are",
            hint="make a token first: mlwright tokens create NAME --role admin",
        )
    return True


def answer(
    project: Project,
    *,
    host: str,
    port: int,
    ready: Callable[[Up], None],
    certificate: Certificate | None = None,
) -> None:
    """Answer until SIGTERM or Ctrl-C: then what was taken is still answered; a second one ends it at once.

    Args:
        host: an address of this machine.
        port: 0 for a free one.
        ready: called as soon as it answers.
        certificate: for `https`.

    Raises:
        Invalid: others can reach the address, and nobody could prove who they are; or it is none.
        Unavailable: the port cannot be had, or the packages of the extra `serve` are missing.
        Conflict: another process answers on this workspace already.
    """
    address = address_of(host)
    login = login_of(project)
    exposed = check_exposed(project, address, login)
    try:
        from mlwright.server.app import App
        from mlwright.server.protocols.mlflow.errors import problem_and_error
        from mlwright.wire.loop import serve
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"{error.name} is not installed, which the server needs", hint="uv pip install 'mlwright[serve]'"
        ) from error

    tls = None if certificate is None else tls_of(certificate)
    workspace, public = project.rooms.workspace, project.rooms.project.settings.url
    own = new_secret()
    project.takes_paths = False
    with listen(address, port) as listener, leases.held(project.rooms.database, _LEASE, _DOING):
        taken = listener.getsockname()[1]
        url = _url(address, taken, certificate)

        encrypted = certificate is not None or public.startswith("https://")
        up = Up(url, login_link(project, public or url), exposed, encrypted)
        app = App(project, admission_of(project, own, exposed=exposed, login=login))
        with left(workspace.local, address, taken, own, "https" if certificate else "http"):
            serve(app, listener, lambda: ready(up), tls=tls, bounds=BOUNDS, refuse=problem_and_error)


def admission_of(project: Project, own: str, *, exposed: bool, login: Login | None = None) -> Admission:
    """On what terms a project is answered on.

    Args:
        own: the workspace's own token.
        exposed: whether others than this machine can reach it.
        login: where people log in.
    """
    from mlwright.server.identity import Admission

    settings = project.rooms.project.settings
    return Admission(
        owner=actor(),
        own_digest=digest_of_secret(own),
        exposed=exposed,
        tokenless=settings.mlflow_without_token,
        cookie=f"mlwright_{project.rooms.workspace.id[-8:].lower()}",
        url=settings.url,
        login=login,
    )


def login_link(project: Project, url: str) -> str:
    """A link that lets a browser in once, within 10 minutes, as who asks here."""
    with project.rooms.database.transaction() as tx:
        key = issue_link(tx, actor(), Role.ADMIN).secret
    return f"{url.rstrip('/')}/login?key={key}"


def _url(address: str, port: int | str, certificate: Certificate | None) -> str:
    """Where a server answers: of one that listens on every address, where this machine reaches it."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - it is compared
    url = url_of(near, port)
    return url if certificate is None else url.replace("http", "https", 1)
