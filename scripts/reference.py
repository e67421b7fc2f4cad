"""Write `docs/reference/` from the code, so that no page says what the code does not do.

    python scripts/reference.py

Run by `make docs` with the interpreter of `.venv`. The same code gives the same bytes: `tests/docs` compares
them with what is committed.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import json
import re
import sys
import textwrap
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

import mlwright
from mlwright import steps
from mlwright.app import Project
from mlwright.cli import root
from mlwright.kernel import errors
from mlwright.kernel.database import Migration, all_migrations
from mlwright.kernel.errors import Cancelled, MlwrightError
from mlwright.kernel.ids import VersionId
from mlwright.kernel.settings import Settings
from mlwright.kernel.sqlite import SqliteDatabase
from mlwright.server.api import ROUTES as REST_ROUTES
from mlwright.server.api import document
from mlwright.server.app import ROUTES as UP_ROUTES
from mlwright.server.operations import PREFIX as REST_PREFIX
from mlwright.server.protocols.mlflow import limits
from mlwright.server.protocols.mlflow.routes import PLACES as MLFLOW_PLACES
from mlwright.server.routes import MIB, STREAMED, Route
from mlwright.server.tokens import TokenKind
from mlwright.serving.client import Prediction
from mlwright.serving.client_stream import Stream
from mlwright.serving.openapi import openapi
from mlwright.serving.problems import MAX_FAULTS, MEDIA_TYPE, Fault, Problem
from mlwright.serving.spec import ModelSpec, ReplicaSpec
from mlwright.tracking import RunState
from mlwright.tracking.reports import INPUTS_BYTES
from mlwright.versioning.signatures import Column, Example, Output, Signature
from mlwright.versioning.versions import Kind
from mlwright.web.routes import PAGES
from mlwright.web.routes import ROUTES as PAGE_ROUTES

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "mlwright"
REFERENCE = ROOT / "docs" / "reference"

_LIMITS = {
    "NAME_LENGTH": "name of a metric, parameter or tag",
    "VALUE_LENGTH": "value of a parameter or of a run's tag",
    "EXPERIMENT_NAME_LENGTH": "name of an experiment",
    "EXPERIMENT_TAG_LENGTH": "value of an experiment's tag",
    "METRICS_PER_BATCH": "metrics in a batch",
    "PARAMS_PER_BATCH": "parameters in a batch",
    "TAGS_PER_BATCH": "tags in a batch",
    "ALL_PER_BATCH": "all of these in a batch",
    "DATASETS_PER_BATCH": "datasets in one request",
    "DATASET_NAME_LENGTH": "name of a dataset",
    "DATASET_DIGEST_LENGTH": "digest of a dataset",
    "DATASET_SOURCE_LENGTH": "source of a dataset",
    "DATASET_SCHEMA_LENGTH": "schema of a dataset",
    "DATASET_PROFILE_LENGTH": "profile of a dataset",
    "INPUT_TAGS": "tags of a dataset",
    "INPUT_TAG_NAME_LENGTH": "name of a dataset's tag",
    "INPUT_TAG_LENGTH": "value of a dataset's tag",
    "RESULTS": "results on a page",
    "PAGE_BYTES": "bytes of a page of more than one result",
    "HISTORY_RESULTS": "values of a metric on a page",
    "HISTORY_RUNS": "runs in one request for their metrics",
}
"""What the limits of MLflow's protocol are of."""
_MADE = "<!-- Written by scripts/reference.py (`make docs`). Change the code, not this page. -->"
_WIDTH = 110
_COMMON = ("--dry-run", "--project", "--json", "--debug", "--help")
_SECTION = re.compile(r"^(Args|Returns|Raises|Source):(.*)$")


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each page, by file name."""
    made = {
        "commands.md": commands_page(),
        "python.md": python_page(),
        "settings.md": settings_page(),
        "tables.md": tables_page(),
        "events.md": events_page(),
        "http.md": http_page(),
        "mlflow.md": mlflow_page(),
        "rest.md": rest_page(),
        "conformance.md": conformance_page(),
        "pages.md": pages_page(),
    }
    return {name: f"{_MADE}\n\n{_wrapped(text.strip())}\n" for name, text in made.items()}


# The command line


class Door(NamedTuple):
    """A command as it is typed, `models alias`, and what click knows of it."""

    name: str
    command: click.Command


def doors() -> list[Door]:
    """Every command, groups left out, in the order of `--help`."""
    context = click.Context(root, info_name="mlwright")
    found = []
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [Door(f"{name} {each}", command.commands[each]) for each in sorted(command.commands)]
        else:
            found.append(Door(name, command))
    return found


def commands_page() -> str:
    """Each command with its help, arguments, options and example; the options and exit codes of all."""
    found = doors()
    common = {
        option: parameter.help
        for door in found
        for parameter in door.command.params
        if isinstance(parameter, click.Option) and (option := parameter.opts[-1]) in _COMMON
    }
    common["--help"] = "Show the command's help."
    parts = [
        "# Commands",
        "Ids of runs and digests may be shortened to a unique prefix; for `mlwright runs`, `latest` is the"
        " newest run that is no comparison of models. A dataset or model reference is `NAME`, `NAME@3`,"
        " `NAME@ALIAS` or `NAME@b3:DIGEST`; a"
        " bare `NAME` is its newest version.",
        "\n".join(f"- [`mlwright {door.name}`](#{_slug('mlwright ' + door.name)})" for door in found),
        "## Options that every command has",
        _table(["option", "meaning"], [(f"`{option}`", common[option]) for option in _COMMON]),
        "`--dry-run` belongs to the commands that change something. `mlwright --version` prints the version.",
        "## Exit codes",
        _table(["code", "meaning", "error"], _exit_codes()),
        "What went wrong is told on standard error as `error: ...`, the place as `at ...`, the way on as"
        " `hint: ...`.",
    ]
    for door in found:
        parts += _door(door)
    return "\n\n".join(parts)


def _door(door: Door) -> Iterator[str]:
    command = door.command
    context = click.Context(command, info_name=f"mlwright {door.name}")
    options = [
        parameter
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.opts[-1] not in _COMMON
    ]
    changes = any("--dry-run" in parameter.opts for parameter in command.params)
    yield f"## mlwright {door.name}"
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    yield _joined(command.help or "")
    if options:
        rows = [(_spelled(each, context), _told(each, context)) for each in options]
        yield _table(["option", "meaning"], rows)
    yield "Changes something: `--dry-run` shows the plan." if changes else "Changes nothing."
    example = (command.epilog or "").removeprefix("Example: ")
    yield f"```sh\n{example}\n```"


def _spelled(option: click.Option, context: click.Context) -> str:
    names = ", ".join(sorted([*option.opts, *option.secondary_opts], key=len))
    value = "" if option.is_flag else f" {option.make_metavar(context).removesuffix(' RANGE')}"
    return f"`{names}{value}`"


def _told(option: click.Option, context: click.Context) -> str:
    default = None if option.is_flag or option.multiple else option.get_default(context)
    needs = " Required." if option.required else ""
    shown = isinstance(default, str | int) and default != ""
    return f"{option.help}{needs}" + (f" Default: `{default}`." if shown else "")


def _exit_codes() -> list[tuple[str, str, str]]:
    rows = [("0", "It is done.", "")]
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, MlwrightError) and kind is not MlwrightError
    ]
    by_code: dict[int, list[type[MlwrightError]]] = {}
    for kind in kinds:
        if kind is not Cancelled:
            by_code.setdefault(kind.exit_code, []).append(kind)
    for code, those in sorted(by_code.items()):
        meaning = " ".join(_joined(kind.__doc__ or "").partition("\n")[0] for kind in those)
        if code == 1:
            meaning += " Also: `runs reproduce` found an output that differs."
        rows.append((str(code), meaning, ", ".join(f"`{kind.__name__}`" for kind in those)))
    rows += [("130", "Ctrl-C ended it.", "`Cancelled`"), ("143", "SIGTERM ended it.", "`Cancelled`")]
    return rows


# The Python face


def python_page() -> str:
    """Every public name with its signature and docstring, and what `Project` answers with."""
    names = [name for name in mlwright.__all__ if not name.startswith("__")]
    listed = "".join(f"    {name},\n" for name in names)
    parts = [
        "# Python",
        "```python\n"
        f"from mlwright import (\n{listed})\n"
        f"from mlwright.steps import {', '.join(steps.__all__)}\n"
        "```",
        "`mlwright.__version__` is the version, as text. Errors are classes of `mlwright.kernel.errors`; each"
        " has `message`, `where`, `hint` and `exit_code` (see [the exit codes](commands.md#exit-codes)).",
    ]
    for name in names:
        parts += _documented(name, getattr(mlwright, name), "mlwright")
    for name in steps.__all__:
        parts += _documented(name, getattr(steps, name), "mlwright.steps")
    parts.append("## What a project answers with")
    parts.append("What the members of `Project` return. What only the engine calls is left out.")
    for kind in _answers(Project):
        parts += _class(kind, "###", brief=True)
    parts.append("## What a client answers with")
    for kind in (Prediction, Stream):
        parts += _class(kind, "###", brief=True)
    return "\n\n".join(parts)


def _documented(name: str, thing: Any, module: str) -> Iterator[str]:
    yield f"## {module}.{name}"
    if inspect.isclass(thing):
        yield from list(_class(thing, "##", brief=False))[1:]
        return
    shapes = typing.get_overloads(thing) or [thing]
    yield "```python\n" + "\n".join(_signature(name, each) for each in shapes) + "\n```"
    yield _markdown(inspect.getdoc(thing) or "")


def _fields(kind: type) -> dict[str, str]:
    """The fields of a value and their types as they are written; none for what is no value."""
    if dataclasses.is_dataclass(kind):
        return {each.name: str(each.type) for each in dataclasses.fields(kind)}
    found = inspect.get_annotations(kind) if issubclass(kind, msgspec.Struct) else {}
    return {name: text.replace("'", '"') for name, text in found.items()}  # Python keeps them in its own way


def _class(kind: type, level: str, *, brief: bool) -> Iterator[str]:
    """A class: what it is, its fields, its public methods; `brief` tells each method in one line."""
    told = _markdown(inspect.getdoc(kind) or "")
    yield f"{level} {kind.__name__}"
    if fields := "\n".join(f"{name}: {text}" for name, text in _fields(kind).items()):
        yield f"```python\n{fields}\n```"
    elif brief:
        told = told.partition("\n")[0]  # how it is made is the engine's
    elif "**Args:**" in told:
        yield f"```python\n{_signature(kind.__name__, kind.__init__)}\n```"
    yield told
    members = [(name, member) for name, member in _members(kind) if not brief or not _of_engine(member)]
    if brief:
        rows = [(f"`{_joined(_call(name, member))}`", _first_line(member)) for name, member in members]
        if rows:
            yield _table(["member", "meaning"], rows)
        return
    for name, member in members:
        yield f"{level}# {kind.__name__}.{name}"
        yield f"```python\n{_call(name, member)}\n```"
        yield _markdown(inspect.getdoc(member) or "")


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, in the order they are written; those of bases of ours first."""
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("mlwright.")]
    for name, written in {name: each for base in ours for name, each in vars(base).items()}.items():
        member = written.__func__ if isinstance(written, staticmethod | classmethod) else written
        told = isinstance(member, property | functools.cached_property) or inspect.isfunction(member)
        if told and not name.startswith("_"):
            yield name, member


