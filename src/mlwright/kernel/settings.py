"""What a project says of itself in `[tool.mlwright]` of its `pyproject.toml`, checked at the door."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.kernel.errors import Invalid, NotFound, Unavailable

LOCAL_FOLDER = ".mlwright"
_ADDRESS = re.compile(r"https?://[^\s/?#@\\]+/?")


class Settings(Struct, frozen=True):
    """`[tool.mlwright]`, each with its default.

    Args:
        pipelines: the folder whose modules hold the pipelines, relative to the project.
        workers: how many steps may run at once; 0 for one per processor.
        runs_at_once: how many runs `mlwright up` executes at once that it was asked for; the others wait.
        executor: where steps run: `local` for worker processes, `inline` for the process that asks.
        ignore: patterns, in Git's grammar, of files that no code snapshot takes.
        database: where the records are: `postgresql://USER@HOST/DATABASE`, of a server that several machines
            share; with `?password=env:NAME` or `file:PATH`, where PGPASSWORD and ~/.pgpass do not tell; empty
            for a file of the workspace's own folder.
        objects: where the bytes are: `s3://BUCKET/PREFIX` of an S3-compatible server, with a cache on this
            disk; empty for the workspace's own folder.
        remotes: where `datasets push` and `pull` go, by name: `s3://BUCKET/PREFIX`, or a folder.
        environment: the file that says what the project needs, instead of `[project]`: a `requirements.txt`,
            an `environment.yml` of conda or a `pylock.toml`. Without `[project]`, the only one there is.
        environments: further environments for steps by name, each a file as above.
        openlineage: who is told of runs in OpenLineage's words: `file`, for JSON lines, or `url` of a server,
            with `api_key` (`env:NAME` or `file:PATH`); and the `namespace` of jobs.
        url: where others reach `mlwright up`, through a proxy or a name: `https://mlwright.example.com`. Then
            every request needs a token or a session, also one that comes from this machine.
        login: where people log in with a browser: `issuer` and `client_id` of a provider of OpenID Connect,
            `client_secret` (`env:NAME` or `file:PATH`), `roles` (`"ana@example.com" = "admin"`), `scopes`.
        record_predictions: how many answers of a served model are recorded in a second at most; 0 for none.
        record_values: the columns whose values may be recorded with them; `prediction` stands for what was
            answered, `*` for all.
        serve: the limits of what served models take, by name, as `timeout_ms = 500` (docs/serving.md).
        private_imports: datasets may also be fetched from this machine and from private networks.
        mlflow_without_token: on a machine's own address, MLflow's clients may also write without a token.
    """

    pipelines: str = "pipelines"
    workers: int = 0
    runs_at_once: int = 1
    executor: str = "local"
    ignore: tuple[str, ...] = ()
    database: str = ""
    objects: str = ""
    remotes: dict[str, str] = {}
    environment: str = ""
    environments: dict[str, str] = {}
    openlineage: dict[str, str] = {}
    url: str = ""
    login: dict[str, Any] = {}
    record_predictions: int = 10
    record_values: tuple[str, ...] = ()
    serve: dict[str, int | float] = {}
    private_imports: bool = False
    mlflow_without_token: bool = True


class ProjectFolder(Struct, frozen=True):
    """A folder with `[tool.mlwright]` in its `pyproject.toml`."""

    root: Path
    name: str
    settings: Settings

    @property
    def local(self) -> Path:
        """Where this machine keeps its side of the project; by default the whole workspace."""
        return self.root / LOCAL_FOLDER


def find_project(start: Path) -> ProjectFolder:
    """The project that `start` lies in.

    Raises:
        NotFound: neither `start` nor a folder above it is a project.
        Invalid: its `pyproject.toml` is not TOML, or a setting is wrong.
        Unavailable: its `pyproject.toml` cannot be read.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        document = _read(folder / "pyproject.toml")
        section = _table(document, "tool", folder).get("mlwright")
        if section is not None:
            return ProjectFolder(folder, _name(document, folder), _settings(section, folder))
    raise NotFound(
        "this is not a mlwright project: no pyproject.toml with [tool.mlwright] here or above",
        where=str(start),
        hint="make one here: mlwright init, or name one: --project DIR",
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"pyproject.toml is not valid TOML: {error}", where=str(path)) from error
    except OSError as error:
        raise Unavailable(f"pyproject.toml cannot be read: {error.strerror}", where=str(path)) from error


def _table(document: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise Invalid(
            f"`{name}` is not a table", where=str(folder / "pyproject.toml"), hint=f"write [{name}]"
        )
    return table


def _name(document: dict[str, Any], folder: Path) -> str:
    return str(_table(document, "project", folder).get("name") or folder.name)


def _settings(section: Any, folder: Path) -> Settings:
    where = f"[tool.mlwright] in {folder / 'pyproject.toml'}"
    if not isinstance(section, dict):
        raise Invalid("`mlwright` is not a table", where=where, hint="write [tool.mlwright]")
    unknown = sorted(set(section) - set(Settings.__struct_fields__))
    if unknown:
        known = ", ".join(Settings.__struct_fields__)
        raise Invalid(f"unknown setting `{unknown[0]}`", where=where, hint=f"known settings: {known}")
    try:
        settings = msgspec.convert(section, Settings)
    except msgspec.ValidationError as error:
        raise Invalid(f"a setting has the wrong type: {error}", where=where) from error
    if settings.workers < 0:
        raise Invalid(f"`workers` cannot be {settings.workers}", where=where, hint="0 for one per processor")
    if settings.runs_at_once < 1:
        raise Invalid(
            f"`runs_at_once` cannot be {settings.runs_at_once}", where=where, hint="1 for one after the other"
        )
    if settings.record_predictions < 0:
        raise Invalid(
            f"`record_predictions` cannot be {settings.record_predictions}", where=where, hint="0 for none"
        )
    if settings.url and not _ADDRESS.fullmatch(settings.url):
        raise Invalid(
            f"`url` cannot be {settings.url!r}",
            where=where,
            hint='write "https://HOST" or "https://HOST:PORT"',
        )
    return settings
