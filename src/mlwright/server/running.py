"""What a running server leaves for the commands on its machine: where it answers, the workspace's own token.

The file is made anew each time a server begins, for its user alone, and goes with it: what is left of one
that was killed opens nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Invalid, Unavailable
from mlwright.kernel.sockets import is_loopback, url_of

if TYPE_CHECKING:
    from mlwright.app import Project

FILE = "server.json"
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Running(Struct, frozen=True):
    """A server of a workspace.

    Args:
        url: where it answers; of one that listens on every address, with that.
        token: the workspace's own, with which everything may be done.
    """

    url: str
    token: str

    def answers_at(self, url: str) -> bool:
        """Whether an address on loopback is this server's, and nobody else's on this machine."""
        try:
            here, asked = urlsplit(self.url), urlsplit(url)
            at = {"localhost": "127.0.0.1"}.get(asked.hostname or "", asked.hostname or "")
            if (asked.port or 80) != here.port or not is_loopback(at):
                return False
        except ValueError:
            return False
        return at == here.hostname or here.hostname in {"0.0.0.0", "::"}  # noqa: S104 - it is compared


@contextmanager
def left(local: Path, address: str, port: int, token: str, scheme: str = "http") -> Iterator[Running]:
    """Let the file lie there while the block runs.

    Args:
        local: this machine's side of the workspace.
        address: that is listened on.
        port: likewise.
        token: the workspace's own.
        scheme: `https` with a certificate.
    """
    made = Running(url_of(address, port).replace("http", scheme, 1), token)
    path = local / FILE
    making = local / f".{FILE}-{os.getpid()}"
    local.mkdir(parents=True, exist_ok=True)
    making.unlink(missing_ok=True)
    descriptor = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(made))
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)
    try:
        yield made
    finally:
        path.unlink(missing_ok=True)


def running(local: Path) -> Running | None:
    """The server of a workspace on this machine; None if none has left word.

    Raises:
        Invalid: others can read the file, or write it.
    """
    path = local / FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        told = os.fstat(file.fileno())
        if told.st_uid != os.geteuid():
            return None
        if told.st_mode & _FOR_OTHERS:
            raise Invalid(
                "others can read the workspace's own token, so that it is not sent",
                where=str(path),
                hint=f"chmod 600 {path}, and start the server again: that makes a new one",
            )
        try:
            return msgspec.json.decode(file.read(), type=Running)
        except msgspec.MsgspecError:
            return None


def public_url(project: Project) -> str:
    """The address at which browsers reach the server of a project.

    Raises:
        Unavailable: none answers on this machine.
        Invalid: others can read what it left.
    """
    found = running(project.rooms.workspace.local)
    if found is None:
        raise Unavailable("no server answers for this workspace on this machine", hint="mlwright up")
    if public := project.rooms.project.settings.url:
        return public.rstrip("/")
    for every, near in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        if every in found.url:
            return found.url.replace(every, near)
    return found.url


def own_token(folder: Path, url: str) -> str:
    """The workspace's own token, if the folder lies in a project whose server answers at an address here.

    Raises:
        Invalid: others can read it.
    """
    from mlwright.kernel.errors import NotFound
    from mlwright.kernel.settings import find_project
    from mlwright.workspace.layout import LOCAL

    try:
        local = find_project(folder).local / LOCAL
    except NotFound:
        return ""
    found = running(local)
    return found.token if found is not None and found.answers_at(url) else ""