def _of_engine(member: Any) -> bool:
    """Whether a method takes part in a transaction, or moves bytes between workspaces."""
    parameters = inspect.signature(member).parameters.values() if inspect.isfunction(member) else ()
    return any(each.annotation in ("Transaction", "InlineObjects") for each in parameters)


def _call(name: str, member: Any) -> str:
    if isinstance(member, property):
        member = member.fget
    elif isinstance(member, functools.cached_property):
        member = member.func
    else:
        return _signature(name, member)
    return f"{name}: {_annotation(inspect.signature(member).return_annotation)}"


def _signature(name: str, function: Any) -> str:
    """A signature as it would be written, without `self`; over one line when it is too long for that."""
    signature = inspect.signature(function)
    own = [each for each in signature.parameters.values() if each.name not in ("self", "cls")]
    texts, starred = [], False
    for each in own:
        if each.kind is each.KEYWORD_ONLY and not starred:
            texts.append("*")
        starred = starred or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        texts.append(_parameter(each))
    returned = signature.return_annotation
    if inspect.isgeneratorfunction(getattr(function, "__wrapped__", None)):
        returned = returned.replace("Iterator[", "AbstractContextManager[")
    arrow = "" if returned in (inspect.Signature.empty, "None") else f" -> {_annotation(returned)}"
    line = f"{name}({', '.join(texts)}){arrow}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {text},\n" for text in texts) + f"){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = json.dumps(parameter.default) if isinstance(parameter.default, str) else repr(parameter.default)
    return f"{text} = {default}" if parameter.annotation is not parameter.empty else f"{text}={default}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _first_line(member: Any) -> str:
    return _joined((inspect.getdoc(member) or "").partition("\n\n")[0])


