"""What the operations of a page answer to a request: they are asked one after the other, in one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlwright.kernel.errors import Invalid, MlwrightError
from mlwright.server.operations import Operation, Place
from mlwright.server.rest import converted, pairs_of
from mlwright.web.declared import Ask, Page

Query = Mapping[str, str | list[str]]


def query_of(page: Page, query: bytes) -> Query:
    """What the query of a page has; a field of a form that was left empty is as if it was not there.

    Raises:
        Invalid: the page has no such name, or it is given twice.
        Refusal: it is no query.
    """
    found: dict[str, str | list[str]] = {}
    for name, value in pairs_of(query):
        if name not in page.singles | page.lists:
            raise Invalid(f"this page has no `{name}` to be asked", where=name)
        if not value:
            continue
        known = found.setdefault(name, [] if name in page.lists else value)
        if isinstance(known, list):
            known.append(value)
        elif known is not value:
            raise Invalid(f"`{name}` is given twice", where=name)
    return found


def answers(page: Page, place: Place, names: Mapping[str, str], query: Query) -> dict[str, Any]:
    """What each operation of a page answers, by the name that the page gives it.

    An operation that is not asked has None; one that may fail and does has its error.

    Args:
        place: where they are done.
        names: what the path has.
        query: what the query has.

    Raises:
        MlwrightError: one refuses.
    """
    told = {**query, **names}
    found: dict[str, Any] = {}
    for ask in page.asks:
        if ask.when and ask.when not in told:
            found[ask.name] = None
            continue
        try:
            found[ask.name] = ask.operation(place, **_arguments(ask, told))
        except MlwrightError as error:
            if not ask.may_fail:
                raise
            found[ask.name] = error
    return found


def _arguments(ask: Ask, told: Mapping[str, str | list[str]]) -> dict[str, Any]:
    given = {parameter: told[name] for parameter, name in ask.takes.items() if name in told}
    operation: Operation[..., Any] = ask.operation
    in_path = {name: value for name, value in {**ask.fixed, **given}.items() if name in operation.variables}
    beside = {name: value for name, value in {**ask.fixed, **given}.items() if name not in in_path}
    return converted(in_path, operation.in_path, strict=False) | converted(
        beside, operation.beside, strict=False
    )
