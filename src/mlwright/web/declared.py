"""Pages as their files declare them: where each is, what it is called, and what it asks.

A page is one file, `ROOM/pages/NAME.html`: a template that begins with a comment, in TOML:

    {# page:
    path = "/runs/{run}"
    title = "Run"

    [asks]
    detail = "show_run"
    profile = { do = "profile_run", may_fail = true }
    #}

Each answer is a variable of the template. An operation is given what the path and the query have for its
parameters; one that is declared as a table takes from the query only what it names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mlwright.server.operations import Operation
from mlwright.server.permissions import Permission

PACKAGE = Path(__file__).parents[1]
"""The rooms; a template is named by its path in here."""
_COMMENT = re.compile(r"\{# page:\n(?P<toml>.*?)#\}", re.DOTALL)
_VARIABLE = re.compile(r"\{(\w+)(?::path)?\}")


class _Ask(Struct, frozen=True, forbid_unknown_fields=True):
    """How an operation is asked, as TOML has it; see `Ask`."""

    do: str
    fixed: dict[str, Any] = msgspec.field(default_factory=dict, name="with")
    takes: dict[str, str] | list[str] = []
    when: str = ""
    may_fail: bool = False


class _Comment(Struct, frozen=True, forbid_unknown_fields=True):
    """What a page says of itself, as TOML has it; see `Page`."""

    path: str
    title: str
    place: int = 0
    icon: str = ""
    query: list[str] = []
    lists: list[str] = []
    scripts: list[str] = []
    asks: dict[str, str | _Ask] = {}


class Ask(Struct, frozen=True):
    """An operation that a page asks.

    Args:
        name: of the variable that holds the answer.
        fixed: arguments that are always the same.
        takes: parameters, and the name that each has in the path or the query.
        when: a name of the path or the query, without which it is not asked; empty for always.
        may_fail: a refusal is an answer too, which the page shows.
    """

    name: str
    operation: Operation[..., Any]
    fixed: dict[str, Any]
    takes: dict[str, str]
    when: str
    may_fail: bool


class Page(Struct, frozen=True):
    """A page.

    Args:
        template: its name: the file's path in the package.
        path: as a route's; its variables are variables of the template.
        title: in English; the catalogues have it in other languages.
        place: in the navigation, from left to right; 0 for none.
        icon: of the navigation.
        singles: names of the query that are given once: its own, and those that its operations take.
        lists: names of the query that may be given several times.
        scripts: files of `static/` that it needs beside the shell's.
    """

    template: str
    path: str
    title: str
    place: int
    icon: str
    singles: frozenset[str]
    lists: frozenset[str]
    scripts: tuple[str, ...]
    asks: tuple[Ask, ...]


def find_pages(operations: Iterable[Operation[..., Any]]) -> list[Page]:
    """The pages of all rooms, in the order of their paths: those without variables first."""
    known = {each.name: each for each in operations}
    found = [
        read_page(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"), known)
        for path in sorted(PACKAGE.glob("*/pages/[!_]*.html"))
    ]
    return sorted(found, key=lambda page: ("{" in page.path, page.path.count("{"), page.path))


def read_page(template: str, text: str, operations: Mapping[str, Operation[..., Any]]) -> Page:
    """A page as its file declares it. What is wrong in it is our own mistake, and named.

    Args:
        template: how it is called.
        text: of the file.
        operations: that may be asked, by name.
    """
    comment = _COMMENT.match(text)
    assert comment is not None, f"{template} does not begin with what it is: {{# page: ... #}}"
    told = msgspec.convert(tomllib.loads(comment["toml"]), _Comment)
    variables = set(_VARIABLE.findall(told.path))
    asks = [
        _ask(template, name, each if isinstance(each, _Ask) else None, str(each), variables, operations)
        for name, each in told.asks.items()
    ]
    lists = {name for ask in asks for name in _lists(ask)} - variables | set(told.lists)
    singles = {name for ask in asks for name in ask.takes.values()} - variables - lists | set(told.query)
    return Page(
        template,
        told.path,
        told.title,
        told.place,
        told.icon,
        frozenset(singles),
        frozenset(lists),
        tuple(told.scripts),
        tuple(asks),
    )


def _ask(
    template: str,
    name: str,
    ask: _Ask | None,
    plain: str,
    variables: set[str],
    operations: Mapping[str, Operation[..., Any]],
) -> Ask:
    do = plain if ask is None else ask.do
    assert do in operations, f"{template} asks `{do}`, which is no operation"
    operation = operations[do]
    assert operation.permission is Permission.READ, f"{template} asks `{do}`, which changes something"
    assert not operation.streams, f"{template} asks `{do}`, which does not end"
    parameters = operation.parameters
    if ask is None:
        return Ask(name, operation, {}, {each: each for each in parameters}, "", may_fail=False)
    takes = ask.takes if isinstance(ask.takes, dict) else {each: each for each in ask.takes}
    takes = {each: each for each in parameters if each in variables and each not in ask.fixed} | takes
    unknown = (takes.keys() | ask.fixed.keys()) - set(parameters)
    assert not unknown, f"{template} gives `{do}` what it has no parameter for: {', '.join(unknown)}"
    return Ask(name, operation, ask.fixed, takes, ask.when, ask.may_fail)


def _lists(ask: Ask) -> list[str]:
    return [ask.takes[each] for each in ask.operation.lists if each in ask.takes]