def _answers(kind: type) -> list[type]:
    """Our own classes that the members of a class return, by name."""
    found: dict[str, type] = {}
    for _, member in _members(kind):
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        waiting = [typing.get_type_hints(inspect.unwrap(function)).get("return")]
        while waiting:
            hint = waiting.pop()
            waiting += typing.get_args(hint)
            ours = isinstance(hint, type) and hint.__module__.startswith("mlwright.")
            if ours and hint is not kind and hint.__name__ not in mlwright.__all__:
                found[hint.__name__] = hint
    return [found[name] for name in sorted(found)]


def _markdown(docstring: str) -> str:
    """A docstring of ours as Markdown: its sections become lists."""
    out: list[str] = []
    for line in docstring.splitlines():
        if section := _SECTION.match(line):
            told = section[2].strip()
            out += ["", f"**{section[1]}:**{' ' + told if told else ''}", ""]
        elif item := re.match(r"    (\*{0,2}\w+|\w+(?:, \w+)+): (.*)$", line):
            out.append(f"- `{item[1]}`: {item[2]}")
        elif line.startswith("        "):
            out[-1] += f" {line.strip()}"
        else:
            out.append(line.removeprefix("    "))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


# Settings


def settings_page() -> str:
    """`[tool.mlwright]`, each setting with its type, default and meaning."""
    meanings, types = _arguments(Settings), _fields(Settings)
    rows = [
        (f"`{each.name}`", f"`{types[each.name]}`", f"`{_default(each)}`", meanings[each.name])
        for each in msgspec.structs.fields(Settings)
    ]
    example = "\n".join(f"{each.name} = {_default(each)}" for each in msgspec.structs.fields(Settings))
    return "\n\n".join(
        [
            "# Settings",
            "A project says these of itself in its `pyproject.toml`. An unknown setting, or one of the wrong"
            " type, is refused before anything is done. The table may be empty: it makes a folder a project.",
            f"```toml\n[tool.mlwright]\n{example}\n```",
            _table(["setting", "type", "default", "meaning"], rows),
            "## Environment variables",
            _table(
                ["variable", "meaning"],
                [
                    ("`CI`", "`1` or `true`: a run prints one line for each step, also on a terminal."),
                    (
                        "`UV_*`, `SSL_CERT_FILE`, `HTTPS_PROXY`, ...",
                        "Go through to uv, which locks and installs packages: index, cache, certificates."
                        " `UV_PYTHON_DOWNLOADS` is `never` unless you set it.",
                    ),
                    (
                        "`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, ...",
                        "Who asks for objects in a bucket; without them the files in `~/.aws`, then what a"
                        " container or an instance is given. Never stored.",
                    ),
                    (
                        "`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_DEFAULT_REGION`",
                        "Where buckets are that are not Amazon's, and in which region; what an address says"
                        " itself (`?endpoint=...&region=...`) counts before.",
                    ),
                    (
                        "`AWS_CA_BUNDLE`, `AWS_SKIP_SIGNATURE`, `AWS_CHECKSUM_ALGORITHM`, ...",
                        "Certificates to trust; `true` for a public bucket without credentials; and the other"
                        " settings of obstore.",
                    ),
                    (
                        "`OPENLINEAGE_URL`, `OPENLINEAGE_API_KEY`, `OPENLINEAGE_NAMESPACE`",
                        "Who is told of runs, with which key, and the namespace of jobs, where the setting"
                        " `openlineage` does not say so.",
                    ),
                    ("`OPENLINEAGE_DISABLED`", "`true`: nobody is told, whatever the settings say."),
                    (
                        "`MLWRIGHT_URL`, `MLWRIGHT_TOKEN`",
                        "The server that commands ask, instead of the project they are in, and who asks:"
                        " `mlwright tokens create` shows a token once. The server's own project needs none."
                        " Runs that `mlwright up` starts have neither.",
                    ),
                    (
                        "all others",
                        "Reach steps and replicas as they are, except `PYTHON*` and `VIRTUAL_ENV`. No"
                        " fingerprint covers them: see [limits](../limits.md).",
                    ),
                ],
            ),
        ]
    )


