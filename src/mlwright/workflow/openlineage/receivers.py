"""Who is told: a file of JSON lines, or a server that speaks OpenLineage's HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import urlsplit

from mlwright.kernel.errors import Invalid, MlwrightError, NotFound, Unavailable
from mlwright.kernel.settings import ProjectFolder
from mlwright.kernel.version import VERSION

if TYPE_CHECKING:
    import httpx2

SETTINGS = ("file", "url", "api_key", "namespace")
ENDPOINT = "/api/v1/lineage"
"""Where a server takes events, unless its address says otherwise."""

_CONNECT_S, _ANSWER_S = 2.0, 3.0
_NOW_NOT = {408, 425, 429}
_TRUE = {"1", "true", "yes"}


class Refused(MlwrightError):
    """An event was not taken, and would not be if it were sent again."""


class Receiver(Protocol):
    """Takes events, one after the other.

    Laws:
        1. what was given is with the receiver when `give` returns
        2. `Refused` says that it is no use to give the same again; `Unavailable` that it may be
        3. no call takes longer than a few seconds
    """

    shown: str
    namespace: str

    def give(self, event: Mapping[str, Any]) -> None:
        """Hand over an event."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Let go."""


class FileReceiver:
    """A file with an event in each line; runs that go on at once append to the same."""

    def __init__(self, path: Path, namespace: str) -> None:
        self.shown = str(path)
        self.namespace = namespace
        self._path = path

    def give(self, event: Mapping[str, Any]) -> None:
        """Append a line, in one write."""
        line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                while line:
                    line = line[os.write(descriptor, line) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(f"{error.strerror}", where=self.shown) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Each line was closed."""


class HttpReceiver:
    """A server; each event is a POST.

    Args:
        key: sent as a bearer token; never shown.
    """

    def __init__(self, url: str, key: str, namespace: str) -> None:
        self.shown = url
        self.namespace = namespace
        self._url = url
        self._headers = {"User-Agent": f"mlwright/{VERSION}", "Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._client: httpx2.Client | None = None

    def give(self, event: Mapping[str, Any]) -> None:
        """Send it, and hear that it was taken."""
        import httpx2  # 60 ms, which only runs that are told of pay

        try:
            if self._client is None:
                timeout = httpx2.Timeout(_ANSWER_S, connect=_CONNECT_S)
                self._client = httpx2.Client(timeout=timeout, headers=self._headers)
            answer = self._client.post(self._url, content=json.dumps(event, ensure_ascii=False).encode())
        except httpx2.HTTPError as error:
            # What httpx2 says may repeat an address with a key in it: only the kind of fault is told.
            raise Unavailable(f"it cannot be reached ({type(error).__name__})", where=self.shown) from None
        if answer.is_success:
            return
        told = f"it answered {answer.status_code} {answer.reason_phrase}".rstrip()
        if answer.status_code in _NOW_NOT or answer.status_code >= 500:
            raise Unavailable(told, where=self.shown)
        raise Refused(told, where=self.shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()


def receiver_of(project: ProjectFolder, variables: Mapping[str, str]) -> Receiver | None:
    """Who is told of the project's runs, by its settings or else by OpenLineage's own variables; or nobody.

    Raises:
        Invalid: a setting is unknown, or cannot be used.
        NotFound: the variable that holds the key is not set.
    """
    if variables.get("OPENLINEAGE_DISABLED", "").lower() in _TRUE:
        return None
    told = project.settings.openlineage
    namespace = namespace_of(project, variables)
    _check(told)
    if told.get("file"):
        return FileReceiver(project.root / told["file"], namespace)
    url = told.get("url") or variables.get("OPENLINEAGE_URL", "")
    if not url:
        return None
    return HttpReceiver(_address(url), _key_for(project, variables), namespace)


def namespace_of(project: ProjectFolder, variables: Mapping[str, str]) -> str:
    """The namespace of the project's jobs."""
    told = project.settings.openlineage.get("namespace")
    return told or variables.get("OPENLINEAGE_NAMESPACE") or project.name


def _check(told: Mapping[str, str]) -> None:
    where = "[tool.mlwright.openlineage] in pyproject.toml"
    for name in told:
        if name not in SETTINGS:
            raise Invalid(
                f"unknown setting `{name}`", where=where, hint=f"known settings: {', '.join(SETTINGS)}"
            )
    if told.get("file") and told.get("url"):
        raise Invalid("`file` and `url` are two receivers", where=where, hint="leave out one of them")
    key = told.get("api_key")
    if key is not None and not key.startswith(("env:", "file:")):
        raise Invalid(
            "`api_key` holds no key, but says where it is",
            where=where,
            hint='write api_key = "env:NAME", or "file:PATH"',
        )


def _key_for(project: ProjectFolder, variables: Mapping[str, str]) -> str:
    """The key of the receiver; that of the variables goes to the address in the variables only."""
    told = project.settings.openlineage
    if "api_key" in told:
        key = _key(told["api_key"], variables, project.root)
    else:
        key = "" if told.get("url") else variables.get("OPENLINEAGE_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise Invalid(
            "the key for OpenLineage holds letters that no header can", hint="look at it where it is kept"
        )
    return key


def _key(reference: str, variables: Mapping[str, str], root: Path) -> str:
    kind, _, name = reference.partition(":")
    if kind == "env":
        if not variables.get(name):
            raise NotFound(
                f"the variable {name}, which holds the key for OpenLineage, is not set",
                hint=f"set {name}, or OPENLINEAGE_DISABLED=true to tell nobody",
            )
        return variables[name].strip()
    try:
        return (root / Path(name).expanduser()).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"the key for OpenLineage cannot be read: {name}") from error


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Invalid(
            "the address of the OpenLineage receiver is no web address", hint="write url = https://HOST:PORT"
        )
    if "@" in parts.netloc or parts.query:
        raise Invalid(
            "the address of the OpenLineage receiver holds no credentials",
            hint='write https://HOST:PORT, and api_key = "env:NAME"',
        )
    return url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}{ENDPOINT}"