def _default(field: Any) -> str:
    """The default of a setting, as TOML."""
    made = field.default_factory is not msgspec.NODEFAULT
    return json.dumps(field.default_factory() if made else field.default)


def _arguments(kind: type) -> dict[str, str]:
    """The `Args:` of a docstring by name."""
    listed = _markdown(inspect.getdoc(kind) or "").partition("**Args:**")[2].partition("**")[0]
    return dict(re.findall(r"^- `(\w+)`: (.*)$", listed, re.MULTILINE))


# The metadata database


class Table(NamedTuple):
    """A table, the room that owns it, and what its migration says right above it, if anything."""

    name: str
    room: str
    about: str


def tables() -> list[Table]:
    """Every table of the newest schema, in the order of the migrations."""
    found = []
    for migration in all_migrations():
        found += _tables_of(migration)
    return found


def _tables_of(migration: Migration) -> Iterator[Table]:
    room = migration.path.parents[1].name
    whole = "\n\n".join(migration.statements("sqlite"))
    sql = whole.removeprefix(_about(whole))
    for piece in re.split(r"\n\s*\n", sql):
        if made := re.search(r"^CREATE (?:VIRTUAL )?TABLE (\w+)", piece, re.MULTILINE):
            yield Table(made[1], room, _uncommented(_about(piece)))


def _about(sql: str) -> str:
    """The comment that a text begins with."""
    found = re.match(r"(?:--.*\n)*", sql)
    return found[0] if found else ""


def _uncommented(comment: str) -> str:
    told = re.sub(r"^-- only: .*\n", "", comment, flags=re.MULTILINE)
    return _joined(re.sub(r"^-- ?", "", told, flags=re.MULTILINE))


def tables_page() -> str:
    """Each table with its columns, keys and indexes, as SQLite sees them after every migration."""
    database = SqliteDatabase(":memory:")
    database.migrate(all_migrations())
    parts = [
        "# Tables",
        "The metadata database is `.mlwright/metadata.db`, SQLite, as it is shown here, or a database of"
        " PostgreSQL with the same tables and columns. Each table belongs to one room, which"
        " alone writes it; `edge`, `event` and `lease` are written by all, through the kernel. What the"
        " columns mean stands in [the architecture](../architecture.md#the-data-model).",
        _table(
            ["migration", "room", "what it makes"],
            [
                (f"`{each.path.name}`", each.path.parents[1].name, _uncommented(_about(each.sql)))
                for each in all_migrations()
            ],
        ),
    ]
    indexes = database.read("SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL")
    for table in tables():
        room = f"Room: `{table.room}`. {table.about}".strip()
        parts += [f"## {table.name}", room, _columns(database, table.name)]
        own = [f"- `{' '.join(each['sql'].split())}`" for each in indexes if each["tbl_name"] == table.name]
        parts += ["\n".join(own)] if own else []
    database.close()
    return "\n\n".join(parts)


def _columns(database: SqliteDatabase, table: str) -> str:
    foreign = database.read('SELECT "from", "table", "to" FROM pragma_foreign_key_list(:name)', name=table)
    keys = {each["from"]: f"`{each['table']}.{each['to']}`" for each in foreign}
    rows = [
        (
            f"`{each['name']}`",
            each["type"],
            "no" if each["notnull"] or each["pk"] else "yes",
            f"part {each['pk']}" if each["pk"] else "",
            keys.get(each["name"], ""),
        )
        for each in database.read("SELECT * FROM pragma_table_info(:name) ORDER BY cid", name=table)
    ]
    return _table(["column", "type", "may be null", "primary key", "refers to"], rows)


# Events


class Verb(NamedTuple):
    """An event that the code records: its verb, subject, the keys of its detail, and where it is recorded."""

    verb: str
    subject: str
    detail: tuple[str, ...]
    module: str


_PLACEHOLDERS = {
    "self.kind": typing.get_args(Kind),
    "version.kind": typing.get_args(Kind),
    "token.kind": tuple(TokenKind),
    "state": tuple(state for state in RunState if state is not RunState.RUNNING),
}
"""What stands in the braces of a verb that is put together."""
_MEANINGS = {
    "alias.moved": "An alias points at another version than before.",
    "alias.removed": "An alias was taken away.",
    "card.changed": "Somebody wrote the card of a model.",
    "dataset.added": "A dataset has a new version.",
    "dataset.pushed": "A version of a dataset was sent to a remote.",
    "dataset.removed": "A version of a dataset was taken away.",
    "link.created": "A link was made that lets a browser in once.",
    "link.revoked": "Such a link was taken back before it was used.",
    "person.admitted": "Somebody came in by a provider for the first time, or with another address or role.",
    "session.created": "A browser was let in.",
    "session.revoked": "A browser logged out, or its session was taken back.",
    "token.created": "A token was made.",
    "token.revoked": "A token was taken back.",
    "model.added": "A model has a new version.",
    "experiment.created": "A client, or the first run of a pipeline, made an experiment.",
    "experiment.deleted": "A client deleted an experiment with its runs.",
    "experiment.renamed": "A client gave an experiment another name.",
    "experiment.restored": "A client, or a run, brought a deleted experiment back with its runs.",
    "experiment.tagged": "A client gave an experiment a tag, or another value to one that it has.",
    "experiment.untagged": "A client took a tag from an experiment.",
    "file.removed": "A client deleted a file that it had stored with a run or a logged model.",
    "file.replaced": "A client stored another file in the place of one.",
    "logged-model.deleted": "A client deleted a logged model.",
    "logged-model.finished": "A client said that the files of a logged model are complete, or never will be.",
    "logged-model.reported": "A client told of a model that a run of its own makes.",
    "model.described": "A client said what a registered model is.",
    "model.tagged": "A client gave a registered model a tag, or another value to one that it has.",
    "model.untagged": "A client took a tag from a registered model.",
    "model.registered": "A client registered a model's name, before any version of it.",
    "model.converted": "A version of a model was converted to ONNX, or could not be.",
    "model.removed": "A version of a model was taken away.",
    "model.separated": "The packages of a version and of a server exclude each other: it is apart.",
    "prediction.removed": "Recorded predictions of a version were taken away, a batch of them.",
    "model.renamed": "A client gave a model another name.",
    "model.unregistered": "A client took a model's name away, with all its versions.",
    "run.started": "A run began, or its client said that it goes on; it is recorded as running.",
    "run.deleted": "A client deleted a run; it can be restored.",
    "run.renamed": "A client gave a run another name.",
    "run.restored": "A client brought a deleted run back.",
    "run.succeeded": "A run ended: every step succeeded, was reused or checked.",
    "run.failed": "A run ended: a step failed, a gate was closed, or the engine could not go on.",
    "run.cancel-asked": "Somebody asked for the end of a run that another process executes.",
    "run.cancelled": "A run was ended: by Ctrl-C, by a signal, or because that was asked for.",
    "run.lost": "The process of a run was found to be gone without a word.",
    "run.reported": "A client told of a run that it executes itself.",
    "run.scheduled": "A run was accepted that is to begin later; or a client said so of its own.",
    "run.imported": "A run that was made in another workspace was taken over from a bundle.",
    "version.described": "A client said what a version of a model is.",
    "version.staged": "A client moved a version of a model to another stage.",
    "version.tagged": "A client gave a version of a model a tag, or another value to one that it has.",
    "version.untagged": "A client took a tag from a version of a model.",
    "workspace.collected": "What nothing names any more was taken away.",
    "workspace.backed-up": "A backup was finished.",
    "workspace.restored": "The workspace was restored from a backup: what follows happened after it.",
}
"""A verb without a sentence here stops the script: whoever adds one says what it means."""
_SUBJECTS = {
    "alias": "version",
    "card": "version",
    "dataset": "version",
    "link": "token",
    "session": "token",
    "model.added": "version",
    "model.converted": "version",
    "model.removed": "version",
    "model.separated": "version",
    "prediction.removed": "version",
}
"""What an event happened to, by its verb or the noun of that, where it is not that noun."""


def events() -> list[Verb]:
    """Every event verb, found in the source: `events.record(tx, "noun.verbed", subject, key=...)`."""
    return sorted(
        event
        for path in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "events.record"
        for event in _events(call, path)
    )


def _events(call: ast.Call, path: Path) -> Iterator[Verb]:
    detail = tuple(keyword.arg or "" for keyword in call.keywords)
    for verb in _verbs(call.args[1]):
        noun = verb.partition(".")[0]
        subject = _SUBJECTS.get(verb) or _SUBJECTS.get(noun) or noun.replace("-", "_")
        yield Verb(verb, subject, detail, path.relative_to(SOURCE).as_posix())


def _verbs(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    assert isinstance(node, ast.JoinedStr), f"a verb is text: {ast.unparse(node)}"
    made = [""]
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            made = [begin + each for begin in made for each in _PLACEHOLDERS[ast.unparse(part.value)]]
        else:
            assert isinstance(part, ast.Constant)
            made = [begin + str(part.value) for begin in made]
    return made


def events_page() -> str:
    """Each event verb, its subject and detail."""
    rows = [
        (
            f"`{each.verb}`",
            _MEANINGS[each.verb],
            each.subject,
            ", ".join(f"`{key}`" for key in each.detail),
            f"`{each.module}`",
        )
        for each in events()
    ]
    return "\n\n".join(
        [
            "# Events",
            "An event is a row of the table [`event`](tables.md#event), written in the transaction of the"
            " change it tells of: verb, subject, who acted, when, and a detail in JSON. Of what was there"
            " before, the detail has `before` and `after`; of a text over 1,000 letters it has the beginning."
            " `mlwright events` and `Project.events` read them. Each has a digest over itself and the event"
            " before it, which `mlwright events --verify` compares.",
            "Points, parameters, tags and inputs of runs, and what stands with logged models, are records of"
            " their own, and no events; neither is what changes files of the project (as `environments add`),"
            " of this machine (as `environments sync`) or elsewhere (as `runs export`) alone.",
            _table(["verb", "meaning", "subject", "detail", "recorded in"], rows),
        ]
    )


# The prediction server


def example_spec() -> ReplicaSpec:
    """A replica of a small model, for the page only."""
    signature = Signature(
        inputs=(
            Column("age", "integer", minimum=18, maximum=95),
            Column("weight", "number", nullable=True, minimum=41.5, maximum=143.0),
            Column("ward", "string", categories=("east", "west")),
        ),
        output=Output("string", classes=("benign", "malignant")),
        probabilities=True,
        example=Example({"age": 52, "weight": 71.5, "ward": "east"}, "benign"),
    )
    return ReplicaSpec((ModelSpec("diagnosis@1", VersionId("01" + "0" * 24), "sklearn", "model", signature),))


def http_page() -> str:
    """The routes of a served model, from its OpenAPI document, and its problem documents."""
    document = openapi(example_spec())
    parts = [
        "# HTTP",
        "What `mlwright serve MODEL` answers. The interface follows from the model's signature; here it is"
        " shown for a model with three columns, `age`, `weight` and `ward`. A running server tells its own at"
        f" `/docs` (for people) and `/openapi.json` (OpenAPI {document['openapi']}).",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _route(method.upper(), path, operation)
    parts += ["## Problem documents", *_problems()]
    parts.append("## Schemas")
    for name, schema in document["components"]["schemas"].items():
        parts += [f"### {name}", _json(schema)]
    return "\n\n".join(parts)


def _route(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"## {method} {path}"
    yield f"{operation['summary']}. {operation.get('description', '')}".strip()
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        values = ", ".join(f"`{value}`" for value in schema.get("enum", ()))
        values = values or f"{schema['minimum']} to {schema['maximum']}"
        place, default = parameter["in"].capitalize(), schema["default"]
        yield f"{place} `{parameter['name']}` ({values}; default `{default}`): {parameter['description']}"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if "example" not in content:
            told = content["schema"].get("description", "binary tensors behind the JSON.")
            yield f"Request, `{kind}`: {told}"
            continue
        yield f"Request, `{kind}`:"
        yield _json(content["example"])
    rows = [
        (status, answer["description"], ", ".join(f"`{kind}`" for kind in answer.get("content", {})))
        for status, answer in operation["responses"].items()
    ]
    yield _table(["status", "meaning", "content"], rows)
    answered = operation["responses"]["200"]
    for name, header in answered.get("headers", {}).items():
        yield f"Header `{name}`: {header['description']}"
    for content in answered["content"].values():
        if "example" in content:
            yield "Answer:"
            yield _json(content["example"])


def _body(route: Route) -> str:
    """How large the body of a request may be."""
    if route.method == "GET":
        return ""
    return "any size" if route.body_bytes == STREAMED else f"{route.body_bytes // MIB} MiB"


def mlflow_page() -> str:
    """Every route of `mlwright up`, what it may do, and the limits."""
    routes = [
        route
        for route in UP_ROUTES
        if not route.path.startswith(MLFLOW_PLACES[1:]) and route not in (*PAGE_ROUTES, *REST_ROUTES)
    ]
    rows = [
        (
            f"{route.method} `{route.path.removeprefix(MLFLOW_PLACES[0])}`",
            inspect.getdoc(route.handler),
            route.permission,
            _body(route),
        )
        for route in routes
    ]
    known = [(what, f"{getattr(limits, name):,}") for name, what in _LIMITS.items()]
    known.append(("bytes that all datasets of a run take", f"{INPUTS_BYTES:,}"))
    places = ", ".join(f"`{place}`" for place in MLFLOW_PLACES)
    return "\n\n".join(
        [
            "# MLflow's protocol",
            "What `mlwright up` answers: an unmodified client of MLflow 2 or 3 with `MLFLOW_TRACKING_URI` set"
            f" to its address works. Paths that begin with no slash stand below each of {places}.",
            _table(["path", "what it does", "permission", "body, at most"], rows),
            "Answers are JSON by the rules of Protocol Buffers, as MLflow's server writes them: NaN and"
            " the infinities are texts. Errors have MLflow's `error_code`, a `message` that names the field"
            " or the limit, and its status. No request that is itself wrong has a status after"
            " which MLflow's clients ask again (408, 429, 5xx but 501): 503 is for what soon helps itself,"
            " 500 for damaged bytes and for mistakes of the server's. 409, `ABORTED`, is told of a change"
            " of which nobody knows whether PostgreSQL has committed it: look whether it is there. Methods"
            " for traces, gateway, prompts and judges answer 501, `NOT_IMPLEMENTED`.",
            "## Limits",
            "Letters are counted, not bytes. Where MLflow's server cuts the value of a parameter or a tag"
            " silently, ours keeps it whole up to the limit, and refuses a longer one.",
            _table(["what", "at most"], known),
        ]
    )


def rest_page() -> str:
    """Every operation of the REST API, with what it is asked."""
    told = document()["paths"]
    parts = [
        "# REST",
        f"What `mlwright up` answers below `{REST_PREFIX}`; the same as OpenAPI 3.1 at"
        f" `{REST_PREFIX}/openapi.json`, with the schema of each answer. A command of `mlwright` with"
        " `MLWRIGHT_URL` asks the same. What is asked stands in the path, in the query of GET and DELETE,"
        " or in a body of JSON. Refusals are problem documents (RFC 9457). An answer to GET has an ETag,"
        " which `If-None-Match` takes; and `If-Match`, where PUT writes what GET shows at the same path: with"
        " another ETag than it has now, as of any other change, 412 is answered. The same POST with the"
        " same `Idempotency-Key` is done once. A stream"
        " is server-sent events: `data` is JSON, the last is an event `end`, or `error` with a problem.",
    ]
    for path, methods in told.items():
        for method, each in methods.items():
            asked = [
                (f"`{field['name']}`", field["in"], _kind(field["schema"]), field.get("description", ""))
                for field in each["parameters"]
            ]
            asked += _in_body(each)
            head = f"## {method.upper()} {path.removeprefix(REST_PREFIX)}"
            parts += [head, f"{each['summary']} Needs `{each['x-permission']}`."]
            if asked:
                parts.append(_table(["name", "in", "type", "meaning"], asked))
    return "\n\n".join(parts)


def _in_body(operation: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The fields of the body of an operation."""
    if "requestBody" not in operation:
        return []
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document()["components"]["schemas"][reference.rpartition("/")[2]]
    return [
        (f"`{name}`", "body", _kind(each), each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    """The type of a field in few words, with its default."""
    if "anyOf" in schema:
        told = " or ".join(_kind(each) for each in schema["anyOf"])
    elif "$ref" in schema:
        told = schema["$ref"].rpartition("/")[2]
    elif schema.get("type") == "array":
        told = f"list of {_kind(schema.get('items', {}))}"
    else:
        told = str(schema.get("type", "any"))
    bounds = [
        f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema
    ]
    default = schema.get("default")
    ends = [*bounds, *([f"default `{json.dumps(default)}`"] if default not in (None, "", []) else [])]
    return f"{told}, {', '.join(ends)}" if ends else told


def pages_page() -> str:
    """Every page, and which operations it shows."""
    rows = [
        (
            f"`{page.path}`",
            page.title,
            ", ".join(dict.fromkeys(f"`{ask.operation.name}`" for ask in page.asks)),
            ", ".join(f"`{name}`" for name in sorted(page.singles | page.lists)),
        )
        for page in PAGES
    ]
    return "\n\n".join(
        [
            "# Pages",
            "What a browser shows at the address that `mlwright up` prints. A page shows what operations"
            " of the REST API answer, and has no other way to data; it needs `read`. It takes"
            " these names in its query and refuses others. Pages are in English and Korean, by"
            " `Accept-Language` or by what was chosen there, which the cookies `language` and `theme` keep.",
            _table(["path", "page", "operations", "query"], rows),
            "What stands still is below `/static/`, and may be kept for a year: its path changes with it.",
        ]
    )


def _problems() -> Iterator[str]:
    faults = [Fault("must be an integer, not null", 0, "age"), Fault("is missing", 1, "ward")]
    problem = Problem(422, faults=faults)
    yield (
        f"A request that gets no prediction is answered with `{MEDIA_TYPE}` (RFC 9457): `status`, `title`,"
        f" one sentence in `detail`, and in `errors` up to {MAX_FAULTS} faults, each with the row (counted"
        " from 0) and the field where they are known."
    )
    yield _json(json.loads(problem.document()))


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def conformance_page() -> str:
    """How our answers compare with MLflow's own, as the scenarios of the tests declare it."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    from tests.server.conformance.page import page

    return page(_table)


# Text


def _table(head: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join((cell or "").replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
        for row in lines
    )


def _wrapped(text: str) -> str:
    """Prose and list items at the width of our pages; code and tables as they are."""
    out: list[str] = []
    code = False
    for line in text.splitlines():
        code ^= line.startswith("```")
        if code or line.startswith(("|", "#", "```")):
            out.append(line)
            continue
        indent = "  " if line.startswith("- ") else ""
        out += textwrap.wrap(
            line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(out)


def _joined(text: str) -> str:
    return " ".join(textwrap.dedent(text).split())


def _slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    main()
